"""The one exception that is meant for people.

Raise ``UserError`` with one sentence that says what is wrong and what would be right. The command line prints the sentence
and exits with 2; every other exception is a fault of ours. Standard library only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something that the user can put right; the message is one full sentence."""


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """``unknown("game", "ipdd", GAMES)`` -> "There is no game 'ipdd'; did you mean 'ipd'?"."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names)}."
    return UserError(f"There is no {what} '{name}'; {hint}")
