"""How the tables are written: what their columns are called to mean, row groups, and memory that does not grow."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import detente
from detente.export import columns, export, parquet
from detente.records import Episode, write_episodes

EPISODES = detente.play("ipd", ["tit_for_tat", "always_defect"], seed=3, episodes=4)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three files of four episodes of twenty turns."""
    for iteration in (1, 2, 3):
        write_episodes(tmp_path / "run" / "episodes" / f"{iteration:06d}.jsonl", EPISODES)
    return tmp_path / "run"


def groups(path: Path) -> list[int]:
    """The rows of each row group, as the file's own footer has them."""
    footer = pq.ParquetFile(path).metadata
    return [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]


def test_every_column_says_what_it_means(run: Path) -> None:
    for table in export([run]).tables:
        schema = pq.read_schema(table.path)
        expected = columns.TABLES[table.path.stem]
        assert [field.name for field in schema] == [column.name for column in expected]
        assert [field.metadata[b"description"].decode() for field in schema] == [column.meaning for column in expected]
        assert all(column.meaning for column in expected)
        types = [str(field.type).replace("element: ", "").replace("double", "float64") for field in schema]
        assert types == [column.type.replace("float32", "float") for column in expected]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, {"turns": [240], "episodes": [24]}),
        ({"GROUP_BATCHES": 5}, {"turns": [100, 100, 40], "episodes": [10, 10, 4]}),
        ({"GROUP_BYTES": 1}, {"turns": [20] * 12, "episodes": [2] * 12}),
    ],
)
def test_row_groups_and_that_they_change_nothing_else(
    limits: dict[Any, Any], expected: dict[str, Any], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export([run], tmp_path / "whole")
    for name, value in limits.items():
        monkeypatch.setattr(parquet, name, value)
    export([run], tmp_path / "parts")
    for table, rows in expected.items():
        assert groups(tmp_path / "parts" / f"{table}.parquet") == rows
        whole, parts = (pq.read_table(tmp_path / each / f"{table}.parquet") for each in ("whole", "parts"))
        assert parts.equals(whole, check_metadata=True)


def peaks(run: Path, out: Path) -> tuple[int, int]:
    """The most episodes, and the most bytes of Arrow's, that were held after any line while a run was exported."""
    episodes, held = [], []
    gc.collect()
    assert alive() >= len(EPISODES)
    before, bytes_before = alive(), pa.total_allocated_bytes()

    def watch(done: int, total: int) -> None:
        held.append(pa.total_allocated_bytes() - bytes_before)
        if len(held) % 40 == 0:
            episodes.append(alive() - before)

    export([run], out, watch)
    return max(episodes), max(held)


def alive() -> int:
    return sum(isinstance(thing, Episode) for thing in gc.get_objects())


def test_memory_does_not_grow_with_the_number_of_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for files in (1, 4):
        for number in range(files):
            write_episodes(tmp_path / f"{files}" / "episodes" / f"{number:06d}.jsonl", EPISODES * 20)
    grown = [peaks(tmp_path / name, tmp_path / "out")[1] for name in ("1", "4")]
    assert grown[1] > 2 * grown[0]  # within one row group it does
    monkeypatch.setattr(parquet, "GROUP_BATCHES", 20)
    few, many = (peaks(tmp_path / name, tmp_path / "out") for name in ("1", "4"))
    assert few[0] == many[0] == 0  # no episode outlives its line
    assert many[1] < 1.5 * few[1]
    assert len(groups(tmp_path / "out" / "turns.parquet")) == 16
