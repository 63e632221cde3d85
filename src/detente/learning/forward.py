"""The model under one adapter: hidden states, and log-probabilities of the drawn tokens.

Forward and backward of one adapter stay inside ``active``: PEFT silently loses gradients if the adapter is switched in between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from detente.engines import attention, head, lora
from detente.learning.batch import MicroBatch
from detente.learning.loss import chunked_token_logprobs

LOGITS = 1 << 22  # that exist at a time
ACTIVATIONS = 3 << 29  # bytes that a pass keeps for its backward, about


def prepare(model: PeftModel) -> None:
    """Let the model compute packed chats, in few passes over memory; to be called again when adapters were added."""
    base: Any = model.get_base_model()
    attention.use(base)
    lora.use(model)


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


def hidden_states(model: PeftModel, micro: MicroBatch) -> Tensor:
    """Last hidden states (M, D) of the packed tokens under the active adapter."""
    base: Any = model.get_base_model()
    inputs = attention.arguments(micro.attention, micro.positions)
    hidden: Tensor = base.get_decoder()(input_ids=micro.tokens[None], **inputs).last_hidden_state
    return hidden[0]


def token_logprobs_of(model: PeftModel, micro: MicroBatch, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy (N,), (N,) of the drawn tokens; logits exist at those tokens only, a chunk at a time."""
    hidden = F.embedding(micro.before, hidden_states(model, micro))  # (N, D)
    vocab_size = model.get_output_embeddings().weight.shape[0]
    return chunked_token_logprobs(
        hidden,
        partial(head.logits, model),
        micro.targets,
        temperature=temperature,
        allowed=None if micro.masks is None else partial(micro.allowed, vocab_size),
        chunk=max(1, LOGITS // vocab_size),
    )


def fitting_tokens(model: PeftModel) -> int:
    """Of one pass, so that it keeps about ACTIVATIONS bytes: per token and layer ten hidden states and four inner ones, in fp32."""
    config = model.config.get_text_config()
    inner = getattr(config, "intermediate_size", 4 * config.hidden_size)
    per_token = 4 * config.num_hidden_layers * (10 * config.hidden_size + 4 * inner)
    return int(max(256, min(4096, ACTIVATIONS // per_token)))


def adapter_parameters(model: PeftModel, adapter: str) -> list[nn.Parameter]:
    """The tensors of one adapter, in the model's order; modules of the model may have the adapter's name too."""
    ours = re.compile(rf"\.lora_\w+\.{re.escape(adapter)}(\.weight)?$")
    return [parameter for name, parameter in model.named_parameters() if ours.search(name)]
