"""What a player faces against one whose rule is known: a tree for every round, whose leaves lead to the next round.

    state ── round ──> Chance (what it is told, how likely) ──> Choice (its answer) ──> ... ──> End (points, next state)

A state is all that the rest of the game depends on, and the player knows it. ``evaluation.exact`` computes the best plan.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")
Path = tuple[Hashable, ...]  # what the player was told and has answered in a round, in turn


@dataclass(frozen=True, slots=True)
class End:
    """A round ends: the points of the player and of the one it plays against, and the state that the next round begins in."""

    own: float
    theirs: float
    state: Hashable


@dataclass(frozen=True, slots=True)
class Chance:
    """``branches``: what the player is told, the probability of it, and what follows; no two tell the same."""

    branches: tuple[tuple[Hashable, float, Node], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """``options``: an answer of the player, and what follows."""

    options: tuple[tuple[str, Node], ...]


Node = End | Chance | Choice


class Process(Protocol):
    """What the player faces.

    ``start`` is the state of the first round, ``span`` the smallest and the largest points of a round, (own, theirs) each.
    """

    @property
    def start(self) -> Hashable: ...

    @property
    def span(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """((smallest own, largest own), (smallest theirs, largest theirs))."""
        ...

    def round(self, state: Hashable) -> Node | None:
        """The round that begins in a state; None where it is not known."""
        ...


def fold(
    node: Node,
    end: Callable[[End], T],
    chance: Callable[[Sequence[tuple[float, T]]], T],
    choice: Callable[[Path, Mapping[str, T]], T],
    path: Path = (),
) -> T:
    """The value of a tree from those of its leaves; ``choice`` is also given the path that leads to it."""
    match node:
        case End():
            return end(node)
        case Chance(branches):
            return chance([(p, fold(branch, end, chance, choice, (*path, said))) for said, p, branch in branches])
        case Choice(options):
            return choice(path, {answer: fold(option, end, chance, choice, (*path, answer)) for answer, option in options})
