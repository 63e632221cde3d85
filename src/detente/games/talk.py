"""Talk between players: what a message must look like, and how the others read it.

text ── Talk.parse ──> one line of visible characters ── quoted ──> what the others are told
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from detente.visible import visible


@dataclass(frozen=True)
class Talk:
    """Messages of at most ``chars`` characters between the two ``tags``."""

    chars: int
    tags: tuple[str, str] = ("Message:", "")

    def form(self, inside: str) -> str:
        """A message with its tags around it."""
        return f"{self.tags[0]} {inside} {self.tags[1]}".strip()

    @property
    def help(self) -> str:
        """What to type, for a person."""
        return f"Type a message of at most {self.chars} characters, without < and >."

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a message matches: no angle brackets inside, so that it cannot forge tags."""
        before, after = map(re.escape, self.tags)
        return re.compile(f"{before} ?[^<>]{{0,{self.chars}}} ?{after}")

    def parse(self, text: str) -> str | None:
        """What a message says, as one line, for another line would look like the game speaking; None of what is no message."""
        text = text.strip()
        if self.pattern.fullmatch(text) is None:
            return None
        return visible(" ".join(text.removeprefix(self.tags[0]).removesuffix(self.tags[1]).split()))


def quoted(said: str) -> str:
    """A message within quotation marks, none inside, so that it cannot look as if it ended and the game went on speaking."""
    return '"' + said.replace('"', "'") + '"'
