"""Words of the splitting games: what an answer must look like, which words a message names, numbers as players are told them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

TAGS = {  # what stands before and after a message and a proposal
    "angle": {"message": ("<<message_start>>", "<<message_end>>"), "proposal": ("<<proposal_start>>", "<<proposal_end>>")},
    "xml": {"message": ("<message>", "</message>"), "proposal": ("<proposal>", "</proposal>")},
    "line": {"message": ("Message:", ""), "proposal": ("Proposal:", "")},
}


class Wanted(NamedTuple):
    """What an answer must look like; see ``Observation``."""

    pattern: re.Pattern[str]
    form: str
    help: str


def named(text: str, words: Iterable[str]) -> frozenset[str]:
    """Which of the words a message names, in whatever case."""
    return frozenset(word for word in words if _word(word).search(text))


@cache
def _word(word: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)


def times(count: int) -> str:
    """``once``, ``twice``, ``3 times``."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def number(x: float) -> str:
    """At most one decimal, as players are told it."""
    return f"{round(x, 1):g}"
