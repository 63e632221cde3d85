"""Attention of one packed pass over the pool: new tokens are written into their rows and attend to what those rows hold.

    pool rows   0 ▒▒▒▒▒▒▒n     ┐ block: rows 0 to 2, read where they lie
                1 ▒▒▒▒▒▒nn     │
                2 ▒▒▒▒▒▒▒n     ┘
                3 ▒▒▒▒▒▒         not in this pass
                4 ▒▒nnnnnn     ─ another block

Rows of old tokens (▒) are never copied. Neighbouring rows go through one call, with a mask that is made once per pass. Reading a
row that no query needs, or padding a few queries, is up to a point cheaper than one more call (``_divide``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from detente.engines.cache import Pool

# What one more call costs, in keys times (queries + READING); measured on a CPU, estimated for a GPU.
CALL = {"cpu": 1 << 11, "cuda": 1 << 17}
READING = 4  # reading a key costs as much as multiplying it with so many queries
LARGEST = 1 << 24  # entries of a mask


class Placement(NamedTuple):
    """Where consecutive new tokens of a row go. They attend to its first ``seen`` keys and, among themselves, causally.

    Their keys and values are kept from ``slot`` on, and in the same slots of other rows (``copies``).
    """

    row: int
    seen: int
    slot: int
    length: int
    copies: tuple[int, ...] = ()


class Block(NamedTuple):
    """Rows ``first`` to ``last`` of the pool with up to ``width`` queries each, which attend to the first ``span`` keys."""

    first: int
    last: int
    width: int
    span: int

    @property
    def queries(self) -> int:
        """The number of queries of all rows, padding included."""
        return (self.last - self.first + 1) * self.width


@dataclass(frozen=True)
class Queries:
    """All queries of all blocks, in their order, and the keys that each attends to: arrays (Q,), padding included."""

    token: NDArray[np.int64]  # its index in the pass
    seen: NDArray[np.int64]
    slot: NDArray[np.int64]  # its own
    first: NDArray[np.int64]  # the first slot of its placement


class PoolPlan:
    """The plan (attention.py) of a pass over the tokens of all placements, one after the other."""

    def __init__(self, pool: Pool, placements: Sequence[Placement], device: torch.device) -> None:
        self._pool, self._device = pool, device
        self._masks: dict[tuple[int, torch.dtype], list[Tensor]] = {}
        columns, rows = _columns(placements)
        self._blocks = _divide(((row, *rows[row]) for row in sorted(rows)), CALL.get(device.type, CALL["cuda"]))
        counts = np.array([placement.length for placement in placements])
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        slots = np.repeat([placement.slot for placement in placements], counts) + within
        order = np.repeat(_places(placements, self._blocks), counts) + np.repeat(columns, counts) + within
        self._queries = _queries(placements, counts, slots, order, sum(block.queries for block in self._blocks))
        in_order = len(self._queries.token) == len(order) and bool((order == np.arange(len(order))).all())
        self._order = None if in_order else self._indices(order)
        self._taken = None if in_order else self._indices(self._queries.token)
        self._write_to(placements, counts, slots)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """(1, H, M, D), twice (1, G, M, D) -> (1, M, H, D)."""
        keys, values = self._pool.layer(layer, key, value)
        for pool, new in ((keys, key), (values, value)):
            tokens = new[0].transpose(0, 1)
            pool[self._rows, :, self._slots] = tokens if self._source is None else tokens[self._source]
        queries = query[0].transpose(0, 1)  # (M, H, D)
        if self._taken is not None:
            queries = queries[self._taken]
        group = query.shape[1] // key.shape[1]
        parts = queries.split([block.queries for block in self._blocks])
        outputs = [
            _attend(part, keys, values, mask, scale, block)
            for part, mask, block in zip(parts, self._masked(group, query.dtype), self._blocks, strict=True)
        ]
        result = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        return (result if self._order is None else result[self._order])[None]

    def _write_to(self, placements: Sequence[Placement], counts: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
        """Which rows and slots keep the new tokens, and which token each of them keeps (None: all in order)."""
        rows = np.repeat([placement.row for placement in placements], counts)
        copied = [(i, row) for i, placement in enumerate(placements) for row in placement.copies]
        self._source = None
        if copied:
            which, copies = np.array(copied).T
            again, ends = counts[which], np.cumsum(counts)[which]
            tokens = np.arange(again.sum()) + np.repeat(ends - np.cumsum(again), again)
            self._source = self._indices(np.concatenate([np.arange(len(rows)), tokens]))
            rows, slots = np.concatenate([rows, np.repeat(copies, again)]), np.concatenate([slots, slots[tokens]])
        self._rows, self._slots = self._indices(rows), self._indices(slots)

    def _masked(self, group: int, dtype: torch.dtype) -> list[Tensor]:
        """(R, 1, group * n, S) per block: 0 where a query attends to a key, else minus infinity."""
        if (group, dtype) not in self._masks:
            ends = list(accumulate(block.queries for block in self._blocks))
            span = max(block.span for block in self._blocks)
            whole = self._mask(0, ends[-1], span, dtype) if ends[-1] * span <= LARGEST else None
            masks = []
            for block, end in zip(self._blocks, ends, strict=True):
                start = end - block.queries
                part = self._mask(start, end, block.span, dtype) if whole is None else whole[start:end, : block.span]
                rows = part.view(-1, 1, 1, block.width, block.span)
                masks.append(rows.expand(-1, 1, group, -1, -1).reshape(len(rows), 1, -1, block.span))
            self._masks[group, dtype] = masks
        return self._masks[group, dtype]

    def _mask(self, start: int, end: int, span: int, dtype: torch.dtype) -> Tensor:
        """(end - start, span) for these queries."""
        columns = (self._queries.seen, self._queries.slot, self._queries.first)
        seen, slot, first = (self._indices(column[start:end, None]) for column in columns)
        key = torch.arange(span, device=self._device)
        met = (key < seen) | ((key >= first) & (key <= slot))
        return torch.zeros(met.shape, dtype=dtype, device=self._device).masked_fill_(~met, float("-inf"))

    def _indices(self, array: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float | None, block: Block) -> Tensor:
    """(R * n, H, D) queries and a layer's pool -> (R * n, H, D). Heads that share keys are queries of the same row."""
    count, heads, size = queries.shape
    groups, rows = keys.shape[1], slice(block.first, block.last + 1)
    many = block.width > 1
    folded = queries.reshape(-1, block.width, groups, heads // groups, size).permute(0, 2, 3, 1, 4) if many else queries
    folded = folded.reshape(block.last - block.first + 1, groups, -1, size)
    output = scaled_dot_product_attention(
        folded, keys[rows, :, : block.span], values[rows, :, : block.span], attn_mask=mask, scale=scale
    )
    if many:
        output = output.view(len(folded), groups, heads // groups, block.width, -1).permute(0, 3, 1, 2, 4)
    return output.reshape(count, heads, -1)


def _columns(placements: Sequence[Placement]) -> tuple[NDArray[np.int64], dict[int, tuple[int, int]]]:
    """The index of each placement's first query in its row; and row -> the number of queries and the length."""
    starts, rows = np.zeros(len(placements), dtype=np.int64), dict[int, tuple[int, int]]()
    for i, placement in enumerate(placements):
        starts[i], length = rows.get(placement.row, (0, 0))
        rows[placement.row] = (int(starts[i]) + placement.length, max(length, placement.slot + placement.length))
    return starts, rows


def _divide(rows: Iterable[tuple[int, int, int]], call: int) -> list[Block]:
    """Join rows (row, queries, length), in ascending order, into blocks as long as that is cheaper than a call for each."""
    blocks: list[Block] = []
    for row, width, span in rows:
        alone = Block(row, row, width, span)
        if blocks:
            last = blocks[-1]
            joined = Block(last.first, row, max(last.width, width), max(last.span, span))
            if _cost(joined) <= _cost(last) + _cost(alone) + call and joined.queries * joined.span <= LARGEST:
                blocks[-1] = joined
                continue
        blocks.append(alone)
    return blocks


def _cost(block: Block) -> int:
    return (block.last - block.first + 1) * block.span * (block.width + READING)


def _places(placements: Sequence[Placement], blocks: Sequence[Block]) -> NDArray[np.int64]:
    """The index, among the queries of all blocks, at which the row of each placement starts."""
    first, width = (np.array([getattr(block, name) for block in blocks]) for name in ("first", "width"))
    sizes = np.array([block.queries for block in blocks])
    row = np.array([placement.row for placement in placements])
    block = np.searchsorted(first, row, side="right") - 1
    places: NDArray[np.int64] = (np.cumsum(sizes) - sizes)[block] + (row - first[block]) * width[block]
    return places


def _queries(
    placements: Sequence[Placement], counts: NDArray[np.int64], slots: NDArray[np.int64], order: NDArray[np.int64], queries: int
) -> Queries:
    token, seen, slot, first = (np.zeros(queries, dtype=np.int64) for _ in range(4))
    seen[:] = 1  # padding attends to the first key, for a softmax over nothing is no number
    token[order], slot[order] = np.arange(len(order)), slots
    seen[order] = np.repeat([placement.seen for placement in placements], counts)
    first[order] = np.repeat([placement.slot for placement in placements], counts)
    return Queries(token, seen, slot, first)
