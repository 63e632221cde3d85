"""Seven independent learners without memory in the standard public goods game: what sanctions make of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detente.games import make
from detente.games.public_goods.rounds import FREE, SANCTIONING

STANDARD: Any = make("public_goods")
ACTIONS = [(institution, given) for institution in (FREE, SANCTIONING) for given in (0, 10, 20)]
STEPS, EPISODES, RATE = 300, 48, 0.08


@cache
def points(chosen: tuple[int, ...], tokens: int) -> NDArray[Any]:
    """Points by player, where those who give 20 in SI send as many tokens together to each other member, at equal cost."""
    institutions, given = zip(*(ACTIONS[action] for action in chosen), strict=True)
    inside = np.array([institution == SANCTIONING for institution in institutions])
    gives = inside & (np.array(given) == 20)
    rest = inside & ~gives
    sent = tokens * rest.sum() / gives.sum() if gives.any() else 0.0
    received = STANDARD.punish * tokens * rest if gives.any() else 0.0
    total: NDArray[Any] = STANDARD.tokens + np.array(STANDARD.stakes.first(institutions, given)) - sent * gives - received
    return total


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    result: NDArray[Any] = weights / weights.sum(1, keepdims=True)
    return result


def trained(tokens: int, seed: int) -> NDArray[Any]:
    """(players, actions) the policies that REINFORCE with a mean baseline ends with."""
    rng, logits, one_hot = np.random.default_rng(seed), np.zeros((7, len(ACTIONS))), np.eye(len(ACTIONS))
    for _ in range(STEPS):
        policies = softmax(logits)
        chosen = np.stack([rng.choice(len(ACTIONS), EPISODES, p=policy) for policy in policies], 1)
        rewards = np.stack([points(tuple(row), tokens) for row in chosen])
        advantages = rewards - rewards.mean(0)
        logits += RATE * (advantages[..., None] * (one_hot[chosen] - policies)).mean(0)
    return softmax(logits)


@pytest.mark.parametrize(("tokens", "gives", "pays"), [(3, 0, 40), (6, 20, 52)])
def test_learners_give_where_free_riding_costs_more_than_it_saves(tokens: int, gives: int, pays: int) -> None:
    """Three tokens take 9 points of the 15.43 that free riding saves, six take 18."""
    for seed in range(5):
        policies = trained(tokens, seed)
        likely = policies.argmax(1)
        assert policies @ np.array([given for _, given in ACTIONS]) == pytest.approx(np.full(7, gives), abs=1)
        assert points(tuple(likely), tokens).mean() == pytest.approx(pays)
        assert gives == 0 or {ACTIONS[action][0] for action in likely} == {SANCTIONING}
