"""Computes the gradients of a share of an update in a process of its own.

    Config ── open ──> base models, with the learners on them        weights, a share ── gradients ──> what it saw, gradients

It keeps nothing from one call to the next: the run has the weights and the optimizer.
"""

from __future__ import annotations

from torch import Tensor

from detente.config import Config
from detente.learning import vectors
from detente.learning.learner import Learner
from detente.learning.loading import load_learners
from detente.learning.rollout_worker import settle
from detente.learning.work import Part, Work


class GradientWorker:
    """The learners of a run in another process. ``folder`` is the run's working directory, from which it names models."""

    def __init__(self, config: Config, folder: str) -> None:
        self.config, self.folder = config, folder
        self.learners: dict[str, Learner] = {}

    def open(self) -> None:
        """Load the base models; UserError for what is missing here."""
        settle(self.config, self.folder)
        for trained in load_learners(self.config):
            self.learners |= trained.learners

    def gradients(self, name: str, weights: Tensor, share: Work) -> tuple[Part, Tensor]:
        """What a learner with these (P,) weights sees of a share, and its (P,) gradients, both on the CPU."""
        learner = self.learners[name]
        vectors.take_weights(learner, weights.to(learner.device))
        learner.optimizer.zero_grad(set_to_none=True)
        part = learner.accumulate(share)
        return Part(part.sums, tuple(values.cpu() for values in part.logprobs)), vectors.gradients(learner).cpu()
