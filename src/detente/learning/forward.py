"""The model under one adapter: hidden states, and log-probabilities of the drawn and of the observed tokens.

Forward and backward of one adapter stay inside ``active``: PEFT silently loses gradients if the adapter is switched in between.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from detente.backbone import attention, head, lora
from detente.learning.fitting import WHOLE, fitting, logits_at_once
from detente.learning.loss import chunked_token_logprobs
from detente.learning.micro_batches import MicroBatch
from detente.learning.stem import After, Stem
from detente.learning.tiles import tiled_token_logprobs


def prepare(model: PeftModel) -> None:
    """Let the model compute packed chats, in few passes over memory; to be called again when adapters were added."""
    base: Any = model.get_base_model()
    attention.use(base)
    lora.use(model)


@contextmanager
def active(model: PeftModel, adapter: str) -> Iterator[None]:
    """Inside, forward and backward go through this adapter alone."""
    model.set_adapter(adapter)
    try:
        yield
        if model.active_adapters != [adapter]:
            raise RuntimeError(f"the adapter was switched from {adapter} to {model.active_adapters} between forward and backward")
    finally:
        model.eval()


class Forward:
    """The model under the active adapter, on one micro-batch after another; a stem that several share is computed once.

    A pass keeps its activations for the backward pass if it has at most ``keeps`` tokens (None: however many it has); layers of
    longer ones are computed again there.

    To be used in a ``with`` statement: the gradients of the last stem reach the weights at its end. The backward pass of a
    micro-batch comes before the forward pass of the next. One object serves one adapter.
    """

    def __init__(self, model: PeftModel, keeps: int | None = None) -> None:
        self.model, self._keeps = model, keeps
        self._layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
        self._tokens: Tensor | None = None
        self._stem = Stem()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *rest: object) -> None:
        if error is None:
            self._stem.backward()

    def hidden_states(self, micro: MicroBatch) -> Tensor:
        """Last hidden states (M, D) of the packed tokens."""
        self._choose(len(micro.stem) + len(micro.tokens))
        if not len(micro.stem):
            return self._run(micro.attention, micro.tokens, micro.positions)
        if micro.stem is not self._tokens:
            self._stem.backward()
            self._tokens, self._stem = micro.stem, Stem()
            self._run(self._stem, micro.stem, torch.arange(len(micro.stem), device=micro.stem.device))
        return self._run(After(self._stem, micro.attention), micro.tokens, micro.positions)

    def token_logprobs(
        self, hidden: Tensor, micro: MicroBatch, temperature: float, *, entropy_gradient: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy (N,), (N,) of the drawn tokens, from the last hidden states (M, D)."""
        allowed = None if micro.masks is None else micro.allowed
        return self._logprobs(hidden, micro.before, micro.targets, temperature, allowed, entropy_gradient)

    def observed_logprobs(self, hidden: Tensor, micro: MicroBatch) -> Tensor:
        """Log-probability (P,) of the observed tokens, of all that the model could say at temperature 1."""
        return self._logprobs(hidden, micro.observed_before, micro.observed_targets, 1.0, None, entropy_gradient=False)[0]

    def _logprobs(
        self,
        hidden: Tensor,
        before: Tensor,
        targets: Tensor,
        temperature: float,
        allowed: Callable[..., Tensor] | None,
        entropy_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy (N,), (N,) of N targets; logits exist at those tokens only, some at a time."""
        hidden = F.embedding(before, hidden)  # (N, D)
        vocab_size = self.model.get_output_embeddings().weight.shape[0]
        scores, at_once = partial(head.logits, self.model), logits_at_once(hidden.device.type)
        if vocab_size > WHOLE and head.in_parts(self.model):
            return tiled_token_logprobs(
                hidden,
                scores,
                targets,
                vocab_size,
                temperature=temperature,
                allowed=allowed,
                logits=at_once,
                entropy_gradient=entropy_gradient,
            )
        return chunked_token_logprobs(
            hidden,
            scores,
            targets,
            temperature=temperature,
            allowed=None if allowed is None else partial(allowed, slice(0, vocab_size)),
            chunk=max(1, at_once // vocab_size),
            entropy_gradient=entropy_gradient,
        )

    def idle(self, *, back: bool = True) -> None:
        """A pass over one token, with gradients of zero: a process without chats takes part where layers are spread over all."""
        self._choose(1)
        token = torch.zeros(1, dtype=torch.long, device=self.model.get_input_embeddings().weight.device)
        hidden = self._run(attention.SeparateChats((1,)), token, token)
        if back:
            (0 * hidden.sum()).backward()

    def _choose(self, tokens: int) -> None:
        """Whether the layers of a pass of so many tokens are computed again."""
        again = self._keeps is not None and tokens > self._keeps
        for layer in self._layers:
            layer.training = again  # what the layer reads; modules inside it stay without dropout

    def _run(self, plan: attention.Plan, tokens: Tensor, positions: Tensor) -> Tensor:
        base: Any = self.model.get_base_model()
        hidden: Tensor = base.get_decoder()(input_ids=tokens[None], **attention.arguments(plan, positions)).last_hidden_state[0]
        return hidden


def fitting_tokens(model: PeftModel) -> int:
    """Tokens of a pass over this model; see fitting.py."""
    config = model.config.get_text_config()
    inner = getattr(config, "intermediate_size", 4 * config.hidden_size)
    return fitting(config.num_hidden_layers, config.hidden_size, inner, model.get_input_embeddings().weight.device.type)


def redraw(model: PeftModel, adapter: str) -> None:
    """Give an adapter fresh first weights, as PEFT draws them with the present random numbers: no change of what the base says."""
    layers: list[Any] = [module for module in model.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        layer.reset_lora_parameters(adapter, True)


def adapter_parameters(model: PeftModel, adapter: str) -> list[nn.Parameter]:
    """The tensors of one adapter, in the model's order; modules of the model may have the adapter's name too."""
    pattern = re.compile(rf"\.lora_\w+\.{re.escape(adapter)}(\.weight)?$")
    return [parameter for name, parameter in model.named_parameters() if pattern.search(name)]
