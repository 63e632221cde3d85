"""The rules of a game in several words that say the same: which of them a player reads is the option ``wording``.

    FAMILY/wordings.toml ──> Wording (a text with gaps) ── facts (numbers, labels, forms), parts that hold ──> what a player reads

Wording 0 is the one that a game had first. Must not import anything above games.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from detente.errors import UserError, as_typed

ANY = "any"  # drawn for each game seed, all equally likely
COUNT = 6


@dataclass(frozen=True)
class Wording:
    """``text`` has a gap ``{name}`` for each fact and each of the ``parts``, sentences that do not hold for every game."""

    text: str
    parts: Mapping[str, str]


def wordings(family: str, game: str) -> tuple[Wording, ...]:
    """All wordings of a kind of games, from the file of its family."""
    text = (resources.files(f"detente.games.{family}") / "wordings.toml").read_text(encoding="utf-8")
    return tuple(Wording(entry.pop("text"), entry) for entry in tomllib.loads(text)[game])


def told(wording: Wording, facts: Mapping[str, object], present: Collection[str]) -> str:
    """The rules in these words, with the parts that are ``present`` and without empty lines."""
    parts = {name: text.format(**facts) if name in present else "" for name, text in wording.parts.items()}
    return "\n".join(line for line in wording.text.format(**facts, **parts).splitlines() if line)


def choose(wording: int | str, rng: random.Random) -> int:
    """The number of the wording of an episode; nothing is drawn unless it is ``any``."""
    return rng.randrange(COUNT) if isinstance(wording, str) else wording


def possible(wording: int | str) -> Sequence[int]:
    """The numbers that an episode's wording can have."""
    return range(COUNT) if isinstance(wording, str) else (wording,)


def check_wording(value: object) -> None:
    """UserError unless this is the number of a wording, or ``any``."""
    if value != ANY and (type(value) is not int or not 0 <= value < COUNT):
        raise UserError(f"The option wording is a whole number from 0 to {COUNT - 1}, or any, not {as_typed(value)}.")
