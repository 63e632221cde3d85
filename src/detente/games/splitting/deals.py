"""What a splitting game is made of: deals, rounds that were played, the state, and what a script sees of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from detente.games.base import Phase

Amounts = tuple[int, ...]  # one number per item: units, or points per unit


@dataclass(frozen=True, slots=True)
class Deal:
    """What a round starts with. ``truth[p]`` are the words with which player p would name truthfully what only it knows."""

    stock: Amounts
    values: tuple[Amounts, ...]  # [player][item] points per unit
    truth: tuple[tuple[str, ...], ...] = ((), ())

    @property
    def best(self) -> int:
        """The maximum joint points: every item goes to the player that values it most."""
        return sum(q * max(worth) for q, worth in zip(self.stock, zip(*self.values, strict=True), strict=True))


@dataclass(frozen=True, slots=True)
class Values:
    """What a unit of each item is worth to oneself and to the other."""

    own: Amounts
    other: Amounts


@dataclass(frozen=True, slots=True)
class Known:
    """What a player knows of the values in this round.

    ``own``: its own, None where it must learn them. ``values``: those of both, where they are public. ``if_named``: words -> the
    values of both, if the other names exactly these words and they are true.
    """

    own: Amounts | None = None
    values: Values | None = None
    if_named: Mapping[frozenset[str], Values] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """A past round as one player saw it; None is what was not revealed."""

    stock: Amounts
    values: Values | None
    own: Amounts  # asks
    other: Amounts | None


@dataclass(frozen=True, slots=True)
class Played:
    """A finished round, also as each player saw it."""

    asks: tuple[Amounts, ...]  # [player][item]
    points: tuple[float, ...]
    seen: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class SplitState:
    """Every deal of the episode, who opens the first round, what was said in this one, the rounds so far, the rules' wording."""

    deals: tuple[Deal, ...]
    first: int
    spoken: tuple[str, ...] = ()
    past: tuple[Played, ...] = ()
    wording: int = 0

    @property
    def deal(self) -> Deal:
        """The deal of the present round."""
        return self.deals[len(self.past)]


@dataclass(frozen=True, slots=True)
class SplitView:
    """What a script sees.

    ``claim`` is a sentence that names words of the ``vocabulary``, ``truth`` the words of an honest player. ``said`` and ``heard``
    are the messages of this round.
    """

    player: int
    phase: Phase
    items: tuple[str, ...]
    stock: Amounts
    known: Known
    truth: tuple[str, ...]
    vocabulary: tuple[str, ...]
    claim: str
    said: tuple[str, ...]
    heard: tuple[str, ...]
    past: tuple[Seen, ...]
    forms: Mapping[str, str]
    exact: bool  # whether there are points only if the asks add up to exactly the stock

    def message(self, text: str) -> str:
        """A message as an answer."""
        return self.forms["message"].format(text)

    def ask(self, units: Iterable[int]) -> str:
        """An ask, units per item, as an answer."""
        return self.forms["decision"].format(*units)
