"""Named random streams."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product

from detente.seeding import derive, stream


def test_known_value() -> None:
    # printf "(0, 'game', 1, 2)" | b2sum -l 64  gives f7bf8f415f058dc6; a seed is its upper 63 bits
    assert derive(0, "game", 1, 2) == 0xF7BF8F415F058DC6 >> 1


def test_the_same_in_another_process() -> None:
    code = "from detente.seeding import derive; print(derive(3, 'turn', 5))"
    for hash_seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": hash_seed}
        printed = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        assert int(printed) == derive(3, "turn", 5)


def test_every_element_of_the_path_counts() -> None:
    paths: list[tuple[int | str, ...]] = [
        (*path, purpose) for path in product(range(10), range(10), range(10)) for purpose in ("game", "turn", 0)
    ]
    paths += [(1,), ("1",), (1, 2), (12,), ("1, 2",), ("game",), ()]
    seeds = {derive(*path) for path in paths}
    assert len(seeds) == len(paths)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62


def test_streams_are_independent_of_each_other() -> None:
    one, other = stream(0, "a"), stream(0, "b")
    first = [one.random() for _ in range(5)]
    [other.random() for _ in range(100)]
    assert [stream(0, "a").random() for _ in range(5)] == [first[0]] * 5
    assert first[0] != stream(0, "b").random()
    mean = sum(stream(seed, "x").random() for seed in range(4000)) / 4000
    assert abs(mean - 0.5) < 4 * (1 / 12 / 4000) ** 0.5
