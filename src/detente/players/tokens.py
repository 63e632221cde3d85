"""The tokens of a chat: an immutable sequence that a longer one can begin with at no cost.

    chat ────────────┐
    chat + prompt ───┴──────┐        one list; each sequence knows how much of it is its own

With tuples, every turn would copy the whole chat. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import eq
from typing import overload


class Tokens(Sequence[int]):
    """``tokens + more`` is a new sequence and leaves this one as it is."""

    __slots__ = ("_length", "_shared")

    def __init__(self, tokens: Iterable[int] = ()) -> None:
        self._shared = [*tokens]
        self._length = len(self._shared)

    def __add__(self, more: Iterable[int]) -> Tokens:
        longer = Tokens.__new__(Tokens)
        # If another sequence continues this one already, the shared list holds its tokens, so the new one needs a copy.
        longer._shared = self._shared if len(self._shared) == self._length else self._shared[: self._length]
        longer._shared.extend(more)
        longer._length = len(longer._shared)
        return longer

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        return islice(self._shared, self._length)

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> list[int]: ...
    def __getitem__(self, place: int | slice) -> int | list[int]:
        if isinstance(place, slice):
            return self._shared[: self._length][place]
        return self._shared[range(self._length)[place]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(other) == self._length and all(map(eq, self, other))

    def __hash__(self) -> int:
        return hash((*self,))

    def __repr__(self) -> str:
        return f"Tokens({[*self]})"
