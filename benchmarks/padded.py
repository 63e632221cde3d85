"""The baseline of the update: the common formulation, as most trainers write it.

    chats ── pad ──> (B, L) ── whole model ──> logits (B, L, V) ── log-softmax, entropy everywhere ── gather ──> loss ── Adam
                        └─── adapter off, a second whole forward ──> logits (B, L, V) ──> reference ───────────────┘

Transformers and plain PEFT; all in the model's number format. The loss is the learner's: importance weights with a cap, credit,
entropy bonus and KL to the base model, averaged over the generated tokens. The grammar's masks are laid on the logits where tokens
were drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from torch import Tensor, nn

from benchmarks.flops import Shape, shape_of
from detente import models
from detente.learning.batch import Trajectory


@dataclass(frozen=True)
class Setup:
    """What an update is measured with."""

    model: str
    dtype: str
    device: str
    threads: int | None
    rank: int = 16
    kl: float = 0.001
    entropy: float = 0.01
    cap: float = 2.0
    lr: float = 1e-5
    micro_batch: int = 0  # chats at once; 0: all

    @property
    def lora(self) -> LoraConfig:
        return LoraConfig(r=self.rank, lora_alpha=2 * self.rank, target_modules="all-linear", task_type="CAUSAL_LM")


@dataclass(frozen=True)
class Padded:
    """B chats padded to L; what belongs to a token stands where its logits are, one place before it."""

    tokens: Tensor  # (B, L)
    attention: Tensor  # (B, L) 1 where there is a token
    drawn: Tensor  # (B, L - 1) bool
    credit: Tensor  # (B, L - 1)
    engine: Tensor  # (B, L - 1) log-probabilities
    places: tuple[Tensor, Tensor]  # (N,) rows and columns of the masks
    allowed: Tensor | None  # (N, V) bool


def padded(found: Sequence[Trajectory], vocab: int, device: str) -> Padded:
    """Right-padded tensors of chats with credit."""
    size = (len(found), max(len(one.tokens) for one in found))
    tokens, attention = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    drawn, credit, engine = np.zeros(size, dtype=bool), np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
    for row, one in enumerate(found):
        tokens[row, : len(one.tokens)], attention[row, : len(one.tokens)] = one.tokens, 1
        drawn[row, one.drawn], engine[row, one.drawn] = True, one.logprobs
        if one.credit is not None:
            credit[row, one.drawn] = one.credit.numpy()[one.rounds]
    rows = np.repeat(np.arange(len(found)), [len(one.drawn) for one in found])
    columns = np.concatenate([one.drawn for one in found]) - 1

    def placed(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(device)

    return Padded(
        placed(tokens),
        placed(attention),
        placed(drawn[:, 1:]),
        placed(credit[:, 1:]),
        placed(engine[:, 1:]),
        (placed(rows), placed(columns)),
        _allowed(found, vocab, device),
    )


def _allowed(found: Sequence[Trajectory], vocab: int, device: str) -> Tensor | None:
    if all(one.allowed is None for one in found):
        return None
    masks = [
        np.ones((len(one.drawn), vocab), dtype=bool)
        if one.allowed is None
        else np.unpackbits(np.array(one.allowed), axis=-1, bitorder="little")[:, :vocab].astype(bool)
        for one in found
    ]
    return torch.from_numpy(np.concatenate(masks)).to(device)


class PaddedLearner:
    """One adapter, trained the common way."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        base = models.load(setup.model, dtype=setup.dtype, device=setup.device)
        self.shape: Shape = shape_of(base.model)
        self.model = get_peft_model(base.model, setup.lora, adapter_name="main").eval()
        self.vocab: int = self.model.get_output_embeddings().weight.shape[0]
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(self.trained, lr=setup.lr)

    def weights(self) -> Mapping[str, Tensor]:
        """The adapter in PEFT's names, not copied."""
        found: dict[str, Tensor] = get_peft_model_state_dict(self.model, adapter_name="main", save_embedding_layers=False)
        return found

    def step(self, found: Sequence[Trajectory]) -> tuple[float, float]:
        """One Adam step on chats with credit; returns the loss and the norm of its gradient."""
        generated, size = sum(one.generated for one in found), self.setup.micro_batch or len(found)
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for start in range(0, len(found), size):
            batch = padded(found[start : start + size], self.vocab, self.setup.device)
            loss = self._loss(batch) / generated
            loss.backward()
            total += float(loss.detach())
        norm = float(nn.utils.clip_grad_norm_(self.trained, 1.0))
        self.optimizer.step()
        return total, norm

    def _loss(self, batch: Padded) -> Tensor:
        setup, reference = self.setup, None
        if setup.kl:
            with torch.no_grad(), self.model.disable_adapter():
                reference = self._logprobs(batch)[0].float()
        logprobs, entropy = (part.float() for part in self._logprobs(batch))
        weight = (logprobs.detach() - batch.engine).exp().clamp(max=setup.cap)
        loss = -weight * batch.credit * logprobs - setup.entropy * entropy
        if reference is not None:
            gap = reference - logprobs
            loss = loss + setup.kl * weight * (gap.exp() - gap - 1)
        return torch.where(batch.drawn, loss, 0.0).sum()

    def _logprobs(self, batch: Padded) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy (B, L - 1) of every next token."""
        logits = self.model(input_ids=batch.tokens, attention_mask=batch.attention, use_cache=False).logits[:, :-1]
        if batch.allowed is not None:  # the least number and not -inf, which would make the entropy NaN
            least = torch.finfo(logits.dtype).min
            logits[batch.places] = logits[batch.places].masked_fill(~batch.allowed, least)
        logprobs = logits.log_softmax(-1)
        del logits
        entropy = -(logprobs.exp() * logprobs).sum(-1)
        return logprobs.gather(-1, batch.tokens[:, 1:, None])[..., 0], entropy

    @torch.no_grad()
    def logprobs(self, found: Sequence[Trajectory]) -> list[Any]:
        """(N,) of each chat's drawn tokens, one chat at a time."""
        batches = [padded([one], self.vocab, self.setup.device) for one in found]
        return [self._logprobs(batch)[0][batch.drawn].float().cpu().numpy() for batch in batches]


def fitting(found: Sequence[Trajectory], model: Any, itemsize: int, free: int) -> int:
    """How many of the chats fit into so many bytes at once, by a rough count of what the formulation holds; at least one.

    Per token about seven times the vocabulary (logits, log-probabilities, probabilities, and gradients), and per layer what its
    backward pass needs.
    """
    config = model.config.get_text_config()
    layer = 12 * config.hidden_size + 6 * config.intermediate_size
    token = itemsize * (7 * model.get_output_embeddings().weight.shape[0] + config.num_hidden_layers * layer)
    longest = max(len(one.tokens) for one in found)
    return int(max(1, min(len(found), free // (token * longest))))
