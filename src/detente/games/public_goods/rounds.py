"""What a public goods game is made of: finished rounds, the state, and what one player sees of them.

seats ── order, drawn for each round ──> rows without names: who is who changes with every round
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
SANCTIONING, FREE = "SI", "SFI"  # the institution with sanctions, and the one without
INSTITUTIONS = (SANCTIONING, FREE)
TOPICS = ("institution", "contribution", "sanctions")


@dataclass(frozen=True, slots=True)
class Row:
    """What is told of a player after a round. ``rewarded`` and ``punished``: the tokens of either kind that it received."""

    institution: str
    contribution: int
    rewarded: int
    punished: int
    first: float  # points of the first stage
    second: float

    @property
    def points(self) -> float:
        """Of both stages."""
        return self.first + self.second


@dataclass(frozen=True, slots=True)
class Seen:
    """A finished round as one player saw it: its own row, and those of the others in an order that tells nothing."""

    own: Row
    others: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Played:
    """A finished round: a row by player, and the order in which players stand before each other."""

    rows: tuple[Row, ...]
    order: tuple[int, ...]

    def seen(self, player: int) -> Seen:
        """The round as this player saw it."""
        return Seen(self.rows[player], tuple(self.rows[other] for other in self.order if other != player))

    def mixed(self, seats: Sequence[int]) -> Played:
        """The round if player p had been ``seats[p]``; whoever keeps its seat sees the same."""
        return Played(trade_seats(self.rows, seats), tuple(seats[player] for player in self.order))


@dataclass(frozen=True, slots=True)
class GroupState:
    """What the seed decided, what has happened in this round so far, and the finished rounds.

    ``labels`` stand for the institutions, in the order of ``INSTITUTIONS``; ``listing`` is the order in which players are told
    them. ``orders[t]`` are the players as others see them in round t; ``slips[t][p]`` is the level that replaces player p's
    contribution in round t, None for none, and () without noise.
    """

    horizon: int
    labels: tuple[str, ...]
    listing: tuple[int, ...]
    orders: tuple[tuple[int, ...], ...]
    slips: tuple[tuple[int | None, ...], ...] = ()
    institutions: tuple[str, ...] = ()  # of this round, by player; () before they are chosen
    contributions: tuple[int, ...] = ()  # the same
    past: tuple[Played, ...] = ()

    @property
    def order(self) -> tuple[int, ...]:
        """The order of this round."""
        return self.orders[len(self.past)]

    @property
    def topic(self) -> str:
        """What is asked now."""
        if not self.institutions:
            return "institution"
        return "sanctions" if self.contributions else "contribution"

    def fellows(self, player: int) -> tuple[int, ...]:
        """The other members of the player's institution in this round, in its order."""
        own = self.institutions[player]
        return tuple(other for other in self.order if other != player and self.institutions[other] == own)


@dataclass(frozen=True, slots=True)
class GroupView:
    """What a script sees, and how it answers.

    ``answers``: what to say for either institution. ``given``: before sanctions what the other members of one's institution gave.
    ``past``: the last rounds, as many as the game shows.
    """

    topic: str
    answers: tuple[str, ...]
    levels: tuple[int, ...]
    tokens: int
    given: tuple[int, ...]
    past: tuple[Seen, ...]

    def choose(self, institution: str) -> str:
        """The answer that joins the institution."""
        return self.answers[INSTITUTIONS.index(institution)]

    def give(self, level: float) -> str:
        """The answer that gives what lies next to this amount, the lower one of two."""
        return contribution(min(self.levels, key=lambda known: abs(known - level)))

    def send(self, tokens: Iterable[int]) -> str:
        """The answer that sends these tokens, one number for each of ``given``."""
        return sanctions(tokens)

    @property
    def items(self) -> tuple[str, ...]:
        """What the numbers of an answer count."""
        if self.topic == "contribution":
            return ("coins",)
        return tuple(f"for player {number} (gave {level})" for number, level in enumerate(self.given, 1))


def contribution(level: object) -> str:
    """A contribution as an answer says it."""
    return f"Contribution: {level}"


def sanctions(tokens: Iterable[object]) -> str:
    """Tokens as an answer says them, one number for each other member."""
    return f"Tokens: {', '.join(map(str, tokens))}"


def trade_seats(values: Sequence[T], seats: Sequence[int]) -> tuple[T, ...]:
    """Values by player, of which player p's now belongs to ``seats[p]``."""
    traded = dict(zip(seats, values, strict=True))
    return tuple(traded[seat] for seat in range(len(traded)))
