"""A policy that trains: one LoRA adapter on the shared base model, its optimizer, and optionally a critic.

    trajectories with credit ── forward ──> log-probabilities at the drawn tokens ── token loss ── backward, clip, one Adam step

Forward and backward of one adapter stay inside ``active``: PEFT silently loses gradients if the adapter is switched in between.
The critic's value head and LoRA live outside the adapter that is served.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from detente.config import LearnerConfig
from detente.learning import credit as credits
from detente.learning.batch import Assign, MicroBatch, Trajectory, micro_batches, with_credit
from detente.learning.loss import chunked_token_logprobs, critic_loss, mismatch, token_loss
from detente.records import PolicyRef


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


class Learner:
    """Trains the adapter ``name`` of ``model``; ``version`` counts its updates."""

    def __init__(self, name: str, model: PeftModel, options: LearnerConfig, lora: LoraConfig, temperature: float) -> None:
        self.name, self.model, self.options, self.temperature = name, model, options, temperature
        self.version = 0
        if options.optimizer.gradient_checkpointing:
            base: Any = model.get_base_model()
            base.gradient_checkpointing_enable({"use_reentrant": False})
        self.critic = Critic(f"{name}_critic", model, lora) if options.credit.baseline == "critic" else None
        parameters = self.parameters + (self.critic.parameters if self.critic else [])
        self.optimizer = torch.optim.Adam(parameters, lr=options.optimizer.lr)

    @property
    def policy(self) -> PolicyRef:
        """The present weights, by value."""
        return PolicyRef("adapter", self.name, self.version)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The adapter's tensors, in a fixed order."""
        return adapter_parameters(self.model, self.name)

    def weights(self) -> dict[str, Tensor]:
        """The adapter in PEFT's names, not copied."""
        weights: dict[str, Tensor] = get_peft_model_state_dict(self.model, adapter_name=self.name)
        return weights

    def update(self, found: Sequence[Trajectory], progress: float) -> dict[str, float]:
        """One Adam step on all trajectories; returns the metrics. ``progress`` runs from 0 to 1 over the run."""
        options = self.options
        self.optimizer.zero_grad(set_to_none=True)
        values = self.critic.evaluate(found, self.max_tokens) if self.critic else None
        batch = with_credit(found, self._assigner(progress), values, baseline=options.credit.baseline)
        if options.credit.whiten and batch:
            batch = _whitened(batch)
        if not any(len(one.drawn) for one in batch):
            return {}
        sums = self._accumulate(batch, sum(one.generated for one in batch), progress)
        if self.critic:
            sums["critic_loss"] = self.critic.accumulate(found, self.options, self.max_tokens)
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        for group in self.optimizer.param_groups:
            group["lr"] = credits.annealed(options.optimizer.lr, options.optimizer.lr_final, progress)
        norm = nn.utils.clip_grad_norm_(trained, options.optimizer.max_grad_norm)
        self.optimizer.step()
        self.version += 1
        return _metrics(self.name, sums, batch, float(norm))

    @property
    def max_tokens(self) -> int:
        """Of one micro-batch, padding included."""
        return self.options.optimizer.micro_batch_tokens

    def _assigner(self, progress: float) -> Assign:
        options = self.options.credit.model_dump()
        options["beta"] = credits.annealed(options["beta"], options["beta_final"], progress)
        options["baseline"] = credits.no_baseline if options["baseline"] == "none" else credits.leave_one_out

        def assign(own: Tensor, others: Tensor, values: Tensor | None) -> Tensor:
            if values is not None:
                end = torch.zeros_like(values[..., :1])  # nothing follows the last round
                learned = credits.generalized_advantages(own, torch.cat([values, end], -1), options["gamma"], options["gae_lambda"])
                theirs = credits.leave_one_out(credits.discounted_returns(others, options["gamma"]))
                return credits.assign(self.options.algorithm, own, others, **options, advantages=(learned, theirs))
            return credits.assign(self.options.algorithm, own, others, **options)

        return assign

    def _accumulate(self, batch: Sequence[Trajectory], generated: int, progress: float) -> dict[str, float]:
        """Backward through every micro-batch; returns sums over the drawn tokens."""
        options = self.options.loss
        sums: dict[str, float] = {}
        with active(self.model, self.name, checkpointing=self.options.optimizer.gradient_checkpointing):
            for micro in micro_batches(batch, self.max_tokens, self.device):
                reference = None
                if options.kl > 0:
                    with torch.no_grad(), self.model.disable_adapter():
                        reference = self.logprobs(micro)[0]
                logprobs, entropy = self.logprobs(micro)
                loss = token_loss(
                    logprobs,
                    micro.engine_logprobs,
                    reference,
                    entropy,
                    micro.credit,
                    importance_cap=options.importance_cap,
                    entropy_coefficient=credits.annealed(options.entropy, options.entropy_final, progress),
                    kl_coefficient=options.kl,
                )
                (loss.loss / generated).backward()
                gap = mismatch(logprobs.detach(), micro.engine_logprobs)
                found = {
                    "loss": loss.loss / generated,
                    "entropy": loss.entropy,
                    "ratio": loss.ratio,
                    "capped": loss.capped,
                    "mismatch/kl": gap.kl,
                    "mismatch/mean_abs": gap.absolute,
                }
                if reference is not None:
                    found["kl"] = loss.kl
                for key, value in found.items():
                    sums[key] = sums.get(key, 0.0) + float(value.detach())
                sums["mismatch/max_abs"] = max(sums.get("mismatch/max_abs", 0.0), float(gap.largest))
        return sums

    def logprobs(self, micro: MicroBatch) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy (N,), (N,) of the drawn tokens under the active adapter and the recorded masks."""
        return token_logprobs_of(self.model, micro, self.temperature)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next(self.model.parameters()).device


class Critic:
    """Values of the rounds to come: a linear head on the last hidden state at the start of a round, with a LoRA of its own."""

    def __init__(self, adapter: str, model: PeftModel, lora: LoraConfig) -> None:
        self.adapter, self.model = adapter, model
        model.add_adapter(adapter, lora)
        embeddings = model.get_input_embeddings().weight
        self.head = nn.Linear(embeddings.shape[1], 1, device=embeddings.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Adapter and head, in a fixed order."""
        return [*adapter_parameters(self.model, self.adapter), *self.head.parameters()]

    def weights(self) -> dict[str, Tensor]:
        """Adapter and head by name, not copied."""
        weights: dict[str, Tensor] = get_peft_model_state_dict(self.model, adapter_name=self.adapter)
        return weights | {f"head.{key}": value for key, value in self.head.state_dict().items()}

    def evaluate(self, found: Sequence[Trajectory], max_tokens: int) -> list[Tensor]:
        """(T,) float64 values of each trajectory's rounds."""
        values: dict[int, Tensor] = {}
        with torch.no_grad(), active(self.model, self.adapter):
            for micro in micro_batches(found, max_tokens, self.head.weight.device):
                values |= {i: v.detach().double().cpu() for i, v in self._values(micro, found)}
        return [values.get(i, torch.zeros(len(one.own), dtype=torch.float64)) for i, one in enumerate(found)]

    def accumulate(self, found: Sequence[Trajectory], options: LearnerConfig, max_tokens: int) -> float:
        """Backward of the Huber loss against the discounted returns, averaged over rounds; returns the loss."""
        rounds, total = sum(len(one.own) for one in found), 0.0
        with active(self.model, self.adapter, checkpointing=options.optimizer.gradient_checkpointing):
            for micro in micro_batches(found, max_tokens, self.head.weight.device):
                values = self._values(micro, found)
                targets = [credits.discounted_returns(found[i].own, options.credit.gamma) for i, _ in values]
                predicted = torch.cat([value for _, value in values])
                loss = options.loss.critic * critic_loss(predicted, torch.cat(targets).to(predicted)) / rounds
                loss.backward()
                total += float(loss.detach())
        return total

    def _values(self, micro: MicroBatch, found: Sequence[Trajectory]) -> list[tuple[int, Tensor]]:
        hidden = hidden_states(self.model, micro.tokens)
        values: Tensor = self.head(hidden.to(self.head.weight.dtype))[..., 0]  # (B, L)
        return [(i, values[row, torch.from_numpy(found[i].starts).to(values.device)]) for row, i in enumerate(micro.members)]


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


