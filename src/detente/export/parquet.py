"""A Parquet file that grows by row groups, from columns as columns.py has them. The only module here that loads pyarrow."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from detente.export.columns import Column

R = TypeVar("R")

# A row group is written as soon as it has one of these: all of it is in memory until then. Bytes bound long texts and many tokens,
# batches bound what Arrow needs beside the bytes of short ones.
GROUP_BYTES, GROUP_BATCHES = 32 << 20, 1 << 11


class Table(Generic[R]):
    """A table that is being written; a context manager. After an error the file is closed, and worth nothing.

    ``about``: what the file says of itself, as metadata of its schema.
    """

    def __init__(self, path: Path, columns: Sequence[Column[R]], about: Mapping[str, str] | None = None) -> None:
        self.path, self.columns, self.rows = path, columns, 0
        self.schema = schema(columns).with_metadata(dict(about) if about else None)
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0  # of the batches

    def __enter__(self) -> Table[R]:
        self._file = pa.OSFile(os.fsencode(self.path), "wb")
        self._writer = pq.ParquetWriter(self._file, self.schema, compression="zstd")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._file, self._writer:
            if error is None:
                self._flush()

    def add(self, rows: Sequence[R]) -> None:
        """Append rows; what fits no column's type is a TypeError, ValueError or OverflowError, and none of the rows is taken."""
        arrays = [
            pa.array([column.value(row) for row in rows], field.type)
            for column, field in zip(self.columns, self.schema, strict=True)
        ]
        batch = pa.record_batch(arrays, schema=self.schema)
        self._batches.append(batch)
        self._bytes, self.rows = self._bytes + batch.nbytes, self.rows + len(rows)
        if self._bytes >= GROUP_BYTES or len(self._batches) >= GROUP_BATCHES:
            self._flush()

    def _flush(self) -> None:
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches, self.schema))
            self._batches, self._bytes = [], 0


def schema(columns: Sequence[Column[R]]) -> pa.Schema:
    """The columns as Arrow fields, each with its meaning as ``description``."""
    return pa.schema([pa.field(c.name, _arrow(c.type), metadata={"description": c.meaning}) for c in columns])


def _arrow(name: str) -> pa.DataType:
    inner = re.fullmatch(r"list<(\w+)>", name)
    return pa.list_(pa.type_for_alias(inner[1])) if inner else pa.type_for_alias(name)
