"""The pool of key-value rows: what it holds survives growing and copying. Attention over it: test_layout.py."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import pytest
import torch

from detente.engines.cache import STEP, Pool

if TYPE_CHECKING:
    from torch import Tensor


def fill(pool: Pool, seed: int = 0) -> list[list[Tensor]]:
    """Two layers of random keys and values, of different shapes."""
    generator = torch.Generator().manual_seed(seed)
    for index, (heads, size) in enumerate([(2, 3), (1, 5)]):
        key, value = torch.ones(1, heads, 4, size), torch.ones(1, heads, 4, size + 1)
        for memory in pool.layer(index, key, value):
            memory.copy_(torch.randn(memory.shape, generator=generator))
    return [[memory.clone() for memory in pool._layers[index]] for index in range(2)]


def test_layers_are_shaped_after_their_first_keys_and_values() -> None:
    pool = Pool()
    pool.reserve(3, 1)
    fill(pool)
    shapes = [[tuple(memory.shape) for memory in layer] for layer in pool._layers]
    assert shapes == [[(3, 2, STEP, 3), (3, 2, STEP, 4)], [(3, 1, STEP, 5), (3, 1, STEP, 6)]]


def test_capacity_grows_in_steps_and_keeps_what_it_holds() -> None:
    pool = Pool()
    pool.reserve(2, 3)
    assert (pool.rows, pool.capacity) == (2, STEP)
    before = fill(pool)
    pool.reserve(5, STEP + 1)
    assert (pool.rows, pool.capacity) == (5, 2 * STEP)
    for layer, old in zip(pool._layers, before, strict=True):
        for memory, kept in zip(layer, old, strict=True):
            assert memory.shape[0] == 5
            assert memory.shape[2] == 2 * STEP
            assert torch.equal(memory[:2, :, :STEP], kept)
    pool.reserve(1, 1)  # never shrinks
    assert (pool.rows, pool.capacity) == (5, 2 * STEP)
    assert all(
        bool((memory[2:] == 0).all()) and bool((memory[:, :, STEP:] == 0).all()) for layer in pool._layers for memory in layer
    )
    pool.reserve(6, 1)
    assert (pool.rows, pool.capacity) == (6, 2 * STEP)


def test_of_one_layer_alone_old_and_new_memory_are_there_together(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, alive = Pool(), []
    pool.reserve(2, STEP)
    for index in range(6):
        pool.layer(index, torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2))
    old = [weakref.ref(memory) for layer in pool._layers for memory in layer]
    grown = Pool._grown

    def counted(pool: Pool, memory: Tensor) -> Tensor:
        new = grown(pool, memory)
        alive.append(sum(kept() is not None for kept in old))
        return new

    monkeypatch.setattr(Pool, "_grown", counted)
    pool.reserve(2, STEP + 1)
    assert alive[::2] == [12, 10, 8, 6, 4, 2]
    assert all(kept() is None for kept in old)


def test_rows_are_copied_to_the_last_token() -> None:
    pool = Pool()
    pool.reserve(4, STEP)
    before = fill(pool)
    pool.copy(1, [0, 3], STEP)
    pool.copy(2, [0], 7)
    for layer, old in zip(pool._layers, before, strict=True):
        for memory, kept in zip(layer, old, strict=True):
            assert torch.equal(memory[3], kept[1])
            assert torch.equal(memory[1:3], kept[1:3])
            assert torch.equal(memory[0, :, :7], kept[2, :, :7])
            assert torch.equal(memory[0, :, 7:], kept[1, :, 7:])
