"""From trajectories to tensors: chats packed into micro-batches, each a pass forward and back.

    trajectories ── micro_batches ──> MicroBatch: packed tokens, and which of them train, with which credit, under which mask

Must not know the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detente.learning.batch import Trajectory
from detente.learning.packing import Tree, TreeAttention, bundles, tree


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
    observed_before: Tensor  # (P,) as ``before``, for the different tokens of later observations; () where these do not train
    observed_targets: Tensor  # (P,)
    observed_counts: Tensor  # (P,) float32, how many of the chats have each

    def allowed(self, words: slice, piece: slice = slice(None)) -> Tensor:
        """(n, w) the masks of a slice of the drawn tokens, for these words, of which the first is a multiple of 8."""
        if self.masks is None:
            raise ValueError("nothing was constrained")
        packed = self.masks[:, words.start // 8 : -(-words.stop // 8)][self.mask_of[piece]]
        bits = packed[..., None] >> torch.arange(8, dtype=torch.uint8, device=packed.device)
        return (bits & 1).flatten(1)[:, : words.stop - words.start].bool()


def micro_batches(
    trajectories: Sequence[Trajectory], max_tokens: int, device: torch.device, *, stems: bool = True, observed: bool = False
) -> Iterator[MicroBatch]:
    """Chats with a common prefix together, of at most ``max_tokens`` (but at least one chat); shared tokens count once.

    Micro-batches with the same stem follow one another. Without ``stems`` each is one pass forward and one back. ``observed``:
    the tokens of later observations train too.
    """
    drawn, chats = _to_compute(trajectories, observed)
    leads = [_lead(trajectories[i]) if stems else 0 for i in drawn]
    for bundle in bundles(chats, leads, max_tokens):
        stem = torch.from_numpy(chats[bundle.passes[0][0]][: bundle.stem]).to(device)
        for members in bundle.passes:
            packed = tree([chats[k] for k in members], bundle.stem)
            yield _packed(trajectories, [drawn[k] for k in members], stem, packed, device, observed)


def passes_without_stems(trajectories: Sequence[Trajectory], max_tokens: int, *, observed: bool = False) -> int:
    """How many micro-batches these trajectories make."""
    _, chats = _to_compute(trajectories, observed)
    return sum(len(bundle.passes) for bundle in bundles(chats, [0] * len(chats), max_tokens))


def _to_compute(trajectories: Sequence[Trajectory], observed: bool) -> tuple[list[int], list[NDArray[np.int64]]]:
    """The indices of the trajectories that have drawn tokens, and as much of each chat as they need."""
    drawn = [i for i in range(len(trajectories)) if len(trajectories[i].drawn)]
    return drawn, [trajectories[i].tokens[: _needed(trajectories[i], observed)] for i in drawn]


def _lead(trajectory: Trajectory) -> int:
    """How many tokens stand before all whose hidden states are read."""
    return int(min(trajectory.drawn[0] - 1, trajectory.starts.min(initial=trajectory.drawn[0])))


def _needed(trajectory: Trajectory, observed: bool) -> int:
    """How many tokens must be computed: up to the one before the last that trains, and up to the start of the last round."""
    last = max(trajectory.drawn[-1], trajectory.observed.max(initial=0)) if observed else trajectory.drawn[-1]
    return int(max(last, trajectory.starts.max(initial=0) + 1))


def _packed(
    trajectories: Sequence[Trajectory], members: Sequence[int], stem: Tensor, packed: Tree, device: torch.device, observed: bool
) -> MicroBatch:
    chosen = [trajectories[i] for i in members]
    credit = [
        trajectory.credit[trajectory.rounds] if trajectory.credit is not None else torch.zeros(len(trajectory.drawn))
        for trajectory in chosen
    ]
    masks, mask_of = _distinct_masks(chosen)
    observed_before, observed_targets, counts = _distinct_observed(chosen, packed) if observed else np.zeros((3, 0), np.int64)
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
        observed_before=torch.from_numpy(observed_before).to(device),
        observed_targets=torch.from_numpy(observed_targets).to(device),
        observed_counts=torch.from_numpy(counts).float().to(device),
    )


def _distinct_observed(chosen: Sequence[Trajectory], packed: Tree) -> tuple[NDArray[np.int64], ...]:
    """(P,) each: the tokens of later observations, every one that several chats share once. Where the token before it is, what it
    is, and how many chats have it."""
    before = np.concatenate([places[chat.observed - 1] for chat, places in zip(chosen, packed.places, strict=True)])
    targets = np.concatenate([chat.tokens[chat.observed] for chat in chosen])
    pairs, counts = np.unique(np.stack([before, targets]), axis=1, return_counts=True)
    return pairs[0], pairs[1], counts


def _distinct_masks(chosen: Sequence[Trajectory]) -> tuple[NDArray[np.uint8] | None, list[int]]:
    """Every mask once (U, ceil(V / 8)), and which of them each drawn token has; None where nothing was constrained."""
    all_masks = [mask for trajectory in chosen for mask in trajectory.allowed or [None] * len(trajectory.drawn)]
    distinct = {id(mask): mask for mask in all_masks}
    number = {key: i for i, key in enumerate(distinct)}
    width = max((len(mask) for mask in distinct.values() if mask is not None), default=0)
    packed = [np.full(width, 255, dtype=np.uint8) if mask is None else mask for mask in distinct.values()]
    return np.stack(packed) if width else None, [number[id(mask)] for mask in all_masks]
