"""The measurements for a GPU, on a CPU with next to nothing to do."""

from __future__ import annotations

import pytest

from benchmarks import gpu
from benchmarks.tables import Table
from detente.errors import UserError

SMALL = "layers=2,hidden=32,inner=48,heads=4,groups=2,vocab=1600"


def test_a_random_model_plays_and_learns() -> None:
    row = gpu.measured(SMALL, "ipd", 2, 2, 4, "float32", "cpu")
    assert (row["chats"], row["generated"] > 0) == (4, True)
    assert 0 < row["share_of_peak"]["shared"] <= row["share_of_peak"]["separate"] < 1
    assert set(row["bytes"]) == {"play", "play, doctor", "update", "update, doctor"}
    run = {"whole": 3.0, "iterations": 3.0, "rollout": 1.0, "update": 1.0}
    for table in gpu.tables({"rows": [row], "run": run}):
        assert isinstance(table, Table)
        assert all(len(cells) == len(table.columns) for cells in table.rows)


def test_a_shape_that_is_not_known() -> None:
    with pytest.raises(UserError, match="no published shape 'Qwen/Qwen9'"):
        gpu.measured("Qwen/Qwen9", "ipd", 2, 2, 4, "float32", "cpu")
