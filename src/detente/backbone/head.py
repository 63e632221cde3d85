"""From the last hidden states to the scores of the next token, for any model of Transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from detente.backbone.lora import product


def in_parts(model: Any) -> bool:
    """Whether the scores of some words can be computed without those of the others, and the head does not train."""
    head = model.get_output_embeddings()
    return type(head) is nn.Linear and not any(parameter.requires_grad for parameter in head.parameters())


def logits(model: Any, states: Tensor, tokens: Tensor | slice | None = None) -> Tensor:
    """(..., D) -> (..., V), scaled and capped as the model's configuration says; or (..., n) for these n tokens alone."""
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear:
        scores: Tensor = head(states) if tokens is None else head(states)[..., tokens]
    elif tokens is None:
        scores = product(states, head.weight, head.bias)
    else:
        scores = product(states, head.weight[tokens], None if head.bias is None else head.bias[tokens])
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", None) or 1 / getattr(config, "logits_scaling", 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    if scale != 1:
        scores = scores * scale
    return cap * torch.tanh(scores / cap) if cap else scores
