"""A user's own reward in place of the game's points, for training alone.

    episode ── reward(episode) ──> (T, P) numbers ── shaped ──> the same episode with these as rewards ──> trajectories

Records, evaluations and every other metric keep the points of the game. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from detente import foreign
from detente.errors import UserError
from detente.games.guard import brief, is_finite, watched
from detente.games.sides import mean
from detente.records import Episode

Reward = Callable[[Episode], Sequence[Sequence[float]]]  # (T rounds, P players)


def named(name: str) -> Reward:
    """The reward that ``module:attribute`` stands for; UserError where there is none."""
    return watched(foreign.imported(name, "reward"), f"The reward '{name}'", "")


def shaped(episodes: Sequence[Episode], name: str) -> list[Episode]:
    """The episodes with the rewards that the function of that name gives them; UserError for what are no rewards."""
    reward = named(name)
    return [_shaped(episode, reward(episode), name) for episode in episodes]


def mean_reward(episodes: Sequence[Episode], learner: str) -> float | None:
    """Reward per round of the seats that train a learner; None where it has none."""
    return mean(e.mean_reward(seat) for e in episodes for seat, trained in enumerate(e.learners) if trained == learner)


def _shaped(episode: Episode, rewards: Any, name: str) -> Episode:
    rounds, players = len(episode.rounds), episode.num_players
    try:
        rows = [tuple(row) for row in rewards]
    except TypeError:
        rows = []
    if len(rows) != rounds or any(len(row) != players or not all(map(is_finite, row)) for row in rows):
        right = f"{rounds} rows of {players} finite numbers, one row per round and one number per player"
        raise UserError(f"The reward '{name}' returned {brief(rewards)}; it should be {right}.")
    paid = [replace(played, rewards=tuple(map(float, row))) for played, row in zip(episode.rounds, rows, strict=True)]
    return replace(episode, rounds=tuple(paid))
