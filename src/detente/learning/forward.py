"""The model under one adapter: hidden states, and log-probabilities of the drawn tokens.

Forward and backward of one adapter stay inside ``active``: PEFT silently loses gradients if the adapter is switched in between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from detente.learning.batch import MicroBatch
from detente.learning.loss import chunked_token_logprobs


@contextmanager
def active(model: PeftModel, adapter: str, *, checkpointing: bool = False) -> Iterator[None]:
    """The one adapter that forward and backward inside the block go through; ``checkpointing`` recomputes layers in backward."""
    model.set_adapter(adapter)
    try:
        for module in model.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.training = checkpointing  # what the layer asks; what is inside it stays without dropout
        yield
        if model.active_adapters != [adapter]:
            raise RuntimeError(f"the adapter was switched from {adapter} to {model.active_adapters} between forward and backward")
    finally:
        model.eval()


def hidden_states(model: PeftModel, tokens: Tensor) -> Tensor:
    """Last hidden states (B, L, D) under the active adapter. Padding is at the right, where causal attention never looks."""
    base: Any = model.get_base_model()
    decoder = base.get_decoder()
    hidden: Tensor = decoder(input_ids=tokens, use_cache=False).last_hidden_state
    return hidden


def token_logprobs_of(model: PeftModel, micro: MicroBatch, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy (N,), (N,) of the drawn tokens; logits exist at those tokens only, a chunk at a time."""
    hidden = hidden_states(model, micro.tokens)[micro.rows, micro.before]  # (N, D)
    head: Any = model.get_output_embeddings()
    config = model.config.get_text_config()
    scale = getattr(config, "logit_scale", None) or 1 / getattr(config, "logits_scaling", 1.0)
    cap = getattr(config, "final_logit_softcapping", None)

    def logits(states: Tensor) -> Tensor:
        scores: Tensor = head(states) * scale
        return cap * torch.tanh(scores / cap) if cap else scores

    allowed = micro.allowed(head.weight.shape[0])
    return chunked_token_logprobs(hidden, logits, micro.targets, temperature=temperature, allowed=allowed)


def adapter_parameters(model: PeftModel, adapter: str) -> list[nn.Parameter]:
    """The tensors of one adapter, in the model's order; modules of the model may have the adapter's name too."""
    ours = re.compile(rf"\.lora_\w+\.{re.escape(adapter)}(\.weight)?$")
    return [parameter for name, parameter in model.named_parameters() if ours.search(name)]
