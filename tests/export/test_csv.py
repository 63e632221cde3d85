"""The tables as CSV: the same rows and cells as in Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from detente import cli
from detente.errors import UserError
from detente.export import export
from detente.export.csv_table import cell


@pytest.mark.parametrize(("game", "seats"), [("ipd", ["tit_for_tat", "random"]), ("trust_and_split", ["greedy", "liar"])])
def test_cells_are_those_of_parquet(game: str, seats: list[str], played: Callable[..., Any], tmp_path: Path) -> None:
    path, _ = played(game, seats)
    for form in ("parquet", "csv"):
        assert cli.main(["export", str(path), "--out", str(tmp_path / form), "--format", form]) == 0
    for name in ("turns", "episodes", "metrics"):
        rows = pq.read_table(tmp_path / "parquet" / f"{name}.parquet").to_pylist()
        with (tmp_path / "csv" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            read = list(csv.DictReader(file))
        expected = [{key: "" if value is None else str(cell(value)) for key, value in row.items()} for row in rows]
        assert read == expected, name


def test_text_of_several_lines_and_lists_come_back() -> None:
    assert json.loads(cell([1.5, None])) == [1.5, None]
    assert (cell(True), cell(None), cell('a,"b"\n=c'), cell(2)) == ("true", None, 'a,"b"\n=c', 2)


def test_another_format_is_refused_before_anything_is_written(played: Callable[..., Any], tmp_path: Path) -> None:
    path, _ = played("ipd", ["tit_for_tat", "random"])
    with pytest.raises(UserError, match="csv"):
        export([path], tmp_path / "out", format="cvs")  # type: ignore[arg-type]
    assert cli.main(["export", str(path), "--out", str(tmp_path / "out"), "--format", "xlsx"]) == 2
    assert not (tmp_path / "out").exists()
