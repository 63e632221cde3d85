"""What all commands share: the console, and how an error becomes a sentence and an exit status."""

from __future__ import annotations

import csv
import errno
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detente.errors import UserError, out_of_memory
from detente.signals import stopped
from detente.visible import visible

if TYPE_CHECKING:
    from rich.console import Console

Trust = Annotated[bool, typer.Option("--trust", help="Run the code that a preset file or run folder names.")]


PATIENCE_S = 3.0
AGAIN = "run the same command again"
GOES_ON = f"{AGAIN} to go on"
MOST_NUMBERS = 10_000  # in a range


def console(*, stderr: bool = False) -> Console:
    """Standard output, or error; wider than rich's 80 columns where it is a file, so that tables keep their shape."""
    from detente.screen import Screen

    return Screen(width=None if (sys.stderr if stderr else sys.stdout).isatty() else 132, stderr=stderr)


def say(screen: Console, line: str) -> None:
    """Print one line, however long it is."""
    screen.print(visible(line, keep=""), soft_wrap=True)


def sitting(names: Sequence[str]) -> str:
    """Who sits where, seat by seat: two against each other, more of them in a row."""
    return (" against " if len(names) == 2 else ", ").join(names)


@contextmanager
def doing(screen: Console, what: str) -> Iterator[None]:
    """Say what is being done: in a terminal by a moving line that is removed afterwards; elsewhere by a plain line, if it takes
    longer than ``PATIENCE_S``."""
    if not screen.is_terminal:
        later = threading.Timer(PATIENCE_S, say, (screen, what))
        later.daemon = True
        later.start()
        try:
            yield
        finally:
            later.cancel()
        return
    from rich.text import Text

    with screen.status(Text(visible(what, keep=""))):
        yield


def listed(text: str) -> list[str]:
    """The names in a list separated by commas; a name with a comma is in double quotes, or has a backslash before the comma."""
    try:
        return [name.strip() for row in csv.reader([text], skipinitialspace=True, escapechar="\\") for name in row]
    except csv.Error:  # for a line break, or far more text than names have
        raise UserError("A list of names is one line, such as tit_for_tat,random; put one with a line break in quotes.") from None


def whole_numbers(text: str) -> list[int]:
    """The numbers of ``0,42`` and of ranges without their end, ``0:12``."""
    numbers: list[int] = []
    for word in listed(text):
        first, colon, end = word.partition(":")
        if not all(part.isascii() and part.isdecimal() and len(part) < 20 for part in (first, *([end] if colon else []))):
            raise UserError(
                f"'{text}' is no list of seeds; they are whole numbers from 0 on, separated by commas, or ranges without their "
                "end, e.g. --seeds 0,1,2 or --seeds 0:12."
            )
        span = range(int(first), int(end) if colon else int(first) + 1)
        if not 0 < len(span) <= MOST_NUMBERS:
            raise UserError(f"The range {word} has {len(span):,} seeds; one such as 0:12 has 1 to {MOST_NUMBERS:,}.")
        numbers += span
    return numbers


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """What is done inside is kept in this folder: where it ends too early and the folder is there, the error says that the same
    command goes on."""
    try:
        yield
    except BaseException as error:
        if folder.exists():
            error.add_note(GOES_ON)
        raise


def explain(error: BaseException) -> tuple[str, int]:
    """One sentence for an error, and the exit status."""
    goes_on = GOES_ON in getattr(error, "__notes__", ())
    while isinstance(error, BaseExceptionGroup):  # episodes run in a task group, which wraps what one of them raises
        error = error.exceptions[0]
    if isinstance(error, (KeyboardInterrupt, EOFError, typer.Abort)):
        return stopped(error, GOES_ON if goes_on else "")
    if isinstance(error, UserError):
        return str(error), 2
    if isinstance(error, typer.TyperException):
        said = error.format_message().replace(": Value error, ", ": ")  # pydantic's words, of which typer repeats all
        return said if said.endswith(("?", ")")) else f"{said.rstrip('.')}; see 'detente --help'.", 2
    if any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT)):  # not every library raises an OSError
        return f"The disk is full; make room and {GOES_ON if goes_on else AGAIN}.", 2
    if out_of_memory(error):
        return f"Memory ran out; end other programs or ask for less at once, and {AGAIN}.", 2
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename} cannot be used: {error.strerror[0].lower()}{error.strerror[1:]}.", 2
    if (interrupt := interrupting(error)) is not None:
        return stopped(interrupt, GOES_ON if goes_on else "")
    what = " ".join(f"{type(error).__name__} {error}".split())
    return f"detente failed: {what}; this is a fault of ours, run again with --debug to see where.", 1


def interrupting(error: BaseException | None) -> KeyboardInterrupt | None:
    """The Ctrl-C that an error came from: some libraries turn it into one of their own while they are imported."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def hush() -> None:
    """Hide the warnings and progress bars of libraries, in this process and in those that it starts."""
    warnings.simplefilter("ignore")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it reports every task that Ctrl-C ended
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


class Notices(logging.Handler):
    """Prints the library's log messages as lines of standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print it."""
        _to_stderr(record.getMessage())


def heed() -> None:
    """Show the library's log messages from now on."""
    log = logging.getLogger("detente")
    if not any(isinstance(handler, Notices) for handler in log.handlers):
        log.addHandler(Notices())


def complain(sentence: str) -> None:
    """Print the sentence to standard error."""
    _to_stderr(sentence, "red")


def _to_stderr(line: str, style: str = "") -> None:
    from detente.screen import Screen

    Screen(stderr=True).print(visible(line, keep=""), style=style, soft_wrap=True)
