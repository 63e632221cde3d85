"""The one exception that is meant for people.

Raise ``UserError`` with one sentence that says what is wrong and what would be right. The command line prints the sentence
and exits with 2; every other exception is a fault of ours. Standard library only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

SHORT = 60  # characters of names that a sentence lists beside a guess


class UserError(Exception):
    """Something that the user can put right; the message is one full sentence."""


class ServiceError(UserError):
    """A server or a cluster that a run needs is not there, or not as the run needs it."""


def unknown(what: str, name: str, known: Iterable[str], owner: str = "") -> UserError:
    """``unknown("game", "ipdd", GAMES)`` -> "There is no game 'ipdd'; did you mean 'ipd'?"; all of them where they are few or none
    is near. ``unknown("option", "foo", known, "The mechanism contract")`` -> "The mechanism contract has no option 'foo'; ..."."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listing = [f"there are: {', '.join(names)}"] if not near or (len(names) > 1 and len(", ".join(names)) <= SHORT) else []
    guess = [f"did you mean '{near[0]}'?"] if near else []
    wrong = f"{owner} has no {what} '{name}'" if owner else f"There is no {what} '{name}'"
    return UserError("; ".join([wrong, *listing, *guess]) + ("" if guess else "."))


def counted(number: int, noun: str) -> str:
    """``1 iteration``, ``2 iterations``."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def as_typed(value: Any, longest: int = 80) -> str:
    """A value as the command line takes it, and a sentence can repeat it: ``[0, 50]``, ``true``, ``null``."""
    text = " ".join(_typed(value).split())
    return text if len(text) <= longest else f"{text[:longest]} ..."


def _typed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_typed, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_typed(item)}' for key, item in value.items())}}}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def out_of_memory(error: BaseException) -> bool:
    """Whether the error means that memory ran out; torch has a class of its own for a GPU, and a message for a CPU."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


@contextmanager
def room_for(what: str, advice: str) -> Iterator[None]:
    """Turn an error for want of memory inside into a UserError that says what needed it, and what helps."""
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise UserError(f"Memory ran out for {what}; {advice}, and run the same command again.") from error
