"""A policy that trains: one LoRA adapter on a base model, its optimizer, and optionally a critic.

trajectories with credit ── forward ──> log-probabilities at the drawn tokens ── token loss ── backward, clip, Adam steps

What is not finite on the way ends the update (health.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model_state_dict
from torch import Tensor, nn

from detente.backbone import head
from detente.finite import all_finite
from detente.learning import credit as credits
from detente.learning import health
from detente.learning.algorithms import algorithm_of
from detente.learning.annealing import annealed
from detente.learning.batch import Trajectory, opening, with_credit
from detente.learning.critic import Critic
from detente.learning.forward import Forward, active, adapter_parameters, fitting_tokens, prepare, redraw
from detente.learning.loss import mismatch, observation_loss, token_loss
from detente.learning.micro_batches import micro_batches
from detente.learning.trial_credit import with_trial_credit
from detente.learning.work import LARGEST, Gradients, Part, Work, step_metrics, summed, update_metrics
from detente.options import LearnerConfig
from detente.records import PolicyRef

PROBED = 16  # tokens that new weights have to read before they count


class Helpers(Protocol):
    """Where gradients are computed and what becomes of them before a step: in this process (``Alone``), in others
    (``detente.learning.parallel``), or as a class of yours has it."""

    def spread(self, model: PeftModel, learner: str) -> None:
        """Share the layers of a base model among all processes, where the options say so; ``learner`` is one on the model."""
        ...

    def gradients(self, learner: Learner, work: Work, first: Sequence[Part] | None) -> Sequence[Part]:
        """Divide a pass among all processes, and put the sum of their gradients into the learner's ``grad``; ``first`` is what the
        first of several passes over the same trajectories returned."""
        ...


class Alone:
    """This process computes the gradients. Derive from it to look at them, mix or delay them before the learner's step."""

    def spread(self, model: PeftModel, learner: str) -> None:
        """The layers of a base model stay whole."""

    def gradients(self, learner: Learner, work: Work, first: Sequence[Part] | None) -> Sequence[Part]:
        """Put the gradients of a pass into the learner's ``grad``; the module ``vectors`` reads and replaces them."""
        return [learner.accumulate(work if first is None else replace(work, old=first[0].logprobs))]


