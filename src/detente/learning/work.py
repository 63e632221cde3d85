"""What an update computes, as values: all of it, or the share of one process.

trajectories ── Work ── divided ──> a share per process ── gradients ──> Parts ── summed ──> what the whole update saw
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from detente.learning.batch import Trajectory
from detente.learning.loss import k3
from detente.learning.packing import common_prefix

LARGEST = "mismatch/max_abs"  # of all sums the one that is a maximum


@dataclass(frozen=True)
class Work:
    """A pass over an update's trajectories, or one process's share of it.

    ``batch``: the trajectories that train, with their credit. ``valued``: those that the critic learns from, () without one.
    ``generated`` and ``rounds``: the tokens of the one and the rounds of the other in all shares, by which the losses are divided.
    ``progress`` runs from 0 to 1 over the run. ``old``: per micro-batch of the share, the log-probabilities (N,) before the first
    of several steps; None in the first. ``passes``: how many adapter and critic take in every process, so that none waits for
    another; None where that does not matter. ``observed``: the tokens of later observations in all shares, of chats that train and
    in which something was drawn.
    """

    batch: Sequence[Trajectory]
    valued: Sequence[Trajectory]
    generated: int
    rounds: int
    progress: float
    old: Sequence[Tensor] | None = None
    passes: tuple[int, int] | None = None
    observed: int = 0

    def divided(self, count: int) -> list[Work]:
        """A share for each of so many processes; the first has drawn tokens if any has, others may have nothing."""
        batches, valued = (_divided(chats, count) for chats in (self.batch, self.valued))
        return [replace(self, batch=batch, valued=chats) for batch, chats in zip(batches, valued, strict=True)]


@dataclass(frozen=True)
class Part:
    """What a pass over a share saw: sums over its drawn tokens, and per micro-batch the log-probabilities (N,) of these."""

    sums: Mapping[str, float]
    logprobs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Gradients:
    """What a pass over an update's trajectories saw; the gradients themselves are the parameters' ``grad``.

    ``batch``: the trajectories that train, with their credit. ``sums``: over their drawn tokens. ``parts``: what each process saw
    of its share.
    """

    batch: Sequence[Trajectory]
    sums: Mapping[str, float]
    parts: Sequence[Part]


def summed(parts: Sequence[Part]) -> dict[str, float]:
    """The sums over all shares."""
    sums: dict[str, float] = {}
    for part in parts:
        for key, value in part.sums.items():
            sums[key] = max(sums.get(key, 0.0), value) if key == LARGEST else sums.get(key, 0.0) + value
    return sums


def update_metrics(name: str, gradients: Gradients, norm: float) -> dict[str, float]:
    """The metrics of a learner's update; ``norm`` is that of its gradients before they were clipped."""
    sums, batch = gradients.sums, gradients.batch
    drawn = sum(len(trajectory.drawn) for trajectory in batch)
    generated, spoken = sum(trajectory.generated for trajectory in batch), sum(trajectory.spoken for trajectory in batch)
    credit = torch.cat([trajectory.credit for trajectory in batch if trajectory.credit is not None])
    result = {
        f"loss/{name}": sums["loss"],
        f"entropy/{name}": sums["entropy"] / drawn,
        f"ratio/{name}": sums["ratio"] / drawn,
        f"capped/{name}": sums["capped"] / drawn,
        f"grad_norm/{name}": norm,
        f"credit/{name}/std": float(credit.std()),
        f"tokens/{name}/generated": generated,
        f"tokens/{name}/drawn": drawn,
        f"tokens/{name}/message": spoken,
        f"tokens/{name}/decision": generated - spoken,
        f"mismatch/{name}/kl": sums["mismatch/kl"] / drawn,
        f"mismatch/{name}/mean_abs": sums["mismatch/mean_abs"] / drawn,
        f"mismatch/{name}/max_abs": sums[LARGEST],
    }
    if "kl" in sums:
        result[f"kl/{name}"] = sums["kl"] / drawn
    for loss in ("critic_loss", "observation_loss"):
        if loss in sums:
            result[f"{loss}/{name}"] = sums[loss]
    return result


def step_metrics(name: str, first: Gradients, last: Gradients) -> dict[str, float]:
    """How far the policy before the last of several steps was from the policy before the first."""
    now, before = (torch.cat([values.cpu() for part in passed.parts for values in part.logprobs]) for passed in (last, first))
    gap = now - before
    return {
        f"steps/{name}/ratio": float(gap.exp().mean()),
        f"steps/{name}/kl": float(k3(gap).mean()),
        f"steps/{name}/clipped": last.sums["clipped"] / len(gap),
    }


def _divided(trajectories: Sequence[Trajectory], count: int) -> list[list[Trajectory]]:
    """Shares of about as many tokens that must be computed, each of neighbours in the order of their tokens: these share most."""
    chats = sorted((chat for chat in trajectories if len(chat.drawn)), key=lambda chat: chat.tokens.tolist())
    fresh = [len(b.tokens) - common_prefix(a.tokens, b.tokens) for a, b in pairwise(chats)]
    lengths = [len(chats[0].tokens), *fresh] if chats else []
    shares: list[list[Trajectory]] = [[] for _ in range(count)]
    before = 0
    for chat, length in zip(chats, lengths, strict=True):
        shares[min(count * before // sum(lengths), count - 1)].append(chat)  # the last chats may all be the same
        before += length
    return shares
