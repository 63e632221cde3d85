"""Named random streams: every random number of a run is a function of the run seed and of what it is for.

A stream is named by the values that identify it, e.g. ``derive(run_seed, "game", iteration, group)``. Nothing is global
and nothing advances, so a resumed run and a run whose tasks finish in another order draw the same numbers.
Standard library only.
"""

from __future__ import annotations

import hashlib
import random


def derive(*path: int | str) -> int:
    """A 63-bit seed that depends on every element of the path (63 bits fit a signed integer everywhere)."""
    digest = hashlib.blake2b(repr(path).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def stream(*path: int | str) -> random.Random:
    """A generator of its own for the purpose that the path names."""
    return random.Random(derive(*path))
