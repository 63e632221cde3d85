"""Attention whose layout the caller chooses, under a name that Transformers knows.

    model(..., plan=plan) ──> every attention layer ── plan.attend(layer, queries, keys, values) ──> outputs

A pass with a plan has one row of tokens, from any number of chats and without padding; the plan says which keys each query attends
to. A pass without a plan is plain scaled-dot-product attention. The learner's plan is a tree of chats (learning/packing.py), the
engine's a pool of key-value rows (engines/layout.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from detente.errors import UserError
from detente.finite import all_finite

NAME = "detente"


class Plan(Protocol):
    """Which keys each query of a pass attends to."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """(1, H, M, D), twice (1, G, M, D) with G dividing H -> (1, M, H, D); M new tokens, layers counted from 0."""
        ...


def use(model: PreTrainedModel) -> None:
    """Let the model's attention layers follow plans. Idempotent.

    UserError for a model whose layers do more than a softmax of scaled products (caps, sinks) or carry a state along the row, and
    for weights that compute nothing finite.
    """
    if model.config.get_text_config()._attn_implementation == NAME:
        return
    before, training = model.config._attn_implementation, model.training
    model.set_attn_implementation(NAME)
    model.eval()
    reason = unusable(type(model).__name__)
    try:
        follows = model.config.get_text_config()._attn_implementation == NAME and _follows(model)
    except UserError as error:
        follows, reason = False, error
    except Exception:  # a model may fail in any way
        follows = False
    model.train(training)
    if not follows:
        model.set_attn_implementation(before)
        raise reason


def unusable(model_class: str) -> UserError:
    """The error for models of a class whose attention cannot follow a plan."""
    return UserError(
        f"A {model_class} cannot be used: its attention is no plain softmax or in code of its own, or its layers carry a state "
        "from token to token; use a model such as Llama, Qwen, Gemma 3 or Mistral."
    )


def arguments(plan: Plan, positions: Tensor) -> dict[str, Any]:
    """What a model's forward takes besides the token ids (1, M); ``positions`` (M,) are those inside each chat."""
    unread = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=positions.device)  # a mask of four dimensions is passed on as it is
    return {"plan": plan, "position_ids": positions[None], "attention_mask": unread, "use_cache": False}


@dataclass(frozen=True)
class SeparateChats:
    """Chats of these lengths, one after the other in a row, each with its own attention; ``layers`` collects who called."""

    lengths: Sequence[int]
    layers: set[int] = field(default_factory=set, init=False, compare=False)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """Causal attention of one chat after the other."""
        self.layers.add(layer)
        chats = zip(*(states.split(tuple(self.lengths), dim=2) for states in (query, key, value)), strict=True)
        outputs = [F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=True) for q, k, v in chats]
        return torch.cat(outputs, dim=2).transpose(1, 2)


@torch.no_grad()
def _follows(model: Any) -> bool:
    """Whether every layer calls the plan, and two chats in one row get what each gets alone; UserError if that is not finite."""
    decoder, embeddings = model.get_decoder(), model.get_input_embeddings().weight
    first, second = torch.arange(12, device=embeddings.device).remainder(len(embeddings)).split([7, 5])
    positions = torch.cat([torch.arange(7), torch.arange(5)]).to(embeddings.device)
    plan, config = SeparateChats((7, 5)), model.config.get_text_config()
    packed = decoder(input_ids=torch.cat([first, second])[None], **arguments(plan, positions)).last_hidden_state[0]
    alone = torch.cat([decoder(input_ids=chat[None], use_cache=False).last_hidden_state[0] for chat in (first, second)])
    if not all_finite([alone]) or not alone.any():  # zeros where a norm has overflowed
        raise UserError(
            f"The model '{model.name_or_path}' computes numbers that are not finite (NaN or infinity): its weights or its "
            "configuration are damaged, or it needs another dtype."
        )
    allowed = 1e-4 if embeddings.dtype == torch.float32 else 0.03  # rounding; a state that leaks from chat to chat is far more
    every_layer = plan.layers == set(range(getattr(config, "decoder_layers", config.num_hidden_layers)))
    return every_layer and bool((packed - alone).float().norm() < allowed * alone.float().norm())


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, plan: Plan | None = None, **options: Any
) -> tuple[Tensor, None]:
    if plan is None:
        output: Tensor = sdpa_attention_forward(module, query, key, value, mask, **options)[0]
        return output, None
    if options.get("softcap") is not None or options.get("s_aux") is not None:
        raise ValueError("Attention with capped scores or sinks cannot follow a plan.")
    return plan.attend(module.layer_idx, query, key, value, options.get("scaling")), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
