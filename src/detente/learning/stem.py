"""A prefix that many passes share, computed once: keys and values for the forward passes, one backward pass for all gradients.

    stem ── its pass, once ──> made: keys, values of every layer          made ── backward(gradients) ──> weights
                                │ detached                                  ▲
                                ▼                                           │ all summed
                              kept ── every later pass ── its backward ─────┘

The chain rule cut at the keys and values: exact, and the later passes go backward one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from detente.backbone.attention import Plan


@dataclass
class Stem:
    """The attention plan of the stem's own pass: plain causal attention, whose keys and values are kept."""

    made: list[Tensor] = field(default_factory=list)  # (1, G, S, D): of each layer the keys, then the values
    kept: list[Tensor] = field(default_factory=list)  # the same as leaves, in which gradients gather

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """(1, H, S, D), twice (1, G, S, D) -> (1, S, H, D)."""
        if len(self.made) == 2 * layer:  # not when a checkpointed layer is computed again
            for made in (key, value):
                self.made.append(made)
                self.kept.append(made.detach().requires_grad_(made.requires_grad))
        output = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
        return output.transpose(1, 2)

    def backward(self) -> None:
        """Propagate the summed gradients; to be called after the backward passes of all micro-batches."""
        reached = [(made, kept.grad) for made, kept in zip(self.made, self.kept, strict=True) if kept.grad is not None]
        if reached:
            torch.autograd.backward([made for made, _ in reached], [gradient for _, gradient in reached])


@dataclass(frozen=True)
class After:
    """The plan of a pass over tokens after a stem: they attend to the keys and values of the stem and their own."""

    stem: Stem
    rest: Plan

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """(1, H, M, D), twice (1, G, M, D) -> (1, M, H, D)."""
        keys, values = self.stem.kept[2 * layer : 2 * layer + 2]
        return self.rest.attend(layer, query, torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2), scale)
