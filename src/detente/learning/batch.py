"""From episodes to tensors: which tokens train, with which credit, under which mask.

    episodes ── trajectories ──> one per seat that trains ── with_credit ──> credit per round ── micro_batches ──> packed tensors

A trajectory is one seat's chat as token ids. Tokens that the pattern forced have probability one: they count in the average of
the loss but need no logits. Must not know the model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detente.engines.grammar import Grammar
from detente.errors import UserError
from detente.learning.credit import Group
from detente.learning.packing import Tree, TreeAttention, bundles, tree
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

    @property
    def own(self) -> Tensor:
        """(T,) the seat's rewards."""
        return self.rewards[:, self.seat]


def trajectory(episode: Episode, seat: int, divisor: float, grammar: Grammar) -> Trajectory:
    """The chat of one seat, with the masks replayed from the patterns; empty if the seat has no tokens."""
    tokens: list[int] = []
    drawn, rounds, logprobs, starts = [], [], [], []
    masks: list[NDArray[np.uint8] | None] = []
    unguided = None if grammar.unguided is None else grammar.unguided.packed
    generated, spoken = 0, 0
    for t, one_round in enumerate(episode.rounds):
        mine = [turn for turn in one_round.turns if turn.player == seat]
        starts.append(len(tokens) + len(mine[0].completion.prompt_tokens) - 1 if mine else max(0, len(tokens) - 1))
        for turn in mine:
            answer = turn.completion
            tokens += answer.prompt_tokens
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
        rewards=torch.tensor([r.rewards for r in episode.rounds], dtype=torch.float64) / divisor,
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


