"""What the tests of the export share: writing episodes as a run does, and reading the tables back with pyarrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import detente
from detente.export import export
from detente.records import Episode, write_episodes

Rows = list[dict[str, Any]]


@pytest.fixture
def exported(tmp_path: Path) -> Callable[..., dict[str, Rows]]:
    """``exported(SOURCE, ...)`` exports and reads back: the rows of every table, by its name."""

    def run(*sources: Path) -> dict[str, Rows]:
        found = export(sources, tmp_path / "tables")
        return {table.path.stem: pq.read_table(table.path).to_pylist() for table in found.tables}

    return run


@pytest.fixture
def played(tmp_path: Path) -> Callable[..., tuple[Path, list[Episode]]]:
    """``played(GAME, SEATS)`` plays scripts and writes GAME.jsonl: its path and the episodes."""

    def run(game: str, seats: Sequence[str], episodes: int = 2) -> tuple[Path, list[Episode]]:
        found = detente.play(game, seats, seed=3, episodes=episodes)
        path = tmp_path / f"{game}.jsonl"
        write_episodes(path, found)
        return path, found

    return run
