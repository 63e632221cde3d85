"""What a player faces against one whose rule is known: a tree for every round, whose leaves lead to the next round.

    state ── round ──> Chance (what it is told, how likely) ──> Choice (its answer) ──> ... ──> End (points, next state)

A state is all that the rest of the game depends on, and the player knows it. ``evaluation.exact`` computes the best plan.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

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

    ``start`` is the state of the first round, ``span`` the smallest and the largest points of a round: (smallest own, largest own)
    and (smallest theirs, largest theirs).
    """

    @property
    def start(self) -> Hashable: ...

    @property
    def span(self) -> tuple[tuple[float, float], tuple[float, float]]: ...

    def round(self, state: Hashable) -> Node | None:
        """The round that begins in a state; None where it is not known."""
        ...


class Playable(Process, Protocol):
    """A process that says where a player stands in it, and how long it lasts: ``rounds`` rounds, or with ``continuation`` at most
    so many, each followed by another one with that probability."""

    @property
    def rounds(self) -> int: ...

    @property
    def continuation(self) -> float | None: ...

    def tells(self, view: Any) -> tuple[int, Hashable, Hashable]:
        """What the player learns from a view: how many rounds are over, what the last one told at its end, what it is told now."""
        ...

    def says(self, view: Any, answer: str) -> str:
        """An answer of the process in the words of the game."""
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


def leaves(node: Node) -> list[tuple[float, End]]:
    """The ends of a tree without choices, with their probabilities."""
    return fold(
        node,
        lambda end: [(1.0, end)],
        lambda branches: [(p * q, end) for p, ends in branches for q, end in ends],
        lambda path, options: [],
    )


def mean_points(ends: Sequence[tuple[float, End]]) -> tuple[float, float]:
    """The means of both sides' points over ends, weighted."""
    total = sum(p for p, _ in ends)
    return sum(p * end.own for p, end in ends) / total, sum(p * end.theirs for p, end in ends) / total


def follow(process: Process, state: Hashable, path: Path) -> Hashable:
    """The state after a round, given all that the player was told and has answered in it; KeyError where this cannot happen."""
    node = process.round(state)
    for step in path:
        match node:
            case Chance(branches):
                node = {told: branch for told, _, branch in branches}[step]
            case Choice(options):
                node = dict(options)[str(step)]
    if not isinstance(node, End):
        raise KeyError(path)
    return node.state
