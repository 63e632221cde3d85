"""The key-value cache of many chats: one row of a pool per chat, kept between its turns.

    pool keys, values: (rows, heads, capacity, head size) per layer; a forward pass writes and reads the rows of its batch

The new tokens of a batch are aligned to the right, so that the last column is the newest token of every chat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

GROWTH = 64  # capacity grows in steps of so many tokens


@dataclass(frozen=True)
class Slice:
    """Which part of the pool a forward pass touches: B chats with at most N new tokens and S tokens in all."""

    rows: Tensor  # (B,) row of each chat
    positions: Tensor  # (B, N) position of each new token in its chat; 0 where padded
    valid: Tensor  # (B, N) False where padded
    span: int  # S
    first_row: int | None  # the rows are first_row, first_row + 1 ...: the pool can be read without a copy
    first_position: int | None  # every chat has the same length and there is no padding

    @property
    def attention_mask(self) -> Tensor:
        """(B, 1, N, S) True where a new token may look: itself and all before it in its chat."""
        keys = torch.arange(self.span, device=self.positions.device)
        return (keys <= self.positions[:, :, None])[:, None]


def make_slice(rows: Sequence[int], cached: Sequence[int], new: Sequence[int], device: torch.device) -> Slice:
    """The slice for chats with ``cached`` tokens in the pool and ``new`` tokens to come."""
    width = max(new)
    columns = torch.arange(width)
    starts = torch.tensor(cached) - (width - torch.tensor(new))  # (B,) position of column 0 as if nothing were padded
    positions = starts[:, None] + columns  # (B, N)
    valid = columns >= (width - torch.tensor(new))[:, None]
    contiguous = list(rows) == list(range(rows[0], rows[0] + len(rows)))
    aligned = min(cached) == max(cached) and min(new) == width
    return Slice(
        rows=torch.tensor(rows, device=device),
        positions=torch.where(valid, positions, 0).to(device),
        valid=valid.to(device),
        span=max(c + n for c, n in zip(cached, new, strict=True)),
        first_row=rows[0] if contiguous else None,
        first_position=cached[0] if aligned else None,
    )


class PoolLayer(CacheLayerMixin):
    """The pool of one layer."""

    keys: Tensor
    values: Tensor

    def __init__(self, pool: Pool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._pool = pool

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make room; called with the first keys and values, which tell heads, size and dtype."""
        rows, capacity = self._pool.rows, self._pool.capacity
        self.keys = key_states.new_zeros(rows, key_states.shape[1], capacity, key_states.shape[3])
        self.values = value_states.new_zeros(rows, value_states.shape[1], capacity, value_states.shape[3])
        self.is_initialized = True

    def grow(self, rows: int, capacity: int) -> None:
        """Enlarge the pool and keep what it holds."""
        if self.is_initialized:
            self.keys, self.values = (_grown(old, rows, capacity) for old in (self.keys, self.values))

    def update(self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object) -> tuple[Tensor, Tensor]:
        """Write the new keys and values (B, H, N, D) and return those of the whole chats (B, H, S, D)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        part = self._pool.part
        return _exchange(self.keys, key_states, part), _exchange(self.values, value_states, part)

    def copy(self, source: int, rows: Tensor, length: int) -> None:
        """Give rows the first tokens of another row."""
        for pool in (self.keys, self.values):
            pool[rows, :, :length] = pool[source, :, :length].clone()  # torch refuses to write a tensor into itself

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Key length and offset (the engine passes its own mask)."""
        return self._pool.part.span, 0

    def get_seq_length(self) -> int:
        """Longest chat before this pass (the engine passes its own positions)."""
        return self._pool.part.span - self._pool.part.positions.shape[1]

    def get_max_length(self) -> int:
        """No limit of its own."""
        return -1


class Pool(Cache):
    """The rows of all layers. ``part`` says what the next forward pass touches."""

    part: Slice

    def __init__(self, layers: int) -> None:
        self.rows, self.capacity = 0, 0
        self._pools = [PoolLayer(self) for _ in range(layers)]
        super().__init__(layers=list(self._pools))

    def reserve(self, rows: int, capacity: int) -> None:
        """Make sure that there are so many rows of so many tokens."""
        if rows > self.rows or capacity > self.capacity:
            self.rows = max(rows, self.rows)
            if capacity > self.capacity:
                self.capacity = -(-capacity // GROWTH) * GROWTH
            for layer in self._pools:
                layer.grow(self.rows, self.capacity)

    def copy(self, source: int, rows: Sequence[int], length: int) -> None:
        """Give rows the first ``length`` tokens of the row ``source``."""
        for layer in self._pools:
            layer.copy(source, torch.tensor(rows, device=layer.keys.device), length)


def _grown(old: Tensor, rows: int, capacity: int) -> Tensor:
    new = old.new_zeros(rows, old.shape[1], capacity, old.shape[3])
    new[: old.shape[0], :, : old.shape[2]] = old
    return new


def _exchange(pool: Tensor, new: Tensor, part: Slice) -> Tensor:
    """Write the new states and read the rows of the batch."""
    if part.first_row is not None and part.first_position is not None:
        rows = pool[part.first_row : part.first_row + len(new)]
        rows[:, :, part.first_position : part.span] = new
        return rows[:, :, : part.span]
    batch, column = part.valid.nonzero(as_tuple=True)
    pool[part.rows[batch], :, part.positions[batch, column]] = new[batch, :, column]
    return pool[part.rows, :, : part.span]
