"""What scripted players of a splitting game earn against each other: exact from the rules where that is possible, else by play.

    game.draw ── every branch of its chance ──> equally likely deals ── one round of each ──> meeting: exact means
    game ── many episodes, seats swapped ──> played: means of a sample

Must not import torch.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from detente.games.family import measures
from detente.games.reading import Meet
from detente.games.splitting.deals import Deal, SplitState
from detente.games.splitting.rules import SplittingGame
from detente.games.splitting.strategies import SPLITTING

STATELESS = ("greedy", "fair_half", "welfare")  # what they do depends on the present round alone
FORKS, DEALS = 100, 10_000  # how far chance is followed
DRAWN = 1000  # deals, where they cannot be listed
FEW, SAMPLE = 100, 100  # deals that are all played, and how many of them where there are more
MATCHES = 20  # game seeds of a pairing, each played in both orders of the seats


def pairing(meet: Meet, game: SplittingGame, row: str, column: str) -> dict[str, float]:
    """All measures of the script ``row`` against ``column``, those named TABLE/CONDITION too, and ``opponent_reward``."""
    exact = {row, column} <= {*STATELESS} and few(game)
    return played(meet, game, row, column) | (meeting(game, row, column) if exact else {})


@lru_cache(maxsize=256)
def meeting(game: SplittingGame, row: str, column: str) -> dict[str, float]:
    """Two stateless scripts meet in each deal, either speaking first: means of both rewards, of efficiency and of units asked."""
    every = deals(game)
    chosen = every if few(game) else random.Random(0).sample(every, SAMPLE)
    values: dict[str, list[float]] = defaultdict(list)
    for deal, first in itertools.product(chosen, (0, 1)):
        asks, (own, other) = one_round(game, deal, first, (row, column))
        values["reward"].append(own)
        values["opponent_reward"].append(other)
        values["efficiency"].append((own + other) / deal.best)
        for item, own_value, other_value in zip(game.items, *deal.values, strict=True):
            if own_value != other_value:
                values["ask_higher" if own_value > other_value else "ask_lower"].append(asks[0][item])
    return {name: sum(listed) / len(listed) for name, listed in values.items()}


def one_round(game: SplittingGame, deal: Deal, first: int, names: Sequence[str]) -> tuple[Mapping[int, Any], tuple[float, ...]]:
    """The asks and the rewards of two scripts in a round with this deal, in which player ``first`` speaks first.

    As in play, the default action stands for what is no answer, such as a message too long for the game.
    """
    state, rng = SplitState((deal,), first), random.Random(0)
    while True:
        said = {player: SPLITTING[names[player]](game.observe(state, player).view, rng) for player in game.to_act(state)}
        parsed = {player: game.parse(state, player, str(text)) for player, text in said.items()}
        actions = {player: game.default_action(state, player) if action is None else action for player, action in parsed.items()}
        step = game.step(state, actions)
        if step.rewards is not None:
            return actions, step.rewards
        state = step.state


@lru_cache(maxsize=64)
def deals(game: SplittingGame) -> tuple[Deal, ...]:
    """Every deal that a round can start with, all equally likely; where they cannot be listed a sample."""
    try:
        every = list(itertools.islice(_outcomes(game), DEALS))
    except _EndlessError:
        every = []
    if every and {count for _, count in every} == {len(every)}:
        return tuple(deal for deal, _ in every)
    rng = random.Random(0)
    return tuple(game.draw(rng, None) for _ in range(DRAWN))


def few(game: SplittingGame) -> bool:
    """Whether ``meeting`` is exact: there is time to play every deal."""
    return len(deals(game)) <= FEW


@lru_cache(maxsize=256)
def played(meet: Meet, game: SplittingGame, row: str, column: str) -> dict[str, float]:
    """Two scripts play ``MATCHES`` game seeds, each in both orders of the seats."""
    sides = [(episode, seat) for seat, names in enumerate(((row, column), (column, row))) for episode in meet(game, names, MATCHES)]
    others = [(episode, 1 - seat) for episode, seat in sides]
    values = measures(game, sides) | {"opponent_reward": measures(game, others)["reward"]}
    return {name: value for name, value in values.items() if value is not None}


def _outcomes(game: SplittingGame) -> Iterator[tuple[Deal, int]]:
    """Every deal, and how many deals there would be in all if every other were as likely as this one."""
    path: list[int] = []
    while True:
        rng = _Path(path)
        yield game.draw(rng, None), math.prod(rng.forks)
        path = (path + [0] * len(rng.forks))[: len(rng.forks)]
        while path and path[-1] + 1 == rng.forks[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


class _EndlessError(Exception):
    """A random draw whose outcomes cannot all be listed."""


class _Path(random.Random):
    """A random generator that takes the branches of ``path``, then always the first; ``forks`` counts the branches of each draw."""

    def __init__(self, path: Sequence[int]) -> None:
        super().__init__(0)
        self.path = path
        self.forks: list[int] = []

    def choice(self, seq: Any) -> Any:
        place = len(self.forks)
        if place == FORKS:
            raise _EndlessError
        self.forks.append(len(seq))
        return seq[self.path[place] if place < len(self.path) else 0]

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return int(self.choice(range(start) if stop is None else range(start, stop, step)))

    def random(self) -> float:
        raise _EndlessError

    def getrandbits(self, k: int) -> int:
        raise _EndlessError
