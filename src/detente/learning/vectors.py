"""What a learner trains, laid end to end: one vector goes from process to process faster than many tensors.

learner.trained ── weights, gradients ──> (P,)        (P,) ── take_weights, take_gradients ──> learner.trained, their grad
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from detente.learning.learner import Learner


@torch.no_grad()
def weights(learner: Learner) -> Tensor:
    """(P,) the numbers of adapter and critic."""
    return parameters_to_vector(learner.trained)


@torch.no_grad()
def take_weights(learner: Learner, flat: Tensor) -> None:
    """Put (P,) numbers into adapter and critic."""
    vector_to_parameters(flat, learner.trained)


@torch.no_grad()
def gradients(learner: Learner) -> Tensor:
    """(P,) the gradients of adapter and critic; zeros where a share of an update had none."""
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in learner.trained])


@torch.no_grad()
def take_gradients(learner: Learner, flat: Tensor) -> None:
    """Put (P,) gradients into the parameters' ``grad``."""
    for parameter, gradient in zip(learner.trained, flat.split([p.numel() for p in learner.trained]), strict=True):
        parameter.grad = gradient.view_as(parameter)
