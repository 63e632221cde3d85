"""The one exception that is meant for people.

Raise ``UserError`` with one sentence that says what is wrong and what would be right. The command line prints the sentence
and exits with 2; every other exception is a fault of ours. Standard library only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something that the user can put right; the message is one full sentence."""


class ServiceError(UserError):
    """A server or a cluster that a run needs is not there, or not as the run needs it."""


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """``unknown("game", "ipdd", GAMES)`` -> "There is no game 'ipdd'; did you mean 'ipd'?"."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names)}."
    return UserError(f"There is no {what} '{name}'; {hint}")


def counted(number: int, noun: str) -> str:
    """``1 iteration``, ``2 iterations``."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


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
