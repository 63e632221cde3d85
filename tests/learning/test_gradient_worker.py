"""Gradients that were computed by a worker, which is here in this process, are those of the learner alone."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from detente.learning import vectors
from detente.learning.gradient_worker import GradientWorker
from detente.learning.learner import Learner
from detente.learning.work import Part, Work


class Direct:
    """A single worker, reached by what can be sent to another process."""

    def __init__(self, worker: GradientWorker) -> None:
        self.worker = worker

    def spread(self, model: Any, learner: str) -> None:
        pass

    def gradients(self, learner: Learner, work: Work, first: Sequence[Part] | None) -> Sequence[Part]:
        share = work if first is None else replace(work, old=first[0].logprobs)
        sent = pickle.loads(pickle.dumps((learner.name, vectors.weights(learner), share)))
        part, gradients = pickle.loads(pickle.dumps(self.worker.gradients(*sent)))
        vectors.take_gradients(learner, gradients)
        return [part]


@pytest.mark.parametrize("credit", [{}, {"baseline": "critic"}])
def test_an_update_is_the_same_to_the_bit(open_run: Any, credit: dict[str, Any]) -> None:
    options = {"credit": credit, "loss": {"kl": 0.01}, "optimizer": {"lr": 0.01, "steps": 2}}
    alone, placed = open_run(**options), open_run(**options)
    chats = alone.trajectories(alone.play())
    worker = GradientWorker(placed.config, "nowhere")
    worker.open()
    own = worker.learners["main"]
    vectors.take_weights(own, vectors.weights(own) + 1.0)  # what a worker has of its own does not count
    placed.learners["main"].helpers = Direct(worker)
    for progress in (0.0, 0.5):
        metrics = [run.learners["main"].update(chats, progress) for run in (alone, placed)]
        assert metrics[0] == metrics[1]
    assert torch.equal(vectors.weights(alone.learners["main"]), vectors.weights(placed.learners["main"]))
