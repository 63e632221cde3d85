"""The critic: an estimate of the reward that is still to come, as a baseline (``credit.baseline=critic``).

A linear head on the last hidden state, with a LoRA of its own; neither is part of the adapter that is served.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peft import LoraConfig, PeftModel
from torch import Tensor, nn

from detente.learning.batch import Trajectory
from detente.learning.credit import discounted_returns
from detente.learning.forward import Forward, active, adapter_parameters, prepare, redraw
from detente.learning.loss import critic_loss
from detente.learning.micro_batches import MicroBatch, micro_batches
from detente.learning.work import Work
from detente.options import LearnerConfig


class Critic:
    """Estimates the return from a round on: a linear head on the last hidden state at the start of the round."""

    def __init__(self, adapter: str, model: PeftModel, lora: LoraConfig) -> None:
        self.adapter, self.model = adapter, model
        model.add_adapter(adapter, lora)
        prepare(model)
        embeddings = model.get_input_embeddings().weight
        self.head = nn.Linear(embeddings.shape[1], 1, device=embeddings.device)
        self._zero_head()

    def reset(self) -> None:
        """Start anew, with random numbers of the present generator."""
        redraw(self.model, self.adapter)
        self._zero_head()

    def _zero_head(self) -> None:
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Adapter and head, in a fixed order."""
        return [*adapter_parameters(self.model, self.adapter), *self.head.parameters()]

    def evaluate(self, trajectories: Sequence[Trajectory], max_tokens: int) -> list[Tensor]:
        """(T,) float64 values of each trajectory's rounds."""
        values: dict[int, Tensor] = {}
        with torch.no_grad(), active(self.model, self.adapter), Forward(self.model) as forward:
            for micro in micro_batches(trajectories, max_tokens, self.head.weight.device):
                values |= {i: v.detach().double().cpu() for i, v in self._values(forward.hidden_states(micro), micro, trajectories)}
        return [values.get(i, torch.zeros(len(trajectory.own), dtype=torch.float64)) for i, trajectory in enumerate(trajectories)]

    def accumulate(self, work: Work, options: LearnerConfig, max_tokens: int, keeps: int | None) -> float:
        """Backward of the Huber loss against the discounted returns, summed and divided by all rounds; returns the loss.

        ``keeps`` as for ``Forward``.
        """
        trajectories, total, done = work.valued, 0.0, 0
        with active(self.model, self.adapter), Forward(self.model, keeps) as forward:
            for micro in micro_batches(trajectories, max_tokens, self.head.weight.device, stems=work.passes is None):
                values = self._values(forward.hidden_states(micro), micro, trajectories)
                targets = [discounted_returns(trajectories[i].own, options.credit.gamma) for i, _ in values]
                predicted = torch.cat([value for _, value in values])
                loss = options.loss.critic * critic_loss(predicted, torch.cat(targets).to(predicted)) / work.rounds
                loss.backward()
                total += float(loss.detach())
                done += 1
            for _ in range(done, work.passes[1] if work.passes else 0):
                forward.idle()
        return total

    def _values(self, hidden: Tensor, micro: MicroBatch, trajectories: Sequence[Trajectory]) -> list[tuple[int, Tensor]]:
        values: Tensor = self.head(hidden.to(self.head.weight.dtype))[:, 0]  # (M,)
        starts = [torch.from_numpy(places[trajectories[i].starts]) for i, places in zip(micro.members, micro.places, strict=True)]
        return [(i, values[start.to(values.device)]) for i, start in zip(micro.members, starts, strict=True)]
