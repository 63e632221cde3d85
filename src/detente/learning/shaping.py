"""Another reward in place of the game's points, for training alone: one of the package's, or a user's own.

    episode ── reward(episode) ──> (T, P) numbers ── shaped ──> the same episode with these as rewards ──> trajectories

Records, evaluations and every other metric keep the points of the game. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from detente import foreign
from detente.errors import UserError, unknown
from detente.games.guard import brief, is_finite, watched
from detente.games.sides import mean
from detente.options import SOCIAL, SocialOptions
from detente.records import Episode

Reward = Callable[[Episode], Sequence[Sequence[float]]]  # (T rounds, P players)
SELFISH = SocialOptions()


def harm(episode: Episode) -> list[list[float]]:
    """Minus the mean of the others' points: (T, P)."""
    return [[-_others(played.rewards, player) for player in range(episode.num_players)] for played in episode.rounds]


def margin(episode: Episode) -> list[list[float]]:
    """One's own points less the mean of the others': (T, P)."""
    return [[own - _others(played.rewards, player) for player, own in enumerate(played.rewards)] for played in episode.rounds]


def social(episode: Episode, weights: SocialOptions) -> list[list[float]]:
    """Points with altruism, envy and guilt (Fehr and Schmidt, A theory of fairness, competition, and cooperation, 1999): (T, P).

    ``u_i + altruism mean_j(u_j) - envy mean_j(max(u_j - u_i, 0)) - guilt mean_j(max(u_i - u_j, 0))``, j the other players.
    """
    return [[_social(played.rewards, player, weights) for player in range(episode.num_players)] for played in episode.rounds]


REWARDS: dict[str, Reward] = {"harm": harm, "margin": margin}


@contextmanager
def offered(name: str, reward: Reward) -> Iterator[None]:
    """Inside, trainings of this process know one more reward by its name."""
    REWARDS[name] = reward
    try:
        yield
    finally:
        del REWARDS[name]


def named(name: str, players: int = 2, weights: SocialOptions = SELFISH) -> Reward:
    """The reward of that name, or that ``module:attribute`` stands for, in a game of so many players; UserError where there is
    none. ``weights`` are those of ``social``."""
    if foreign.is_foreign(name):
        return watched(foreign.imported(name, "reward"), f"The reward '{name}'", "")
    rewards = REWARDS | {SOCIAL: partial(social, weights=weights)}
    if name not in rewards:
        raise unknown("reward", name, {*rewards, "module:attribute"})
    if players < 2:
        raise UserError(f"The reward '{name}' is about the points of other players, and the game has one player.")
    return rewards[name]


def shaped(episodes: Sequence[Episode], name: str, weights: SocialOptions = SELFISH) -> list[Episode]:
    """The episodes with the rewards that the function of that name gives them; UserError for what are no rewards."""
    reward = named(name, weights=weights)
    return [_shaped(episode, reward(episode), name) for episode in episodes]


def mean_reward(episodes: Sequence[Episode], learner: str) -> float | None:
    """Reward per round of the seats that train a learner; None where it has none."""
    return mean(e.mean_reward(seat) for e in episodes for seat, trained in enumerate(e.learners) if trained == learner)


def _others(points: Sequence[float], player: int) -> float:
    """The mean of the other players' points."""
    return (sum(points) - points[player]) / (len(points) - 1)


def _social(points: Sequence[float], player: int, weights: SocialOptions) -> float:
    own, others = points[player], len(points) - 1
    ahead = sum(max(other - own, 0) for other in points) / others
    behind = sum(max(own - other, 0) for other in points) / others
    return own + weights.altruism * _others(points, player) - weights.envy * ahead - weights.guilt * behind


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
