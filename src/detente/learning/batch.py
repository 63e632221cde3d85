"""From episodes to what trains: which tokens, with which credit, under which mask.

    episodes ── trajectories ──> one per seat that trains ── with_credit ──> credit per round (micro_batches.py ──> tensors)

A trajectory is one seat's chat as token ids. Tokens that the pattern forced have probability one: they count in the average of
the loss but need no logits. Must not know the model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detente.engines.grammar import Grammar
from detente.errors import UserError
from detente.learning.alternatives import alternative_rewards, rewards_of, stacked
from detente.learning.branches import by_place
from detente.learning.credit import Group
from detente.records import Completion, Episode, Round, Turn

Masks = tuple[NDArray[np.uint8] | None, ...]  # packed, (ceil(V / 8),) each, many of them the same object; None: all is allowed


@dataclass(frozen=True)
class Trajectory:
    """One seat's chat. L tokens, N of them drawn from a distribution, T rounds."""

    group: int
    seat: int
    rewards: Tensor  # (T, P) of all players, divided
    tokens: NDArray[np.int64]  # (L,)
    drawn: NDArray[np.int64]  # (N,) positions of the drawn tokens
    rounds: NDArray[np.int64]  # (N,) the round of each
    logprobs: NDArray[np.float64]  # (N,) the engine's
    allowed: Masks | None  # (N,) what each token was drawn from; None: nothing was constrained
    starts: NDArray[np.int64]  # (T,) position of the last prompt token before the seat's first answer in each round
    generated: int  # drawn and forced tokens
    spoken: int  # those of messages
    credit: Tensor | None = None  # (T,)
    iteration: int = 0  # in which it was played
    actions: tuple[tuple[Any, ...], ...] = ()  # [round][player] what each decided, as for credit.Group
    index: int = 0  # in its iteration
    others: tuple[str, ...] = ()  # the other learners that train on the episode
    observed: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # (P,) tokens of the later observations
    alternatives: Tensor | None = None  # (T, A, D, P) what else could have come of each round, as for credit.Group

    @property
    def own(self) -> Tensor:
        """(T,) the seat's rewards."""
        return self.rewards[:, self.seat]


def trajectory(episode: Episode, seat: int, divisor: float, grammar: Grammar) -> Trajectory:
    """The chat of one seat, with the masks replayed from the patterns; empty if the seat has no tokens.

    Replayed turns are part of the chat alone: their tokens train, and count as generated, where they were drawn.
    """
    tokens: list[int] = []
    drawn, rounds, logprobs, starts = [], [], [], []
    observed: list[int] = []
    masks: list[NDArray[np.uint8] | None] = []
    unguided = None if grammar.unguided is None else grammar.unguided.packed
    generated, spoken = 0, 0
    for t, one_round in enumerate(episode.rounds):
        mine = [turn for turn in one_round.turns if turn.player == seat]
        starts.append(len(tokens) + len(mine[0].completion.prompt_tokens) - 1 if mine else max(0, len(tokens) - 1))
        for turn in mine:
            answer = turn.completion
            if tokens and not turn.replayed:  # the first observation has the rules, which nobody has to foresee
                observed += range(len(tokens), len(tokens) + len(answer.prompt_tokens))
            tokens += answer.prompt_tokens
            if turn.replayed:
                tokens += answer.tokens
                continue
            own = grammar.masks(answer.pattern, answer.tokens) if answer.pattern is not None else []
            for i in range(len(answer.tokens)):
                if own and own[i].forced is not None:
                    continue
                drawn.append(len(tokens) + i)
                rounds.append(t)
                logprobs.append(answer.logprobs[i])
                masks.append(own[i].packed if own else unguided)
            tokens += answer.tokens
            generated += len(answer.tokens)
            spoken += len(answer.tokens) if turn.phase == "message" else 0
    return Trajectory(
        group=episode.group,
        seat=seat,
        rewards=rewards_of(episode, divisor),
        tokens=np.array(tokens, dtype=np.int64),
        drawn=np.array(drawn, dtype=np.int64),
        rounds=np.array(rounds, dtype=np.int64),
        logprobs=np.array(logprobs),
        allowed=tuple(masks) if any(mask is not None for mask in masks) else None,
        starts=np.array(starts, dtype=np.int64),
        generated=generated,
        spoken=spoken,
        iteration=episode.iteration,
        actions=tuple(_decisions(played) for played in episode.rounds),
        index=episode.index,
        others=tuple(sorted({name for name in episode.learners if name} - {_learner(episode, seat)})),
        observed=np.array(observed, dtype=np.int64),
    )