def _whitened(batch: Sequence[Trajectory]) -> list[Trajectory]:
    scaled = credits.whiten(torch.cat([one.credit for one in batch if one.credit is not None]))
    pieces = scaled.split([len(one.own) for one in batch])
    return [replace(one, credit=piece) for one, piece in zip(batch, pieces, strict=True)]


def _metrics(name: str, sums: dict[str, float], batch: Sequence[Trajectory], norm: float) -> dict[str, float]:
    drawn = sum(len(one.drawn) for one in batch)
    credit = torch.cat([one.credit for one in batch if one.credit is not None])
    result = {
        f"loss/{name}": sums["loss"],
        f"entropy/{name}": sums["entropy"] / drawn,
        f"ratio/{name}": sums["ratio"] / drawn,
        f"capped/{name}": sums["capped"] / drawn,
        f"grad_norm/{name}": norm,
        f"credit/{name}/std": float(credit.std()),
        f"tokens/{name}/generated": sum(one.generated for one in batch),
        f"tokens/{name}/drawn": drawn,
        f"mismatch/{name}/kl": sums["mismatch/kl"] / drawn,
        f"mismatch/{name}/mean_abs": sums["mismatch/mean_abs"] / drawn,
        f"mismatch/{name}/max_abs": sums["mismatch/max_abs"],
    }
    if "kl" in sums:
        result[f"kl/{name}"] = sums["kl"] / drawn
    if "critic_loss" in sums:
        result[f"critic_loss/{name}"] = sums["critic_loss"]
    return result
