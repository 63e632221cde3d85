"""Attention over the pool against one softmax per query, written out over lists."""

from __future__ import annotations

import random
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from detente.engines import layout
from detente.engines.cache import Pool
from detente.engines.layout import Block, Placement, PoolPlan

if TYPE_CHECKING:
    from torch import Tensor


CPU = torch.device("cpu")
SIZE, LAYERS = 4, 2


class Dense:
    """The keys and values of each row as lists, per layer."""

    def __init__(self, groups: int) -> None:
        self.groups = groups
        self.rows: Any = [{} for _ in range(LAYERS)]

    def attend(self, layer: int, placement: Placement, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """What the new tokens of a placement (H, n, D) get, and what its rows hold afterwards."""
        held = self.rows[layer].get(placement.row, [])[: placement.seen]
        own = [(key[:, i], value[:, i]) for i in range(placement.length)]
        outputs = []
        for i in range(placement.length):
            met = held + own[: i + 1]
            for head in range(query.shape[0]):
                group = head * self.groups // query.shape[0]
                scores = torch.stack([k[group] @ query[head, i] * scale for k, _ in met])
                outputs.append(sum(w * v[group] for w, (_, v) in zip(scores.softmax(0), met, strict=True)))
        if placement.slot == placement.seen:
            for row in (placement.row, *placement.copies):
                self.rows[layer][row] = self.rows[layer].get(row, [])[: placement.seen] + own
        return torch.stack(outputs).view(placement.length, query.shape[0], -1)


def some_placements(rng: Random, lengths: list[int]) -> list[Placement]:
    """New tokens of some of the rows: they grow, may be kept by others of the same length, or are probed."""
    placements, taken = [], set()
    for row in rng.sample(range(len(lengths)), rng.randint(1, len(lengths))):
        if row in taken:
            continue
        alike = [other for other in range(len(lengths)) if other > row and other not in taken and lengths[other] == lengths[row]]
        copies = tuple(other for other in alike if rng.random() < 0.3 and lengths[other] == 0)  # only empty rows are equal here
        taken |= {row, *copies}
        count = rng.choice((1, 1, 1, 2, 5))
        end = lengths[row]
        if rng.random() < 0.7:
            placements.append(Placement(row, end, end, count, copies))
            end += count
        for _ in range(rng.randint(0, 2)):
            placements.append(Placement(row, rng.randint(0, lengths[row]), end, 2))
            end += 2
    return [placement for placement in placements if placement.seen < placement.slot or placement.slot == lengths[placement.row]]


@pytest.mark.parametrize("largest", [1 << 24, 4])
@pytest.mark.parametrize("call", [0, 60, 1 << 20])
@pytest.mark.parametrize("heads", [(2, 2), (6, 2), (3, 1)])
def test_equal_to_one_softmax_per_query(heads: tuple[int, int], call: int, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(layout.CALL, "cpu", call)
    monkeypatch.setattr(layout, "LARGEST", largest)
    rng, (many, groups) = random.Random(0), heads
    torch.manual_seed(0)
    pool, dense, lengths = Pool(), Dense(groups), [0] * 9
    pool.reserve(9, 1)
    for step in range(12):
        placements = some_placements(rng, lengths) or [Placement(0, lengths[0], lengths[0], 1)]
        pool.reserve(9, max(placement.slot + placement.length for placement in placements))
        plan = PoolPlan(pool, placements, CPU)
        tokens = sum(placement.length for placement in placements)
        scale = None if step % 2 else 0.3
        for layer in range(LAYERS):
            query, key, value = (torch.randn(1, n, tokens, SIZE) for n in (many, groups, groups))
            found = plan.attend(layer, query, key, value, scale)
            assert found.shape == (1, tokens, many, SIZE)
            start, before = 0, [dict(rows) for rows in dense.rows]
            for placement in placements:
                part = slice(start, start := start + placement.length)
                shown = Dense(groups)
                shown.rows = [dict(rows) for rows in before]
                own = (query[0, :, part], key[0, :, part], value[0, :, part], scale or SIZE**-0.5)
                torch.testing.assert_close(found[0, part], shown.attend(layer, placement, *own), atol=1e-6, rtol=1e-5)
                if placement.slot == placement.seen:
                    dense.attend(layer, placement, *own)
        for placement in placements:
            if placement.slot == placement.seen:
                for row in (placement.row, *placement.copies):
                    lengths[row] = placement.slot + placement.length


def test_probes_leaves_rows_as_they_are() -> None:
    pool = Pool()
    pool.reserve(1, 8)
    first = torch.randn(1, 1, 3, SIZE)
    PoolPlan(pool, [Placement(0, 0, 0, 3)], CPU).attend(0, first, first, first, None)
    before = [memory[:, :, :3].clone() for memory in pool._layers[0]]
    more = torch.randn(1, 1, 4, SIZE)
    plan = PoolPlan(pool, [Placement(0, 3, 3, 2), Placement(0, 2, 5, 2)], CPU)
    plan.attend(0, more, more, more, None)
    for memory, kept in zip(pool._layers[0], before, strict=True):
        assert torch.equal(memory[:, :, :3], kept)
        assert torch.equal(memory[0, 0, 3:7], more[0, 0])


@pytest.mark.parametrize(
    ("rows", "call", "expected"),
    [
        ({3: (1, 10), 4: (1, 10), 5: (1, 12)}, 0, [Block(3, 4, 1, 10), Block(5, 5, 1, 12)]),
        ({5: (1, 12), 3: (1, 10), 4: (1, 10)}, 50, [Block(3, 5, 1, 12)]),
        ({0: (1, 100), 9: (1, 100)}, 1000, [Block(0, 0, 1, 100), Block(9, 9, 1, 100)]),
        ({0: (1, 100), 9: (1, 100)}, 4000, [Block(0, 9, 1, 100)]),
        ({0: (1, 100), 1: (50, 100)}, 1000, [Block(0, 0, 1, 100), Block(1, 1, 50, 100)]),
        ({0: (40, 100), 1: (50, 100)}, 1000, [Block(0, 1, 50, 100)]),
    ],
)
def test_rows_are_joined_where_that_is_cheaper_than_another_call(
    rows: dict[int, tuple[int, int]], call: int, expected: list[Any]
) -> None:
    """Rows alike in length cost nothing extra; one that is read for nothing or padded costs its keys times queries + READING."""
    assert layout._divide(((row, *rows[row]) for row in sorted(rows)), call) == expected


def test_rows_in_use_are_read_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual step, one token of every chat in neighbouring rows: one call on a view of the pool, queries in place."""
    pool = Pool()
    pool.reserve(8, 64)
    calls = []

    def seen(query: Tensor, key: Tensor, value: Tensor, **options: Tensor | None) -> Tensor:
        calls.append(key.data_ptr())
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(layout, "scaled_dot_product_attention", seen)
    plan = PoolPlan(pool, [Placement(row, 5, 5, 1) for row in range(2, 8)], CPU)
    assert plan._order is None
    states = torch.randn(1, 2, 6, SIZE)
    plan.attend(0, states, states, states, None)
    assert calls == [pool._layers[0][0][2:].data_ptr()]
    assert np.isfinite(float(pool._layers[0][0].sum()))
