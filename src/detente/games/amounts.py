"""Answers that are numbers: ``Ask: 12``, ``Gift: 35%``.

amounts that can be named ── amount ──> Amount ──> pattern, form and help for whoever answers, parse for the game
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache


@dataclass(frozen=True)
class Amount:
    """An answer of a ``word``, one of the ``values`` and a ``unit``."""

    word: str
    values: Sequence[int]
    unit: str = ""

    def form(self, value: object) -> str:
        """The answer with this value."""
        return f"{self.word}: {value}{self.unit}"

    @property
    def help(self) -> str:
        """What to type, for a person."""
        low, high = min(self.values), max(self.values)
        if len(self.values) == high - low + 1 > 1:
            return f"Type a whole number from {low} to {high}."
        return f"Type one of {', '.join(map(str, self.values))}."

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What an answer matches; the longer numbers come first."""
        numbers = "|".join(map(str, sorted(self.values, reverse=True)))
        return re.compile(f"{self.word}: ({numbers}){re.escape(self.unit)}")

    def parse(self, text: str) -> int | None:
        """The number named; None of any other text."""
        match = self.pattern.fullmatch(text.strip())
        return int(match[1]) if match else None


@lru_cache(4096)
def amount(word: str, values: Sequence[int], unit: str = "") -> Amount:
    """The answer of this word and these values, a range or a tuple; made once."""
    return Amount(word, values, unit)
