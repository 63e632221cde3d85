"""The command line: the only package that reads it, and that turns an error into a sentence.

    console script, python -m detente.cli ── main ──> commands.run ── a command ──> 0, or one sentence and an exit status

Importing it imports next to nothing, so that Ctrl-C is answered by a sentence from the first moment on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; see ``detente.cli.commands.run``."""
    try:
        import signal

        from detente.signals import at_once, handled, never_lost

        with never_lost(), handled(at_once, signal.SIGTERM):
            from detente.cli.commands import run

            return run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt as stop:  # before the command could begin
        from detente.signals import stopped

        sentence, status = stopped(stop)
        print(sentence, file=sys.stderr)
        return status
