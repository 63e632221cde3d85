"""Scripted players: a strategy of the game's family on one seat.

The strategies lie in ``matrix_strategies`` and ``splitting_strategies``; their names are unique within a family.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from detente.errors import UserError, unknown
from detente.games.base import Game, Observation
from detente.games.deals import SplitView
from detente.games.matrix import MatrixGame, MatrixView
from detente.games.splitting import SplittingGame
from detente.players.matrix_strategies import DILEMMA_ONLY, MATRIX, prisoners_dilemma
from detente.players.splitting_strategies import SPLITTING
from detente.records import Completion, PolicyRef
from detente.seeding import derive

__all__ = ["MATRIX", "SPLITTING", "Scripted", "scripted", "scripted_names"]

FAMILIES: dict[str, Collection[str]] = {"matrix": MATRIX, "splitting": SPLITTING}


@dataclass
class Scripted:
    """A strategy on one seat for one episode. Its coin flips depend on ``seed`` and the turn alone."""

    name: str
    seed: int
    turn: int = 0

    @property
    def policy(self) -> PolicyRef:
        return PolicyRef("script", self.name)

    async def act(self, observation: Observation) -> Completion:
        """Answer at once; raises UserError where the strategy is made for games of another family."""
        seed = derive(self.seed, "turn", self.turn)
        self.turn += 1
        view, rng = observation.view, random.Random(seed)
        if isinstance(view, MatrixView) and self.name in MATRIX:
            probabilities = MATRIX[self.name](view)
            (answer,) = rng.choices(view.answers, probabilities)
            return Completion(answer, self.policy, seed, probabilities=probabilities)
        if isinstance(view, SplitView) and self.name in SPLITTING:
            return Completion(SPLITTING[self.name](view, rng), self.policy, seed)
        families = " and ".join(family for family, names in FAMILIES.items() if self.name in names)
        raise UserError(f"The strategy '{self.name}' plays {families} games only.")

    def close(self) -> None:
        """Nothing is kept."""


def scripted(name: str, seed: int) -> Scripted:
    """The strategy of that name as a player; raises UserError for a name that does not exist."""
    known = {*MATRIX, *SPLITTING}
    if name not in known:
        raise unknown("strategy", name, known)
    return Scripted(name, seed)


def scripted_names(game: Game) -> list[str]:
    """The strategies that can play this game: of a matrix game without a cooperative action only the random one."""
    if isinstance(game, SplittingGame):
        return list(SPLITTING)
    if not isinstance(game, MatrixGame):
        return []
    if game.cooperative is None:
        return ["random"]
    dilemma = prisoners_dilemma(game.payoffs) is not None
    return [name for name in MATRIX if dilemma or name not in DILEMMA_ONLY]
