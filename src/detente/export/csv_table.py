"""A CSV file that grows by rows, from the same columns as a Parquet file: for spreadsheets, R and whatever reads text."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from detente.export.columns import Column

R = TypeVar("R")


class CsvTable(Generic[R]):
    """A table that is being written, names first; a context manager. What it says of itself (``about``) has no place in it."""

    def __init__(self, path: Path, columns: Sequence[Column[R]], about: Mapping[str, str] | None = None) -> None:
        self.path, self.columns, self.rows = path, columns, 0

    def __enter__(self) -> CsvTable[R]:
        self._file = self.path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow([column.name for column in self.columns])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def add(self, rows: Sequence[R]) -> None:
        """Append rows."""
        self._writer.writerows([[cell(column.value(row)) for column in self.columns] for row in rows])
        self.rows += len(rows)


def cell(value: Any) -> Any:
    """A value as a cell: null is empty; lists, true and false are JSON; numbers and text are what they are."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (bool, list, tuple)) else value
