"""Attention whose layout the caller chooses, under a name that Transformers knows.

    model(..., plan=plan) ──> every attention layer ── plan.attend(queries, keys, values) ──> outputs

A pass with a plan has one row of tokens, from any number of chats and without padding; the plan says which keys each query meets.
A pass without one is plain scaled-dot-product attention. The learner's plan is a tree of chats (learning/packing.py), the
engine's a pool of cached ones (engines/cache.py).
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "detente"


class Plan(Protocol):
    """Which keys each query of a pass meets."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """(1, H, M, D), twice (1, G, M, D) with G dividing H -> (1, M, H, D); M new tokens."""
        ...


def use(model: PreTrainedModel) -> None:
    """Let the model's attention layers follow plans; ValueError for attention that is more than a softmax of scaled products."""
    model.set_attn_implementation(NAME)
    if model.config.get_text_config()._attn_implementation != NAME:
        raise ValueError(f"The attention of {type(model).__name__} cannot be exchanged.")


def arguments(plan: Plan, positions: Tensor) -> dict[str, Any]:
    """What a model's forward takes besides the token ids (1, M); ``positions`` (M,) are those inside each chat."""
    unread = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=positions.device)  # a mask of four dimensions is passed on as it is
    return {"plan": plan, "position_ids": positions[None], "attention_mask": unread, "use_cache": False}


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, plan: Plan | None = None, **options: Any
) -> tuple[Tensor, None]:
    if plan is None:
        found: Tensor = sdpa_attention_forward(module, query, key, value, mask, **options)[0]
        return found, None
    if options.get("softcap") is not None or options.get("s_aux") is not None:
        raise ValueError("Attention with capped scores or sinks cannot follow a plan.")
    return plan.attend(query, key, value, options.get("scaling")), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
