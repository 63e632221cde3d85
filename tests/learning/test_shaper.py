"""Shaping over trials, with policies that are a few probabilities of cooperation, in seconds; their credit is the package's.

    32 copies of a rival x 8 games, trials of 5 episodes of 10 rounds, payoffs 4/3/1/0

A rival starts undecided in every trial and learns after each episode as ``reinforce`` does. The shaper knows the last joint move,
the episode of the trial and, as its briefing, how often the rival cooperated in the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from detente.learning.credit import Group, advantages_of, whiten
from detente.learning.trial_credit import trial_credit
from detente.options import AlgorithmOptions

Array = NDArray[np.float64]
PAYOFFS = np.array([[3.0, 0.0], [4.0, 1.0]])  # of who plays the row, C or D, against the column
COPIES, GAMES, PARTS, ROUNDS = 32, 8, 5, 10
BINS = 3  # of the briefing: the rival cooperated rarely, sometimes, mostly
STATES = 5  # the start, CC, CD, DC, DD, one's own move first
RIVAL_RATE, SHAPER_RATE = 5.0, 0.5
COPY_OF = np.repeat(np.arange(COPIES), GAMES)


@dataclass(frozen=True)
class Played:
    """An episode of every game at once, (T, N) of each: the state before a move, how likely C was, whether it was C, the points."""

    states: NDArray[np.intp]
    probabilities: Array
    cooperated: NDArray[np.bool_]
    points: Array

    def gradients(self, credit: Array) -> Array:
        """(N, STATES) of the logits of each game, for credit (N, T)."""
        pushed = (self.cooperated - self.probabilities) * credit.T
        return np.stack([(pushed * (self.states == state)).sum(0) for state in range(STATES)], 1)


def play(rng: np.random.Generator, logits: tuple[Array, Array]) -> tuple[Played, Played]:
    """An episode of every game between policies with these logits, (N, STATES) each; as both sides lived it."""
    games = np.arange(len(logits[0]))
    states = [np.zeros(len(games), dtype=np.intp)] * 2
    rows: tuple[list[tuple[NDArray[Any], ...]], ...] = ([], [])
    for _ in range(ROUNDS):
        likely = [1 / (1 + np.exp(-logits[side][games, states[side]])) for side in (0, 1)]
        moves = [rng.random(len(games)) < likely[side] for side in (0, 1)]
        for side in (0, 1):
            points = PAYOFFS[(~moves[side]).astype(int), (~moves[1 - side]).astype(int)]
            rows[side].append((states[side], likely[side], moves[side], points))
        states = [1 + 2 * ~moves[side] + ~moves[1 - side] for side in (0, 1)]
    first, second = (Played(*(np.array(column) for column in zip(*side, strict=True))) for side in rows)
    return first, second


def taught(rivals: Array, played: Played) -> Array:
    """The rivals (COPIES, STATES) after their ordinary update, leave-one-out within the games of each copy."""
    own = torch.from_numpy(played.points.T.reshape(COPIES, GAMES, ROUNDS))
    credit = advantages_of(own, AlgorithmOptions(gamma=0.9)).numpy().reshape(-1, ROUNDS)
    gradients = played.gradients(credit).reshape(COPIES, GAMES, STATES).mean(1) / ROUNDS
    return rivals + RIVAL_RATE * gradients


def pair(seed: int, trials: int = 4) -> Array:
    """Points per round of two ordinary learners that both start anew in every trial."""
    rng, points = np.random.default_rng(seed), []
    for _ in range(trials):
        learners = [np.zeros((COPIES, STATES)) for _ in (0, 1)]
        for _ in range(PARTS):
            sides = play(rng, (learners[0][COPY_OF], learners[1][COPY_OF]))
            points.append([side.points.mean() for side in sides])
            learners = [taught(*both) for both in zip(learners, sides, strict=True)]
    return np.mean(points, axis=0)


@dataclass
class Shaper:
    """Logits for each episode of the trial and each briefing, by Adam."""

    logits: Array
    first: Array
    second: Array
    steps: int = 0

    def learn(self, gradient: Array) -> None:
        self.steps += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.99 * self.second + 0.01 * gradient**2
        mean, spread = self.first / (1 - 0.9**self.steps), self.second / (1 - 0.99**self.steps)
        self.logits = self.logits + SHAPER_RATE * mean / (np.sqrt(spread) + 1e-8)


def shaped(seed: int, *, sharing: NDArray[np.intp] = COPY_OF, briefing: bool = True, trials: int = 200) -> Array:
    """Points per round of the shaper and its rivals over the last 30 trials; ``sharing``: which games count for each other."""
    rng, points = np.random.default_rng(seed), []
    shaper = Shaper(*np.zeros((3, PARTS, BINS, STATES)))
    options = AlgorithmOptions(gamma=1.0, baseline="batch")
    for _ in range(trials):
        rivals, told = np.zeros((COPIES, STATES)), np.full(len(COPY_OF), BINS // 2)
        sides, briefings = [], []
        for part in range(PARTS):
            known = (0 * told + part, told) if briefing else (0 * told, 0 * told)
            briefings.append(known)
            sides.append(play(rng, (shaper.logits[known], rivals[COPY_OF])))
            rivals = taught(rivals, sides[-1][1])
            told = np.minimum((sides[-1][1].cooperated.mean(0) * BINS).astype(int), BINS - 1)
        rewards = np.concatenate([np.stack([side.points.T for side in both], -1) for both in sides], 1)  # (N, E*T, 2)
        group = Group(torch.from_numpy(rewards)[None], seat=0)
        credit = trial_credit(group, PARTS, torch.from_numpy(sharing), lambda seen: advantages_of(seen.own, options))
        gradient = np.zeros_like(shaper.logits)  # of a mean over games, but for a factor that Adam takes out
        for both, known, own in zip(sides, briefings, whiten(credit)[0].chunk(PARTS, -1), strict=True):
            np.add.at(gradient, known, both[0].gradients(own.numpy()))
        shaper.learn(gradient)
        points.append(rewards.mean((0, 1)))
    return np.mean(points[-30:], axis=0)


@pytest.fixture(scope="module")
def naive() -> Array:
    return pair(0)


def test_two_ordinary_learners(naive: Array) -> None:
    assert naive == pytest.approx([1.76, 1.76], abs=0.06)


@pytest.mark.parametrize("seed", [0, 1])
def test_who_learns_over_trials_shapes_its_rivals(naive: Array, seed: int) -> None:
    shaper, rival = shaped(seed)
    assert shaper >= naive[0] + 0.5
    assert rival < naive[1]


def test_without_the_sum_over_the_games_of_a_copy_nobody_is_shaped(naive: Array) -> None:
    shaper, _ = shaped(0, sharing=np.arange(len(COPY_OF)))
    assert shaper < naive[0] + 0.3
