"""The key-value cache of many chats: one row of a pool per chat, kept between its turns.

    layer ──> keys, values (rows, heads, capacity, head size)

The pool is memory only. What a pass reads and writes of it is laid out in layout.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

ROWS, STEP = 8, 128  # memory is taken for blocks of so many rows and tokens


class Pool:
    """The rows of all layers; a layer gets its memory when its first keys and values come.

    It takes what is needed and at most a block more of each, and grows layer by layer, so that of one layer alone the old and the
    new memory are there together.
    """

    def __init__(self) -> None:
        self.rows, self.capacity = 0, 0
        self._layers: list[tuple[Tensor, Tensor]] = []

    def reserve(self, rows: int, capacity: int) -> None:
        """Make room for at least so many rows of so many tokens, and keep what they hold."""
        if rows > self.rows or capacity > self.capacity:
            self.rows = max(rows, self.rows)
            self.capacity = max(-(-capacity // STEP) * STEP, self.capacity)
            for index in range(len(self._layers)):
                keys, values = self._layers[index]
                self._layers[index] = self._grown(keys), self._grown(values)

    def clear(self) -> None:
        """Give the memory back; there are no rows then."""
        self.rows, self.capacity, self._layers = 0, 0, []

    def layer(self, index: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer; new ones are shaped after a key and a value (1, heads, tokens, head size)."""
        if index == len(self._layers):
            self._layers.append((self._grown(key[:, :, :0]), self._grown(value[:, :, :0])))
        return self._layers[index]

    def copy(self, source: int, rows: Sequence[int], length: int) -> None:
        """Give rows the first ``length`` tokens of the row ``source``."""
        for pair in self._layers:
            for pool in pair:
                # torch refuses to write a tensor into itself
                pool[torch.tensor(rows, device=pool.device), :, :length] = pool[source, :, :length].clone()

    def _grown(self, old: Tensor) -> Tensor:
        """A larger copy; slots never written are 0, for a masked key must still be a finite number."""
        rows, length = old.shape[0], old.shape[2]
        new = old.new_empty(self.rows, old.shape[1], self.capacity, old.shape[3])
        new[:rows, :, :length] = old
        new[:rows, :, length:] = 0
        new[rows:] = 0
        return new
