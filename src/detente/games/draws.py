"""Everything that a function of random numbers can return, with its probability.

draw(rng) ── every path through its draws ──> outcomes, probabilities
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

T = TypeVar("T", bound=Hashable)


class ContinuumError(Exception):
    """A draw that has not finitely many outcomes, or whose outcomes are not followed here."""


class Draws(random.Random):
    """Random numbers that follow one path through the draws, each from finitely many equally likely values."""

    def __init__(self, path: Sequence[int]) -> None:
        super().__init__()
        self.path, self.sizes = path, list[int]()

    def _below(self, size: int) -> int:
        self.sizes.append(size)
        return self.path[len(self.sizes) - 1] if len(self.sizes) <= len(self.path) else 0

    def choice(self, seq: Any) -> Any:
        """One element of a sequence."""
        return seq[self._below(len(seq))]

    def randint(self, a: int, b: int) -> int:
        """A whole number from a to b."""
        return a + self._below(b - a + 1)

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """An element of a range."""
        return int(self.choice(range(start) if stop is None else range(start, stop, step)))

    def random(self) -> float:
        """Nothing: there are too many."""
        raise ContinuumError

    def getrandbits(self, k: int) -> int:
        """Nothing: there are too many."""
        raise ContinuumError


def outcomes(draw: Callable[[random.Random], T]) -> dict[T, float]:
    """Everything that can be drawn, with its probability."""
    result: dict[T, float] = defaultdict(float)
    paths: list[tuple[int, ...]] = [()]
    while paths:
        path = paths.pop()
        rng = Draws(path)
        value = draw(rng)
        probability = 1.0
        for size in rng.sizes:
            probability /= size
        result[value] += probability
        full = (*path, *(0 for _ in rng.sizes[len(path) :]))
        paths += [(*full[:at], other) for at in range(len(path), len(full)) for other in range(1, rng.sizes[at])]
    return dict(result)