def _learner(episode: Episode, seat: int) -> str | None:
    return episode.learners[seat] if episode.learners else None


def _decisions(played: Round) -> tuple[Any, ...]:
    """What each player decided in a round: None for nothing, a tuple for several decisions."""
    made: list[list[Any]] = [[] for _ in played.rewards]
    for turn in played.turns:
        if turn.phase == "decision":
            made[turn.player].append(turn.action)
    return tuple(tuple(actions) if len(actions) > 1 else actions[0] if actions else None for actions in made)


def trajectories(
    episodes: Sequence[Episode], learner: str, divisor: float, grammar: Grammar, *, depth: int | None = None
) -> list[Trajectory]:
    """Every seat's chat that trains the learner, with the alternatives to it that are among the episodes, ``depth`` rounds each
    (None: to the end)."""
    others = by_place(episodes)
    return [
        replace(
            trajectory(episode, seat, divisor, grammar), alternatives=alternative_rewards(episode, seat, divisor, others, depth)
        )
        for episode in episodes
        for seat in range(episode.num_players)
        if episode.learners[seat] == learner
    ]


def opening(trajectory: Trajectory, length: int) -> Trajectory:
    """The first tokens of a chat, of which only the last counts as drawn: the first drawn token, or the one after ``length``."""
    at = min(int(trajectory.drawn[0]), length)
    first = {key: getattr(trajectory, key)[:1] for key in ("rounds", "logprobs", "rewards", "actions")}
    return replace(trajectory, **first, drawn=np.array([at]), starts=np.array([at - 1]), allowed=None, credit=None)


Assign = Callable[[Group], Tensor]  # -> credit (G, K, T)


def with_credit(
    trajectories: Sequence[Trajectory], assign: Assign, values: Sequence[Tensor] | None, *, batch: bool = False, fewest: int = 2
) -> list[Trajectory]:
    """Give every trajectory the credit of its rounds, group by group.

    A group is the trajectories of one seat that share a game seed (``batch``: all of a seat). Those of a group of less than
    ``fewest`` have too little to be compared with and are left out.
    """
    groups: dict[tuple[tuple[int, ...], int], list[int]] = defaultdict(list)
    for index, trajectory in enumerate(trajectories):
        groups[() if batch else (trajectory.iteration, trajectory.group), trajectory.seat].append(index)
    credited: dict[int, Trajectory] = {}
    for members in groups.values():
        _check_lengths({len(trajectories[i].own) for i in members}, batch)
        if len(members) < fewest:
            continue
        group = Group(
            rewards=torch.stack([trajectories[i].rewards for i in members])[None],  # (1, K, T, P)
            seat=trajectories[members[0]].seat,
            values=None if values is None else torch.stack([values[i] for i in members])[None],
            actions=(tuple(trajectories[i].actions for i in members),),
            alternatives=stacked([trajectories[i].alternatives for i in members]),
        )
        for i, credit in zip(members, assign(group)[0], strict=True):
            credited[i] = replace(trajectories[i], credit=credit)
    return [credited[i] for i in sorted(credited)]


def _check_lengths(rounds: Collection[int], batch: bool) -> None:
    """UserError for episodes of a group, or of a batch, that last differently many rounds."""
    if len(rounds) > 1 and batch:
        raise UserError("credit.baseline=batch needs episodes of equal length; use credit.baseline=group with a random horizon.")
    if len(rounds) > 1:
        raise UserError(
            f"Episodes of a group need equal length, and these last from {min(rounds)} to {max(rounds)} rounds, since what is done "
            "ends them; set credit.baseline=branches and group_size=1, and no tree."
        )


def single_turn(episode: Episode, turn: Turn, grammar: Grammar) -> Trajectory:
    """The chat up to and including a turn, with only that turn's tokens as drawn; for scoring it again."""
    whole: list[int] = []
    for earlier in episode.turns(turn.player):
        whole += earlier.completion.prompt_tokens
        if earlier is turn:
            break
        whole += earlier.completion.tokens
    return single_answer(replace(turn.completion, prompt_tokens=tuple(whole)), grammar)


def single_answer(completion: Completion, grammar: Grammar) -> Trajectory:
    """An answer whose prompt is the whole chat before it."""
    turn = Turn(0, "", None, True, completion)
    return trajectory(Episode({}, 0, (completion.policy,), (Round((turn,), (0.0,), {}),)), 0, 1.0, grammar)
