"""From episodes to tensors: which tokens train, with which credit, under which mask.

    episodes ── trajectories ──> one per seat that trains ── with_credit ──> credit per round ── micro_batches ──> padded tensors

A trajectory is one seat's chat as token ids. Tokens that the pattern forced have probability one: they count in the average of
the loss but need no logits. Must not know the model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detente.engines.grammar import Grammar, unpack
from detente.errors import UserError
from detente.records import Episode, Turn


@dataclass(frozen=True)
class Trajectory:
    """One seat's chat. L tokens, N of them drawn from a distribution, T rounds."""

    group: int
    seat: int
    own: Tensor  # (T,) the seat's rewards, divided
    others: Tensor  # (T,) the sum of the other seats' rewards, divided
    tokens: NDArray[np.int64]  # (L,)
    drawn: NDArray[np.int64]  # (N,) positions of the drawn tokens
    rounds: NDArray[np.int64]  # (N,) the round of each
    logprobs: NDArray[np.float64]  # (N,) the engine's
    allowed: NDArray[np.uint8] | None  # (N, ceil(V / 8)) packed masks; None: nothing was constrained
    starts: NDArray[np.int64]  # (T,) position of the last prompt token before the seat's first answer in each round
    generated: int  # drawn and forced tokens
    spoken: int  # those of messages
    credit: Tensor | None = None  # (T,)


