"""From the last hidden states to the scores of the next token, for any model of Transformers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from detente.engines.lora import product


def logits(model: Any, states: Tensor) -> Tensor:
    """(..., D) -> (..., V), with the factor and the cap that some families put on them."""
    head = model.get_output_embeddings()
    scores: Tensor = product(states, head.weight, head.bias) if type(head) is nn.Linear else head(states)
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", None) or 1 / getattr(config, "logits_scaling", 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    if scale != 1:
        scores = scores * scale
    return cap * torch.tanh(scores / cap) if cap else scores
