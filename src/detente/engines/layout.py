"""Attention of one packed pass over the pool: new tokens are written into their rows and meet what those rows hold.

    pool rows   0 ▒▒▒▒▒▒▒n     ┐ block: rows 0 to 2, read where they lie
                1 ▒▒▒▒▒▒nn     │
                2 ▒▒▒▒▒▒▒n     ┘
                3 ▒▒▒▒▒▒         not in this pass
                4 ▒▒nnnnnn     ─ another block

Rows of old tokens (▒) are never copied. Neighbouring rows go through one call, with a mask that is made once per pass; to read a
row for nothing, or to pad a few queries, costs less than one more call up to a point (``_divide``).
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
READING = 4  # reading a key costs as much as meeting it with so many queries
LARGEST = 1 << 24  # entries of a mask


class Piece(NamedTuple):
    """Consecutive new tokens in a row. They meet its first ``seen`` keys and, of each other, those before them.

    Their keys and values are kept from ``slot`` on, and in the same place of other rows (``copies``).
    """

    row: int
    seen: int
    slot: int
    length: int
    copies: tuple[int, ...] = ()


class Block(NamedTuple):
    """Rows ``first`` to ``last`` of the pool with up to ``width`` queries each, which meet the first ``span`` keys."""

    first: int
    last: int
    width: int
    span: int

    @property
    def queries(self) -> int:
        """Those of all rows, padding included."""
        return (self.last - self.first + 1) * self.width


@dataclass(frozen=True)
class Table:
    """Where each query stands in its block, and what it may meet: arrays (Q,), padding included."""

    token: NDArray[np.int64]  # in the pass
    seen: NDArray[np.int64]
    slot: NDArray[np.int64]  # its own
    first: NDArray[np.int64]  # the slot of the first token of its piece


class PoolPlan:
    """The plan (attention.py) of a pass whose tokens are those of ``pieces``, one after the other."""

    def __init__(self, pool: Pool, pieces: Sequence[Piece], device: torch.device) -> None:
        self._pool, self._device = pool, device
        self._masks: dict[tuple[int, torch.dtype], list[Tensor]] = {}
        columns, rows = _columns(pieces)
        self._blocks = _divide(((row, *rows[row]) for row in sorted(rows)), CALL.get(device.type, CALL["cuda"]))
        counts = np.array([piece.length for piece in pieces])
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        slots = np.repeat([piece.slot for piece in pieces], counts) + within
        order = np.repeat(_places(pieces, self._blocks), counts) + np.repeat(columns, counts) + within
        self._table = _table(pieces, counts, slots, order, sum(block.queries for block in self._blocks))
        in_order = len(self._table.token) == len(order) and bool((order == np.arange(len(order))).all())
        self._order = None if in_order else self._indices(order)
        self._taken = None if in_order else self._indices(self._table.token)
        self._write_to(pieces, counts, slots)

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
        found = [
            _attend(part, keys, values, mask, scale, block)
            for part, mask, block in zip(parts, self._masked(group, query.dtype), self._blocks, strict=True)
        ]
        result = found[0] if len(found) == 1 else torch.cat(found)
        return (result if self._order is None else result[self._order])[None]

    def _write_to(self, pieces: Sequence[Piece], counts: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
        """Which rows and slots keep the new tokens, and which token each of them keeps (None: all in order)."""
        rows = np.repeat([piece.row for piece in pieces], counts)
        copied = [(i, row) for i, piece in enumerate(pieces) for row in piece.copies]
        self._source = None
        if copied:
            which, copies = np.array(copied).T
            again, ends = counts[which], np.cumsum(counts)[which]
            tokens = np.arange(again.sum()) + np.repeat(ends - np.cumsum(again), again)
            self._source = self._indices(np.concatenate([np.arange(len(rows)), tokens]))
            rows, slots = np.concatenate([rows, np.repeat(copies, again)]), np.concatenate([slots, slots[tokens]])
        self._rows, self._slots = self._indices(rows), self._indices(slots)

    def _masked(self, group: int, dtype: torch.dtype) -> list[Tensor]:
        """(R, 1, group * n, S) per block: 0 where a query meets a key."""
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
        columns = (self._table.seen, self._table.slot, self._table.first)
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
    found = scaled_dot_product_attention(
        folded, keys[rows, :, : block.span], values[rows, :, : block.span], attn_mask=mask, scale=scale
    )
    if many:
        found = found.view(len(folded), groups, heads // groups, block.width, -1).permute(0, 3, 1, 2, 4)
    return found.reshape(count, heads, -1)


def _columns(pieces: Sequence[Piece]) -> tuple[NDArray[np.int64], dict[int, tuple[int, int]]]:
    """Where each piece starts among the queries of its row; and of each row the number of queries and the length."""
    starts, rows = np.zeros(len(pieces), dtype=np.int64), dict[int, tuple[int, int]]()
    for i, piece in enumerate(pieces):
        starts[i], length = rows.get(piece.row, (0, 0))
        rows[piece.row] = (int(starts[i]) + piece.length, max(length, piece.slot + piece.length))
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


def _places(pieces: Sequence[Piece], blocks: Sequence[Block]) -> NDArray[np.int64]:
    """Where the queries of each piece's row start, all blocks one after the other."""
    first, width = (np.array([getattr(block, name) for block in blocks]) for name in ("first", "width"))
    sizes = np.array([block.queries for block in blocks])
    row = np.array([piece.row for piece in pieces])
    block = np.searchsorted(first, row, side="right") - 1
    places: NDArray[np.int64] = (np.cumsum(sizes) - sizes)[block] + (row - first[block]) * width[block]
    return places


def _table(
    pieces: Sequence[Piece], counts: NDArray[np.int64], slots: NDArray[np.int64], order: NDArray[np.int64], queries: int
) -> Table:
    token, seen, slot, first = (np.zeros(queries, dtype=np.int64) for _ in range(4))
    seen[:] = 1  # padding meets the first key, for a softmax over nothing is no number
    token[order], slot[order] = np.arange(len(order)), slots
    seen[order] = np.repeat([piece.seen for piece in pieces], counts)
    first[order] = np.repeat([piece.slot for piece in pieces], counts)
    return Table(token, seen, slot, first)
