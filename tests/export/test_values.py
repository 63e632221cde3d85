"""Episodes, turns and metrics as Python values, as pandas and Polars take them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow.parquet as pq
import pytest

import detente
from detente.errors import UserError
from detente.export import export
from detente.records import Episode

Played = Callable[..., tuple[Path, list[Episode]]]


def test_episodes_of_files_and_folders_in_the_order_played(played: Played, small_run: Path) -> None:
    path, episodes = played("ipd", ["random", "tit_for_tat"], 3)
    assert detente.read_episodes(path) == episodes
    trained = detente.read_episodes(str(small_run))
    assert sorted({episode.iteration for episode in trained}) == sorted(int(p.name[:6]) for p in (small_run / "episodes").iterdir())
    assert detente.read_episodes(path, small_run) == [*episodes, *trained]


def test_turns_are_what_the_export_writes(small_run: Path, tmp_path: Path) -> None:
    export([small_run], tmp_path)
    written = pq.read_table(tmp_path / "turns.parquet").drop_columns(["logprobs"])
    turns = detente.read_turns(small_run)
    assert list(turns[0]) == pq.read_schema(tmp_path / "turns.parquet").names
    plain = [
        {key: list(value) if isinstance(value, tuple) else value for key, value in turn.items() if key != "logprobs"}
        for turn in turns
    ]
    assert plain == written.to_pylist()


def test_metrics_have_every_name_in_every_row(small_run: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (small_run / "metrics.jsonl").read_text().splitlines()]
    copy = tmp_path / "other"
    shutil.copytree(small_run, copy)
    with (copy / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"iteration": 99, "reward/later": 2.5}) + "\n" + '{"iteration": 100, "rew')  # killed while it wrote
    rows = detente.read_metrics(small_run, copy)
    assert len(rows) == 2 * len(lines) + 1
    assert {tuple(row) for row in rows} == {("source", *lines[0], "reward/later")}
    assert rows[0] == {"source": str(small_run), "reward/later": None} | lines[0]
    assert rows[-1]["reward/later"] == 2.5
    assert rows[-1]["reward/main"] is None


def test_pandas_and_polars_make_tables_of_them(small_run: Path) -> None:
    metrics, turns = detente.read_metrics(small_run), detente.read_turns(small_run)
    tables: list[Any] = [pandas.DataFrame(metrics), polars.DataFrame(metrics)]
    assert [table["reward/main"].mean() for table in tables] == pytest.approx(
        [sum(r["reward/main"] for r in metrics) / len(metrics)] * 2
    )
    tables = [pandas.DataFrame(turns), polars.DataFrame(turns, infer_schema_length=None)]
    assert [len(table) for table in tables] == [len(turns)] * 2
    assert [table["reward"].sum() for table in tables] == pytest.approx([sum(turn["reward"] for turn in turns)] * 2)


def test_what_cannot_be_read_is_said_in_one_sentence(played: Played, tmp_path: Path) -> None:
    path, _ = played("ipd", ["random", "random"])
    path.write_text(path.read_text() + "{}\n")
    for read in (detente.read_episodes, detente.read_turns, detente.read_metrics):
        with pytest.raises(UserError, match="There is no run folder, arena folder or file of episodes nowhere"):
            read("nowhere")
        with pytest.raises(UserError, match="at least one"):
            read()
    for read in (detente.read_episodes, detente.read_turns):
        with pytest.raises(UserError, match=r"Line 3 of .*ipd\.jsonl is no episode: it has no 'game'"):
            read(path)
    assert detente.read_metrics(path) == []  # episodes without a run have none
    (tmp_path / "metrics.jsonl").write_text('{"iteration": []}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl"):
        detente.read_metrics(tmp_path)