class Learner:
    """Trains the adapter ``name`` of ``model``; ``version`` counts its updates."""

    def __init__(self, name: str, model: PeftModel, options: LearnerConfig, lora: LoraConfig) -> None:
        self.name, self.model, self.options = name, model, options
        self.version = 0
        self.helpers: Helpers = Alone()
        self.algorithm = algorithm_of(options)
        prepare(model)
        base: Any = model.get_base_model()
        if options.optimizer.gradient_checkpointing or base.supports_gradient_checkpointing:
            base.activation_checkpointing_enable({"use_reentrant": False})  # forward.py decides for which passes
        self.critic = Critic(f"{name}_critic", model, lora) if options.credit.has_critic(options.algorithm) else None
        trained = [self.parameters, *([self.critic.parameters] if self.critic else [])]  # each with a rate of its own
        self.optimizer = torch.optim.Adam([{"params": parameters} for parameters in trained], lr=options.optimizer.lr)

    @property
    def policy(self) -> PolicyRef:
        """The present weights, by value."""
        return PolicyRef("adapter", self.name, self.version)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The adapter's tensors, in a fixed order."""
        return adapter_parameters(self.model, self.name)

    @property
    def trained(self) -> list[nn.Parameter]:
        """The tensors of adapter and critic, in a fixed order."""
        return [*self.parameters, *(self.critic.parameters if self.critic else [])]

    @property
    def lora(self) -> PeftConfig:
        """How PEFT has made the adapter."""
        return self.model.peft_config[self.name]

    def weights(self) -> dict[str, Tensor]:
        """The adapter in PEFT's names, not copied."""
        weights: dict[str, Tensor] = get_peft_model_state_dict(self.model, adapter_name=self.name, save_embedding_layers=False)
        return weights

    def reset(self, seed: int) -> None:
        """Start anew, as another version: a fresh adapter, whose random numbers follow from the seed, and an empty optimizer."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            redraw(self.model, self.name)
            if self.critic:
                self.critic.reset()
        self.optimizer.state.clear()
        self.version += 1

    def update(self, trajectories: Sequence[Trajectory], progress: float) -> dict[str, float]:
        """``optimizer.steps`` Adam steps on all trajectories; returns the metrics. ``progress`` runs from 0 to 1 over the run.

        {} and no step where there is nothing to learn from. NotFiniteError before a step where credit, loss or gradient are not
        finite, after it where the new weights or their scores are not; the learner is of no use then.
        """
        first = self.gradients(trajectories, progress)
        if first is None:
            return {}
        norm, later = self.apply(progress), first
        for _ in range(1, self.options.optimizer.steps):
            later = self.gradients(trajectories, progress, first) or later
            self.apply(progress)
        self._require(self._scores_finite(next(trajectory for trajectory in first.batch if len(trajectory.drawn))), "scores")
        self.version += 1
        metrics = update_metrics(self.name, first, norm)
        return metrics if later is first else metrics | step_metrics(self.name, first, later)

    def gradients(self, trajectories: Sequence[Trajectory], progress: float, first: Gradients | None = None) -> Gradients | None:
        """Put the gradients of the loss on all trajectories into the parameters' ``grad``; None where nothing can be learned from.

        ``first`` is what the first of several passes over the same trajectories returned: its credit is used again, and ratios
        to its probabilities are clipped. NotFiniteError where credit or loss are not finite.
        """
        self.optimizer.zero_grad(set_to_none=True)
        batch = self._credited(trajectories, progress) if first is None else first.batch
        if not any(len(trajectory.drawn) for trajectory in batch):
            return None
        self._require(
            all_finite([torch.cat([trajectory.credit for trajectory in batch if trajectory.credit is not None])]), "credit"
        )
        work = Work(
            batch,
            trajectories if self.critic else (),
            generated=sum(trajectory.generated for trajectory in batch),
            rounds=sum(len(trajectory.own) for trajectory in trajectories),
            observed=sum(len(trajectory.observed) for trajectory in batch if len(trajectory.drawn)),
            progress=progress,
        )
        parts = self.helpers.gradients(self, work, None if first is None else first.parts)
        sums = summed(parts)
        self._require(math.isfinite(sums["loss"] + sums.get("critic_loss", 0.0)), "loss")
        return Gradients(batch, sums, parts)

    def accumulate(self, work: Work) -> Part:
        """Add the gradients of the losses on a share of an update to the parameters' ``grad``."""
        sums, logprobs = self._accumulate(work)
        if self.critic:
            sums["critic_loss"] = self.critic.accumulate(work, self.options, self.max_tokens, self.keeps(work))
        return Part(sums, logprobs)

    def apply(self, progress: float) -> float:
        """One Adam step with the gradients in ``grad``, clipped; returns their norm before. NotFiniteError as for ``update``.

        The norm is that of adapter and critic together, of the adapter alone where the critic has a clip of its own.
        """
        options = self.options.optimizer
        rate = annealed(options.lr, options.lr_final, progress)
        for group, own in zip(self.optimizer.param_groups, (None, options.critic_lr), strict=False):
            group["lr"] = rate if own is None else own
        adapter, trained = self.parameters, self.trained
        if options.critic_max_grad_norm is None:
            clipped = [(trained, options.max_grad_norm)]
        else:
            clipped = [(adapter, options.max_grad_norm), (trained[len(adapter) :], options.critic_max_grad_norm)]
        norms = [float(nn.utils.clip_grad_norm_(parameters, most)) for parameters, most in clipped]
        self._require(all(map(math.isfinite, norms)), "gradient")
        self.optimizer.step()
        self._require(all_finite(trained), "weights")  # Adam's moments are as finite as the clipped gradients
        return norms[0]

    def _credited(self, trajectories: Sequence[Trajectory], progress: float) -> list[Trajectory]:
        values = self.critic.evaluate(trajectories, self.max_tokens) if self.critic else None
        assign, credit = partial(self.algorithm.credit, progress=progress), self.options.credit
        fewest = credit.fewest(self.options.algorithm)
        if self.options.collect == "trial":
            batch = with_trial_credit(trajectories, assign, fewest=fewest)
        else:
            batch = with_credit(trajectories, assign, values, batch=credit.baseline == "batch", fewest=fewest)
        return _whitened(batch) if credit.whiten and batch else batch

    def _require(self, finite: bool, what: str) -> None:
        if not finite:
            raise health.failure(what, self.name, self.options.model_dump())

    def _scores_finite(self, trajectory: Trajectory) -> bool:
        """Whether the present weights can say what follows the first tokens of a chat, and what it is worth."""
        first = opening(trajectory, PROBED)
        now = self.model.active_adapters == [self.name]  # to switch takes longer than these few tokens
        with torch.no_grad(), nullcontext() if now else active(self.model, self.name), Forward(self.model) as forward:
            (micro,) = micro_batches([first], self.max_tokens, self.device)
            hidden = forward.hidden_states(micro)[micro.before]  # (1, D); zeros where a norm has overflowed
            scores = head.logits(self.model, hidden)
        values = self.critic.evaluate([first], self.max_tokens) if self.critic else []
        return bool(hidden.any()) and all_finite([scores.max(), *values])

    @property
    def max_tokens(self) -> int:
        """Of one micro-batch."""
        return self.options.optimizer.micro_batch_tokens or fitting_tokens(self.model)

    @property
    def observes(self) -> bool:
        """Whether the tokens of later observations train too."""
        return self.options.loss.observation > 0

    def keeps(self, work: Work) -> int | None:
        """Tokens of which a pass keeps the activations; a chat that is longer than a micro-batch may be keeps none.

        None, all, where layers are spread over processes, which have to do the same in every pass.
        """
        if self.options.optimizer.gradient_checkpointing:
            return 0
        return self.max_tokens if work.passes is None else None

    def _accumulate(self, work: Work) -> tuple[dict[str, float], tuple[Tensor, ...]]:
        """Backward through every micro-batch; returns sums over the drawn tokens, and each micro-batch's log-probabilities."""
        options, generated = self.options.loss, work.generated
        sums: dict[str, float] = {}
        seen: list[Tensor] = []
        coefficient = annealed(options.entropy, options.entropy_final, work.progress)
        temperature = self.options.answer.temperature
        adapted, plain = Forward(self.model, self.keeps(work)), Forward(self.model)
        with active(self.model, self.name), adapted, plain:
            stems = work.passes is None
            micros = micro_batches(work.batch, self.max_tokens, self.device, stems=stems, observed=self.observes)
            for number, micro in enumerate(micros):
                reference = None
                if options.kl > 0:
                    with torch.no_grad(), self.model.disable_adapter():
                        reference, _ = plain.token_logprobs(plain.hidden_states(micro), micro, temperature)
                hidden = adapted.hidden_states(micro)
                logprobs, entropy = adapted.token_logprobs(hidden, micro, temperature, entropy_gradient=coefficient != 0)
                seen.append(logprobs.detach())
                loss = token_loss(
                    logprobs,
                    micro.engine_logprobs,
                    reference,
                    entropy,
                    micro.credit,
                    importance_cap=options.importance_cap,
                    entropy_coefficient=coefficient,
                    kl_coefficient=options.kl,
                    old_logprobs=None if work.old is None else work.old[number].to(self.device),
                    clip_ratio=options.clip_ratio,
                )
                total, values = loss.loss / generated, {}
                if len(micro.observed_targets):
                    error = observation_loss(adapted.observed_logprobs(hidden, micro), micro.observed_counts) / work.observed
                    total, values = total + options.observation * error, {"observation_loss": error}
                total.backward()
                gap = mismatch(logprobs.detach(), micro.engine_logprobs)
                values |= {
                    "loss": total,
                    "entropy": loss.entropy,
                    "ratio": loss.ratio,
                    "capped": loss.capped,
                    "clipped": loss.clipped,
                    "mismatch/kl": gap.kl,
                    "mismatch/mean_abs": gap.absolute,
                }
                if reference is not None:
                    values["kl"] = loss.kl
                for key, value in values.items():
                    sums[key] = sums.get(key, 0.0) + float(value.detach())
                sums[LARGEST] = max(sums.get(LARGEST, 0.0), float(gap.largest))
            for _ in range(len(seen), work.passes[0] if work.passes else 0):
                if options.kl > 0:
                    with torch.no_grad(), self.model.disable_adapter():
                        plain.idle(back=False)
                adapted.idle()
        return sums, tuple(seen)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next(self.model.parameters()).device


def _whitened(batch: Sequence[Trajectory]) -> list[Trajectory]:
    scaled = credits.whiten(torch.cat([trajectory.credit for trajectory in batch if trajectory.credit is not None]))
    pieces = scaled.split([len(trajectory.own) for trajectory in batch])
    return [replace(trajectory, credit=piece) for trajectory, piece in zip(batch, pieces, strict=True)]
