"""What else could have come of an episode, as tensors: the rewards of its alternatives (branches.py).

episode, alternatives ── alternative_rewards ──> (T, A, D, P) ── stacked ──> (1, K, T, A, D, P) of a group
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detente.learning.branches import Alternatives, starts
from detente.records import Episode


def alternative_rewards(
    episode: Episode, seat: int, divisor: float, others: Alternatives, depth: int | None = None
) -> Tensor | None:
    """(T, A, D, P) what the alternatives to the seat's answers in each round earned from there on, divided; 0 after their end. None
    where one of these is missing. D is ``depth`` where so many rounds were played; None: all, those of the episode among them."""
    places = [others.get((episode.iteration, episode.index, start), ()) for start in starts(episode, seat)] if others else []
    if not all(places) or not places:
        return None
    earned = [[rewards_of(other, divisor)[number:] for other in place] for number, place in enumerate(places)]
    own = len(episode.rounds) if depth is None else min(depth, len(episode.rounds))
    longest = max(own, *(len(rewards) for place in earned for rewards in place))
    return torch.stack([torch.stack([_lengthened(rewards, longest) for rewards in place]) for place in earned])


def rewards_of(episode: Episode, divisor: float) -> Tensor:
    """(T, P) of all players, divided."""
    return torch.tensor([played.rewards for played in episode.rounds], dtype=torch.float64) / divisor


def _lengthened(rewards: Tensor, rounds: int) -> Tensor:
    """(..., D, P) -> (..., rounds, P), with zeros after the end."""
    return nn.functional.pad(rewards, (0, 0, 0, rounds - rewards.shape[-2]))


def stacked(alternatives: Sequence[Tensor | None]) -> Tensor | None:
    """(1, K, T, A, D, P) of the episodes of a group; None where one of them has none."""
    given = [tensor for tensor in alternatives if tensor is not None]
    if len(given) < len(alternatives):
        return None
    longest = max(tensor.shape[-2] for tensor in given)
    return torch.stack([_lengthened(tensor, longest) for tensor in given])[None]
