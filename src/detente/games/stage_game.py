"""The stage game of a game that repeats one round: all act at once, and what they do decides what everybody gets in it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from detente.games.base import Action


@dataclass(frozen=True, slots=True)
class StageGame:
    """``actions`` are everybody's, in the order of an observation's choices; ``points(moves)`` gives every player's points by seat,
    and ``terms`` are what they follow from: games with the same terms have the same points.

    In games of more than two players a player's points stay the same where others trade moves.
    """

    actions: tuple[Action, ...]
    players: int
    terms: Hashable
    points: Callable[[Sequence[Action]], Sequence[float]] = field(compare=False)
