"""What all mechanisms share: each is a game around a game, and its family speaks for the family of that game.

    {"name": "repetition", "of": {"name": "ipd", "rounds": 1}} ── make ──> Repetition(of=MatrixGame) ── family ──> that of both

Must not import anything above games.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from detente.errors import UserError
from detente.games.base import Game
from detente.games.family import Family, family_of
from detente.games.guard import guarded
from detente.games.mechanisms.families import around
from detente.games.parameters import as_json


class Around:
    """A game around the game ``of``."""

    name: str
    of: Game

    @cached_property
    def inside(self) -> Game:
        """The game inside, to play."""
        return guarded(self.of)

    @cached_property
    def family(self) -> Family:
        """The family of this mechanism around this game."""
        return around(self)

    def seats_of(self, strategy: str) -> Sequence[int]:
        """The seats that a strategy can take: those of the game inside, where players keep their seats in it."""
        inner = family_of(self.of)
        known = strategy in inner.strategies and self.num_players == self.of.num_players
        return inner.seats(self.of, strategy) if known else range(self.num_players)

    @property
    def num_players(self) -> int:
        return self.of.num_players

    @property
    def symmetric(self) -> bool:
        return bool(getattr(self.of, "symmetric", True))

    @property
    def roles(self) -> tuple[str, ...] | None:
        named: tuple[str, ...] | None = getattr(self.of, "roles", None)
        return named

    def parameters(self) -> dict[str, Any]:
        return as_json(self) | {"of": self.of.parameters()}


def check_players(game: Around) -> None:
    """UserError for a game that nobody plays with anybody."""
    if game.of.num_players < 2:
        raise UserError(f"The mechanism {game.name} stands between players, and the game {game.of.name} has one.")
