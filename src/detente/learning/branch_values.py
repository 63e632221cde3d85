"""What turns are worth, from episodes that begin alike and then go apart. Pure functions of tensors, as those of credit.py.

leaves (..., N) ── tree_mean ──> the value of every node
    rewards (..., T), those of alternatives to each round (..., T, A, D) ── branch_advantages ──> advantages (..., T)
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn


def tree_mean(leaves: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    """The value of every node of a tree, the mean of the leaves below it: (..., N) -> a tensor per level, the root's first.

    A node of level i has ``sizes[i]`` children; level i is (..., sizes[0] * ... * sizes[i - 1]), the last one the leaves. So
    Motwani et al. (2024) value the answers of agents that work one after another. ValueError unless N is the product of all sizes.
    """
    if leaves.shape[-1] != prod(sizes):
        raise ValueError(f"A tree of sizes {sizes} has {prod(sizes)} leaves, not {leaves.shape[-1]}.")
    levels = [leaves]
    for size in reversed(sizes):
        levels.insert(0, levels[0].unflatten(-1, (-1, size)).mean(-1))
    return levels


def branch_advantages(rewards: Tensor, alternatives: Tensor, gamma: float) -> Tensor:
    """``A_t = R_t - (1/A) sum_a R_{t,a}``: rewards (..., T), those of A alternatives (..., T, A, D) -> (..., T).

    ``R_t = sum_{l<D} gamma^l r_{t+l}`` is what was earned in the D rounds from t on, ``R_{t,a}`` the same after other answers to
    the state before round t, drawn independently of the one that was given. So ``E[A_t | state, answer] = Q - V`` of these D
    rounds (Kazemnejad et al., 2024). The mean over A + 1, the episode among them, would be A / (A + 1) of that.
    """
    depth = alternatives.shape[-1]
    discounts = gamma ** torch.arange(depth, dtype=rewards.dtype, device=rewards.device)
    coming = nn.functional.pad(rewards, (0, depth - 1)).unfold(-1, depth, 1)  # (..., T, D)
    return (coming * discounts).sum(-1) - (alternatives * discounts).sum(-1).mean(-1)
