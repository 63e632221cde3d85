"""Workers on a Ray cluster that compute the gradients of updates, as the run sees them.

    trajectories, weights ── a share each ──> workers ── gradients ──> summed in the order of the shares ──> the run: clip, Adam

Weights, optimizer and checkpoints stay with the run, so that they do not depend on where gradients are computed: with a single
worker an update is that of the run alone, bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from peft import PeftModel

from detente.config import Config
from detente.errors import UserError
from detente.learning import vectors
from detente.learning.cluster import AGAIN, POLL_S, Lost, begun, connected, learner_gpus, places, result
from detente.learning.gradient_worker import GradientWorker
from detente.learning.learner import Learner
from detente.learning.work import Part, Work


@contextmanager
def opened(config: Config) -> Iterator[RayLearners | None]:
    """The workers of a run that learn; None where this process computes gradients itself. UserError for a cluster without room."""
    options = config.executor
    if options.kind == "local" or not options.learners:
        yield None
        return
    with connected(options):
        places(options)
        learners = RayLearners(config, learner_gpus(options))
        try:
            learners.start()
            yield learners
        finally:
            learners.close()


class RayLearners:
    """``executor.learners`` actors with the learners of the run, each on ``gpus``; the run's own are the ones that count."""

    def __init__(self, config: Config, gpus: float) -> None:
        self.config, self.options, self.gpus = config, config.executor, gpus
        self.workers: list[Any] = []
        self.starting: list[Any] = []

    def start(self) -> None:
        """Start all workers, which load their models beside what this process does."""
        for _ in range(self.options.learners):
            self.workers.append(begun(GradientWorker, self.config, self.options.learner_cpus, self.gpus))
            self.starting.append(self.workers[-1].open.remote())

    def spread(self, model: PeftModel, learner: str) -> None:
        """Every worker has whole layers."""

    def gradients(self, learner: Learner, work: Work, first: Sequence[Part] | None) -> Sequence[Part]:
        """Divide a pass among the workers, and put the sum of their gradients into the learner's ``grad``.

        UserError where a worker is lost or does not come up; what it raises is raised here.
        """
        import ray

        self._results(self.starting, self.options.timeout)
        self.starting = []
        shares = work.divided(len(self.workers)) if len(self.workers) > 1 else [work]
        if first is not None:
            shares = [replace(share, old=part.logprobs) for share, part in zip(shares, first, strict=True)]
        weights = ray.put(vectors.weights(learner).cpu())
        calls = [worker.gradients.remote(learner.name, weights, share) for worker, share in zip(self.workers, shares, strict=True)]
        parts, gradients = zip(*self._results(calls), strict=True)
        vectors.take_gradients(learner, reduce(torch.add, gradients).to(learner.device))
        return list(parts)

    def close(self) -> None:
        """End all workers."""
        import ray

        for worker in self.workers:
            ray.kill(worker)

    def _results(self, calls: Sequence[Any], seconds: float = float("inf")) -> list[Any]:
        """The answers, once all are there; the first that fails is heard at once."""
        import ray

        answers: dict[Any, Any] = {}
        deadline = time.monotonic() + seconds
        while len(answers) < len(calls):
            if time.monotonic() > deadline:
                raise UserError(f"A worker that learns did not come up on the Ray cluster within {seconds:g} seconds; {AGAIN}")
            ready, _ = ray.wait([call for call in calls if call not in answers], timeout=POLL_S)  # Ctrl-C is heard in between
            try:
                answers |= {call: result(call) for call in ready}
            except Lost as lost:
                raise UserError(f"A worker of the Ray cluster was lost in an update; {AGAIN}") from lost
        return [answers[call] for call in calls]