def trajectory(episode: Episode, seat: int, divisor: float, grammar: Grammar) -> Trajectory:
    """The chat of one seat, with the masks replayed from the patterns; empty if the seat has no tokens."""
    tokens: list[int] = []
    drawn, rounds, logprobs, masks, starts = [], [], [], [], []
    generated, spoken, constrained = 0, 0, False
    everything = np.full(-(-grammar.vocab_size // 8), 255, dtype=np.uint8)
    for t, one_round in enumerate(episode.rounds):
        mine = [turn for turn in one_round.turns if turn.player == seat]
        starts.append(len(tokens) + len(mine[0].completion.prompt_tokens) - 1 if mine else max(0, len(tokens) - 1))
        for turn in mine:
            answer = turn.completion
            tokens += answer.prompt_tokens
            nodes = grammar.replay(answer.pattern, answer.tokens) if answer.pattern is not None else []
            constrained |= bool(nodes)
            for i in range(len(answer.tokens)):
                if nodes and nodes[i].forced is not None:
                    continue
                drawn.append(len(tokens) + i)
                rounds.append(t)
                logprobs.append(answer.logprobs[i])
                masks.append(nodes[i].packed if nodes else everything)
            tokens += answer.tokens
            generated += len(answer.tokens)
            spoken += len(answer.tokens) if turn.phase == "message" else 0
    rewards = torch.tensor([r.rewards for r in episode.rounds], dtype=torch.float64) / divisor  # (T, players)
    return Trajectory(
        group=episode.group,
        seat=seat,
        own=rewards[:, seat],
        others=rewards.sum(1) - rewards[:, seat],
        tokens=np.array(tokens, dtype=np.int64),
        drawn=np.array(drawn, dtype=np.int64),
        rounds=np.array(rounds, dtype=np.int64),
        logprobs=np.array(logprobs),
        allowed=np.stack(masks) if constrained and masks else None,
        starts=np.array(starts, dtype=np.int64),
        generated=generated,
        spoken=spoken,
    )


def trajectories(episodes: Sequence[Episode], learner: str, divisor: float, grammar: Grammar) -> list[Trajectory]:
    """Every seat's chat that trains the learner."""
    return [
        trajectory(episode, seat, divisor, grammar)
        for episode in episodes
        for seat in range(episode.num_players)
        if episode.learners[seat] == learner
    ]


Assign = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # own, others (G, K, T), values (G, K, T) -> credit (G, K, T)


def with_credit(found: Sequence[Trajectory], assign: Assign, values: Sequence[Tensor] | None, *, baseline: str) -> list[Trajectory]:
    """Give every trajectory the credit of its rounds, group by group.

    A group is the trajectories of one seat that share a game seed (``baseline`` "batch": all of a seat). A trajectory alone in
    its group has nothing to be compared with and is left out, unless nothing is compared (``baseline`` "none").
    """
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, one in enumerate(found):
        groups[0 if baseline == "batch" else one.group, one.seat].append(index)
    credited: dict[int, Trajectory] = {}
    for members in groups.values():
        if len({len(found[i].own) for i in members}) > 1:
            raise UserError(
                "credit.baseline=batch needs episodes of equal length; use credit.baseline=group with a random horizon."
            )
        if len(members) < 2 and baseline != "none":
            continue
        own = torch.stack([found[i].own for i in members])[None]  # (1, K, T)
        others = torch.stack([found[i].others for i in members])[None]
        known = None if values is None else torch.stack([values[i] for i in members])[None]
        for i, credit in zip(members, assign(own, others, known)[0], strict=True):
            credited[i] = replace(found[i], credit=credit)
    return [credited[i] for i in sorted(credited)]


@dataclass(frozen=True)
class MicroBatch:
    """B chats padded to L tokens at the right, and their N drawn tokens."""

    members: tuple[int, ...]  # (B,) indices of the trajectories
    tokens: Tensor  # (B, L)
    rows: Tensor  # (N,) chat of each drawn token
    before: Tensor  # (N,) position of the token before it, whose hidden state predicts it
    targets: Tensor  # (N,)
    engine_logprobs: Tensor  # (N,) float32
    credit: Tensor  # (N,) float32; zeros where none was assigned
    packed: NDArray[np.uint8] | None  # (N, ceil(V / 8))

    def allowed(self, vocab_size: int) -> Tensor | None:
        """(N, V) the mask of each drawn token's distribution, or None where all is allowed."""
        if self.packed is None:
            return None
        return torch.from_numpy(unpack(self.packed, vocab_size)).to(self.tokens.device)


def micro_batches(found: Sequence[Trajectory], max_tokens: int, device: torch.device) -> Iterator[MicroBatch]:
    """Chats of similar length together, at most ``max_tokens`` with padding (but at least one chat)."""
    order = sorted((i for i in range(len(found)) if len(found[i].drawn)), key=lambda i: len(found[i].tokens))
    edges = [0]
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - edges[-1]) * len(found[order[end]].tokens) > max_tokens:
            edges.append(end)
    for start, end in pairwise(edges):
        yield _padded(found, order[start:end], device)


def _padded(found: Sequence[Trajectory], members: Sequence[int], device: torch.device) -> MicroBatch:
    chosen = [found[i] for i in members]
    tokens = np.zeros((len(chosen), max(len(one.tokens) for one in chosen)), dtype=np.int64)
    for row, one in enumerate(chosen):
        tokens[row, : len(one.tokens)] = one.tokens
    credit = [one.credit[one.rounds] if one.credit is not None else torch.zeros(len(one.drawn)) for one in chosen]
    packed = [one.allowed for one in chosen if one.allowed is not None]
    return MicroBatch(
        members=tuple(members),
        tokens=torch.from_numpy(tokens).to(device),
        rows=torch.tensor(np.repeat(np.arange(len(chosen)), [len(one.drawn) for one in chosen]), device=device),
        before=torch.from_numpy(np.concatenate([one.drawn for one in chosen]) - 1).to(device),
        targets=torch.from_numpy(np.concatenate([one.tokens[one.drawn] for one in chosen])).to(device),
        engine_logprobs=torch.from_numpy(np.concatenate([one.logprobs for one in chosen])).float().to(device),
        credit=torch.cat(credit).float().to(device),
        packed=_all_masks(chosen) if packed else None,
    )


def _all_masks(chosen: Sequence[Trajectory]) -> NDArray[np.uint8]:
    width = next(one.allowed.shape[1] for one in chosen if one.allowed is not None)
    everything = np.full((1, width), 255, dtype=np.uint8)
    return np.concatenate([one.allowed if one.allowed is not None else everything.repeat(len(one.drawn), 0) for one in chosen])


def single_turn(episode: Episode, turn: Turn, grammar: Grammar) -> Trajectory:
    """The chat up to and including one turn, with only that turn's tokens drawn; for scoring it again."""
    whole: list[int] = []
    for earlier in episode.turns(turn.player):
        whole += earlier.completion.prompt_tokens
        if earlier is turn:
            break
        whole += earlier.completion.tokens
    completion = replace(turn.completion, prompt_tokens=tuple(whole))
    only = replace(turn, completion=completion)
    last = replace(episode.rounds[0], turns=(only,))
    return trajectory(replace(episode, rounds=(last,)), turn.player, 1.0, grammar)