def trajectories(episodes: Sequence[Episode], learner: str, divisor: float, grammar: Grammar) -> list[Trajectory]:
    """Every seat's chat that trains the learner."""
    return [
        trajectory(episode, seat, divisor, grammar)
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
        if len({len(trajectories[i].own) for i in members}) > 1:
            raise UserError(
                "credit.baseline=batch needs episodes of equal length; use credit.baseline=group with a random horizon."
            )
        if len(members) < fewest:
            continue
        group = Group(
            rewards=torch.stack([trajectories[i].rewards for i in members])[None],  # (1, K, T, P)
            seat=trajectories[members[0]].seat,
            values=None if values is None else torch.stack([values[i] for i in members])[None],
            actions=(tuple(trajectories[i].actions for i in members),),
        )
        for i, credit in zip(members, assign(group)[0], strict=True):
            credited[i] = replace(trajectories[i], credit=credit)
    return [credited[i] for i in sorted(credited)]


@dataclass(frozen=True)
class MicroBatch:
    """Some chats packed into M tokens, which may come after a stem of S, and their N drawn tokens."""

    members: tuple[int, ...]  # indices of the trajectories
    stem: Tensor  # (S,) tokens with which the chats start; the same object in micro-batches that share them
    tokens: Tensor  # (M,)
    positions: Tensor  # (M,)
    attention: TreeAttention
    places: tuple[NDArray[np.int64], ...]  # per member: where its tokens are; below 0 in the stem
    before: Tensor  # (N,) where the token before each drawn one is, whose hidden state predicts it
    targets: Tensor  # (N,)
    engine_logprobs: Tensor  # (N,) float32
    credit: Tensor  # (N,) float32; zeros where none was assigned
    masks: Tensor | None  # (U, ceil(V / 8)) the distinct packed masks; None: nothing was constrained
    mask_of: Tensor  # (N,)

    def allowed(self, words: slice, piece: slice = slice(None)) -> Tensor:
        """(n, w) the masks of a slice of the drawn tokens, for these words, of which the first is a multiple of 8."""
        if self.masks is None:
            raise ValueError("nothing was constrained")
        packed = self.masks[:, words.start // 8 : -(-words.stop // 8)][self.mask_of[piece]]
        bits = packed[..., None] >> torch.arange(8, dtype=torch.uint8, device=packed.device)
        return (bits & 1).flatten(1)[:, : words.stop - words.start].bool()


def micro_batches(
    trajectories: Sequence[Trajectory], max_tokens: int, device: torch.device, *, stems: bool = True
) -> Iterator[MicroBatch]:
    """Chats with a common prefix together, of at most ``max_tokens`` (but at least one chat); shared tokens count once.

    Micro-batches with the same stem follow one another. Without ``stems`` each is one pass forward and one back.
    """
    drawn, chats = _to_compute(trajectories)
    leads = [_lead(trajectories[i]) if stems else 0 for i in drawn]
    for bundle in bundles(chats, leads, max_tokens):
        stem = torch.from_numpy(chats[bundle.passes[0][0]][: bundle.stem]).to(device)
        for members in bundle.passes:
            yield _packed(trajectories, [drawn[k] for k in members], stem, tree([chats[k] for k in members], bundle.stem), device)


def passes_without_stems(trajectories: Sequence[Trajectory], max_tokens: int) -> int:
    """How many micro-batches these trajectories make."""
    _, chats = _to_compute(trajectories)
    return sum(len(bundle.passes) for bundle in bundles(chats, [0] * len(chats), max_tokens))


def _to_compute(trajectories: Sequence[Trajectory]) -> tuple[list[int], list[NDArray[np.int64]]]:
    """The indices of the trajectories that have drawn tokens, and as much of each chat as they need."""
    drawn = [i for i in range(len(trajectories)) if len(trajectories[i].drawn)]
    return drawn, [trajectories[i].tokens[: _needed(trajectories[i])] for i in drawn]


def _lead(trajectory: Trajectory) -> int:
    """How many tokens stand before all whose hidden states are read."""
    return int(min(trajectory.drawn[0] - 1, trajectory.starts.min(initial=trajectory.drawn[0])))


def _needed(trajectory: Trajectory) -> int:
    """How many tokens must be computed: up to the one before the last drawn token, and up to the start of the last round."""
    return int(max(trajectory.drawn[-1], trajectory.starts.max(initial=0) + 1))


def _packed(
    trajectories: Sequence[Trajectory], members: Sequence[int], stem: Tensor, packed: Tree, device: torch.device
) -> MicroBatch:
    chosen = [trajectories[i] for i in members]
    credit = [
        trajectory.credit[trajectory.rounds] if trajectory.credit is not None else torch.zeros(len(trajectory.drawn))
        for trajectory in chosen
    ]
    masks, mask_of = _distinct_masks(chosen)
    before = [places[trajectory.drawn - 1] for trajectory, places in zip(chosen, packed.places, strict=True)]
    return MicroBatch(
        members=tuple(members),
        stem=stem,
        tokens=torch.from_numpy(packed.tokens).to(device),
        positions=torch.from_numpy(packed.positions).to(device),
        attention=TreeAttention(packed, device),
        places=packed.places,
        before=torch.from_numpy(np.concatenate(before)).to(device),
        targets=torch.from_numpy(np.concatenate([trajectory.tokens[trajectory.drawn] for trajectory in chosen])).to(device),
        engine_logprobs=torch.from_numpy(np.concatenate([trajectory.logprobs for trajectory in chosen])).float().to(device),
        credit=torch.cat(credit).float().to(device),
        masks=None if masks is None else torch.from_numpy(masks).to(device),
        mask_of=torch.tensor(mask_of, device=device),
    )


def _distinct_masks(chosen: Sequence[Trajectory]) -> tuple[NDArray[np.uint8] | None, list[int]]:
    """Every mask once (U, ceil(V / 8)), and which of them each drawn token has; None where nothing was constrained."""
    all_masks = [mask for trajectory in chosen for mask in trajectory.allowed or [None] * len(trajectory.drawn)]
    distinct = {id(mask): mask for mask in all_masks}
    number = {key: i for i, key in enumerate(distinct)}
    width = max((len(mask) for mask in distinct.values() if mask is not None), default=0)
    packed = [np.full(width, 255, dtype=np.uint8) if mask is None else mask for mask in distinct.values()]
    return np.stack(packed) if width else None, [number[id(mask)] for mask in all_masks]


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
