"""Ctrl-C (SIGINT) and the request to end (SIGTERM): obeyed at once, or after the present iteration is saved.

    waiting for a person ── Ctrl-C ──> KeyboardInterrupt at once, though an event loop runs
    training ── the first of either ──> a request, obeyed when the iteration is saved;  the second ──> at once
    any command ── SIGTERM ──> Terminated, a KeyboardInterrupt, also where Python would drop it

Signals reach the main thread only; in other threads this module does nothing. A signal that the process was started to ignore
stays ignored. Standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

Handler = Callable[[int, FrameType | None], object]
AGAIN = 0.05  # seconds


class Terminated(KeyboardInterrupt):
    """The process was asked to end. Code that catches Ctrl-C catches this too."""


def stopped(error: BaseException, afterwards: str = "") -> tuple[str, int]:
    """A sentence, which ends in ``afterwards``, and the exit status for what ended the program: 143 for SIGTERM, else 130."""
    outside = isinstance(error, Terminated)
    return f"Stopped{', as asked from outside' if outside else ''}{afterwards and f'; {afterwards}'}.", 143 if outside else 130


@contextmanager
def handled(handler: Handler, *numbers: signal.Signals) -> Iterator[None]:
    """These signals go to ``handler``, and afterwards where they went before."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in numbers}
        before = {number: known for number, known in handlers.items() if known not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)


def at_once(number: int, frame: FrameType | None) -> None:
    """A handler that interrupts the main thread."""
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def never_lost() -> Iterator[None]:
    """A signal whose exception Python drops, because it was raised while an object was finalized, is sent again soon after."""
    usual = sys.unraisablehook

    def hook(dropped: UnraisableHookArgs) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            usual(dropped)
            return
        number = signal.SIGTERM if issubclass(dropped.exc_type, Terminated) else signal.SIGINT
        again = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual


@contextmanager
def when_saved(heard: Callable[[], None]) -> Iterator[Callable[[], type[KeyboardInterrupt] | None]]:
    """Turn the first signal into a request that a loop obeys after saving; the next signal does what it did before.

    Yields a function that returns the exception to raise then, None without a request. ``heard`` is called when a request comes.
    """
    requests: list[type[KeyboardInterrupt]] = []
    with ExitStack() as handling:

        def note(number: int, frame: FrameType | None) -> None:
            requests.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
            handling.close()
            heard()

        handling.enter_context(handled(note, signal.SIGINT, signal.SIGTERM))
        yield lambda: requests[0] if requests else None


def end_with_input() -> None:
    """Send SIGTERM to this process as soon as its standard input ends: it came from a process that is gone."""

    def wait() -> None:
        while os.read(0, 1 << 10):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
