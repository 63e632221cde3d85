"""Clocks, medians, memory, and what is written with the figures."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import common
from benchmarks.common import Spent
from detente.errors import UserError


def test_variants_take_turns() -> None:
    order = []
    spent = common.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert "".join(order) == "ababab"
    assert {name: len(times) for name, times in spent.items()} == {"a": 3, "b": 3}


def test_a_measurement_that_is_killed_says_so() -> None:
    with pytest.raises(UserError, match="killed, mostly for want of memory"):
        common.isolated(os._exit, 9)


def test_the_clock_tells_waiting_from_work() -> None:
    spent = common.timed(lambda: time.sleep(0.05))
    assert 0.05 <= spent.wall < 1
    assert spent.cpu < 0.05


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_pairs() -> None:
    slow, fast = ([Spent(wall, 0, 0) for wall in walls] for walls in ([2, 4, 9], [1, 1, 3]))
    assert common.ratio(slow, fast) == {"median": 4, "least": 2, "greatest": 4}
    assert common.seconds(slow)["wall_s"] == {"median": 4, "least": 2, "greatest": 9}


def test_the_peak_is_what_was_held_at_once_and_is_forgotten_before_the_next() -> None:
    def hold(megabytes: Any) -> Any:
        return lambda: np.ones(megabytes * 2**20, dtype=np.uint8).sum()

    large, small = common.timed(hold(200)).peak, common.timed(hold(20)).peak
    assert large == pytest.approx(200 * 2**20, rel=0.1)
    assert small == pytest.approx(20 * 2**20, rel=0.5)


def test_isolated_runs_in_another_process() -> None:
    assert common.isolated(os.getpid) != os.getpid()


def test_a_file_says_where_its_figures_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "loop", "--game", "ipd"])
    common.save("loop", "cpu", {"x": 1}, tmp_path / "new" / "loop.json", 1)
    found = json.loads((tmp_path / "new" / "loop.json").read_text())
    assert (found["subject"], found["figures"]) == ("loop", {"x": 1})
    assert found["command"] == "python -m benchmarks loop --game ipd"
    assert {"cpu", "cores", "threads", "device", "torch", "transformers", "peft", "python"} <= set(found["machine"])
    assert found["date"].startswith("20")
