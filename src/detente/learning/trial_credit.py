"""Credit over a trial: several episodes with the same others count as one long one.

    a game, E parts of T rounds ── of later parts the sum over the games that share its others ──> an algorithm ──> credit

With R the return of round t of part e in a game, g the discount and S the sum over the games with the same other learners:

    R_{e,t} = sum_{l>=t} g^(l-t) r_{e,l} + sum_{e'>e} g^((e'-e)T-t) S_{e'},   S_{e'} = sum over these games of sum_l g^l r_{e',l}

What a seat teaches the others in one game shows later in all games with them, so all of these count; its own game alone is too
noisy to learn from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from detente.errors import UserError
from detente.learning.batch import Assign, Trajectory
from detente.learning.credit import Group


def seen_from(rewards: Tensor, part: int, sharing: Tensor) -> Tensor:
    """The rewards that one part of a trial learns from: (K, E, T, P) -> (K, E*T, P).

    Up to that part they are the game's own, after it the sums over all games with the same number in ``sharing`` (K,) integers.
    """
    sums = torch.zeros_like(rewards).index_add_(0, sharing, rewards)[sharing]
    return torch.cat([rewards[:, : part + 1], sums[:, part + 1 :]], 1).flatten(1, 2)


def trial_credit(group: Group, parts: int, sharing: Tensor, assign: Assign) -> Tensor:
    """The credit of games of ``parts`` episodes each, laid end to end in the group: (1, K, E*T, P) -> (1, K, E*T).

    Each part is assigned its credit from what it sees of the trial (``seen_from``).
    """
    rewards = group.rewards[0].unflatten(1, (parts, -1))  # (K, E, T, P)
    rounds = rewards.shape[2]
    credits = [
        assign(replace(group, rewards=seen_from(rewards, part, sharing)[None]))[..., part * rounds : (part + 1) * rounds]
        for part in range(parts)
    ]
    return torch.cat(credits, -1)


def with_trial_credit(trajectories: Sequence[Trajectory], assign: Assign, *, fewest: int) -> list[Trajectory]:
    """Give every trajectory the credit of its rounds, where those of one group, index and seat are the parts of a trial.

    All games of a seat are compared with each other; less than ``fewest`` are left out. Games share their others if the same
    learners train opposite; what nobody trains on does not change, so a game against it shares with none. UserError for parts of
    different length.
    """
    games: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for number in sorted(range(len(trajectories)), key=lambda i: trajectories[i].iteration):
        games[trajectories[number].seat, trajectories[number].group, trajectories[number].index].append(number)
    credited: dict[int, Trajectory] = {}
    for seat in sorted({trajectory.seat for trajectory in trajectories}):
        members = [parts for (sat, _, _), parts in games.items() if sat == seat]
        if len(members) < fewest:
            continue
        lengths, rounds = {len(parts) for parts in members}, {len(trajectories[i].own) for parts in members for i in parts}
        if len(lengths) > 1 or len(rounds) > 1:
            raise UserError("collect=trial needs episodes of equal length; play a game with a fixed number of rounds.")
        group = Group(
            rewards=torch.stack([torch.cat([trajectories[i].rewards for i in parts]) for parts in members])[None],
            seat=seat,
            actions=(tuple(tuple(made for i in parts for made in trajectories[i].actions) for parts in members),),
        )
        credit = trial_credit(group, len(members[0]), _sharing([trajectories[parts[0]] for parts in members]), assign)[0]
        for parts, whole in zip(members, credit, strict=True):
            for i, own in zip(parts, whole.chunk(len(parts)), strict=True):
                credited[i] = replace(trajectories[i], credit=own)
    return [credited[i] for i in sorted(credited)]


def _sharing(games: Sequence[Trajectory]) -> Tensor:
    """(K,) a number for each game, the same for those with the same other learners."""
    keys = [game.others or (str(game.group), str(game.index)) for game in games]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return torch.tensor([numbers[key] for key in keys])
