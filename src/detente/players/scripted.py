"""Scripted players: a strategy on one seat, of the game's family or, as ``module:attribute``, a user's own.

The strategies lie in the folders of the families, ``games/FAMILY/strategies.py``; their names are unique within a family.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from detente import foreign
from detente.errors import UserError, unknown
from detente.games import FAMILIES
from detente.games.base import Game, Observation
from detente.games.family import Strategy, any_choice, family_of, strategies_for
from detente.games.guard import brief
from detente.players.base import MemorylessPlayer
from detente.records import Completion, PolicyRef
from detente.seeding import derive

NAMES = frozenset(name for family in FAMILIES for name in family.strategies)  # of every strategy of the package


@dataclass
class Scripted(MemorylessPlayer):
    """A strategy on one seat for one episode. Its random numbers depend on ``seed`` and the turn alone.

    ``strategy`` None draws from the choices, all equally likely.
    """

    name: str
    seed: int
    strategy: Strategy | None
    turn: int = 0

    @property
    def policy(self) -> PolicyRef:
        return PolicyRef("script", self.name)

    async def act(self, observation: Observation) -> Completion:
        """Answer at once; UserError where the strategy makes no sense with this game, or fails."""
        seed = derive(self.seed, "turn", self.turn)
        self.turn += 1
        rng = random.Random(seed)
        try:
            said = any_choice(observation) if self.strategy is None else self.strategy(observation.view, rng)
        except Exception as error:
            raise foreign.fault(f"The strategy '{self.name}'", error) from error
        if isinstance(said, str):
            return Completion(said, self.policy, seed)
        try:
            probabilities = tuple(said)
            (answer,) = rng.choices(observation.choices, probabilities)
            if min(probabilities) < 0 or not math.isclose(sum(probabilities), 1, abs_tol=1e-6):
                raise ValueError("these are no probabilities")
        except (TypeError, ValueError, IndexError) as error:
            raise self._wrong(said, observation) from error
        return Completion(answer, self.policy, seed, probabilities=probabilities)

    def recall(self, observation: Observation, completion: Completion) -> None:
        """The next turn's random numbers come next."""
        self.turn += 1

    def _wrong(self, said: object, observation: Observation) -> UserError:
        choices = observation.choices
        also = f" or {len(choices)} probabilities that sum to 1, of {', '.join(choices)}" if choices else ""
        return UserError(f"The strategy '{self.name}' returned {brief(said)}; it should return an answer, a text{also}.")


def scripted(name: str, seed: int, game: Game) -> Scripted:
    """The strategy of that name as a player of this game; UserError for a name that does not exist or is made for other games."""
    known = family_of(game).strategies
    if foreign.is_strategy(name) and name not in known:
        return Scripted(name, seed, foreign.imported(name, "strategy"))
    if name not in known and name != "random":
        families = " and ".join(family.name for family in FAMILIES if name in family.strategies)
        if not families:
            raise unknown("strategy", name, strategies_for(game) or NAMES)
        raise UserError(f"The strategy '{name}' plays {families} games only.")
    return Scripted(name, seed, known.get(name))


def checked(name: str, game: Game) -> str:
    """The name of a strategy that can play this game; UserError for one that cannot."""
    possible = strategies_for(game)
    if foreign.is_strategy(name) and name not in possible:
        foreign.imported(name, "strategy")
    elif name not in possible:
        if name not in {*family_of(game).strategies, *NAMES}:
            raise unknown("strategy", name, possible or NAMES)
        raise UserError(f"The strategy '{name}' cannot play {game.name}; those that can: {', '.join(possible) or 'none'}.")
    return name
