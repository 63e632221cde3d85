"""Episodes in which one player draws its actions from known preferences, in random payoff tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from detente.games import make
from detente.records import Completion, Episode, PolicyRef, Round, Turn

ME, THEM = PolicyRef("script", "me"), PolicyRef("script", "them")
Utility = Callable[[float, float], float]  # of own points and the other's
Table = Sequence[Sequence[Sequence[float]]]  # [own action][the other's] -> (own points, the other's)


def softmax_episodes(utility: Utility, count: int, seed: int, rounds: int = 1, tables: Sequence[Table] = ()) -> list[Episode]:
    """One of these payoff tables each, or one of its own with numbers up to 10; the other, on the second seat, flips a coin."""
    rng = np.random.default_rng(seed)
    drawn = [*tables] or [rng.uniform(0, 10, (2, 2, 2)).round(3).tolist() for _ in range(count)]
    return [_episode(utility, rng, number, rounds, drawn[number % len(drawn)]) for number in range(count)]


def _episode(utility: Utility, rng: np.random.Generator, number: int, rounds: int, payoffs: Table) -> Episode:
    worth = [sum(utility(*cell) for cell in row) / 2 for row in payoffs]
    chance = 1 / (1 + math.exp(worth[1] - worth[0]))
    moves = [(int(rng.random() > chance), int(rng.random() > 0.5)) for _ in range(rounds)]
    played = tuple(round_of(("CD"[own], "CD"[other]), payoffs[own][other]) for own, other in moves)
    return Episode(make("matrix", payoffs=payoffs, rounds=rounds).parameters(), number, (ME, THEM), played)


def round_of(actions: Sequence[object], rewards: Sequence[float]) -> Round:
    """A round in which all act at once."""
    policies = (ME, *(THEM,) * (len(actions) - 1))
    turns = tuple(Turn(seat, "", action, True, Completion("", policies[seat])) for seat, action in enumerate(actions))
    return Round(turns, tuple(rewards), {}, (len(turns),))
