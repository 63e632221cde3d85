"""A language model with a briefing: a text that it is told after the game's own first words, under a name that says so.

    briefed:liar:model:pocket      briefed:notes/spy.txt:runs/x@40        TEXT is one of the package's, or a file

Must not load torch.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from detente.errors import UserError, unknown
from detente.files import read_text, reason
from detente.visible import visible

PREFIX = "briefed:"
FORM = "briefed:TEXT:NAME, such as briefed:liar:model:pocket"
SIZE = 100_000  # bytes of a text


def unbriefed(name: str) -> str:
    """The name of the same policy without its briefing; other names as they are."""
    return parsed(name)[1] if name.startswith(PREFIX) else name


def parsed(name: str) -> tuple[str, str]:
    """("liar", "model:pocket"): where the text is, and who reads it. UserError for anything else."""
    text, _, reader = name.removeprefix(PREFIX).partition(":")
    if not text or not reader:
        raise UserError(f"'{name}' names no briefed player; the form is {FORM}.")
    if reader.startswith(PREFIX):
        raise UserError(f"'{name}' has two briefings; put them into one file. The form is {FORM}.")
    return text, reader


def texts() -> list[str]:
    """The names of the texts inside the package."""
    return sorted(entry.name.removesuffix(".txt") for entry in _folder().iterdir() if entry.name.endswith(".txt"))


def read(text: str) -> str:
    """The text of that name, or in that file; UserError where there is none, or nothing in it."""
    if text in texts():
        return (_folder() / f"{text}.txt").read_text(encoding="utf-8").strip()
    try:
        words = visible(read_text(Path(text), SIZE)).strip()
    except (OSError, ValueError) as error:
        if "/" not in text and "." not in text:
            raise unknown("briefing", text, texts()) from error
        raise UserError(f"The briefing {text} cannot be read: {reason(error)}.") from error
    if not words:
        raise UserError(f"The briefing {text} is empty.")
    return words


def _folder() -> resources.abc.Traversable:
    return resources.files("detente") / "briefings"
