"""Data out: episodes and metrics as Parquet or CSV tables, for whatever reads tables.

    run folders, arena folders, episode files ──> turns.parquet      one row per turn
                                             ├──> episodes.parquet   one row per episode and player
                                             └──> metrics.parquet    one row per iteration and metric

One line is read, and at most one row group held, at a time: memory does not grow with the number of episodes. columns.py says what
each table holds. Must not import torch; pyarrow is imported when something is exported as Parquet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from detente.errors import UserError, unknown
from detente.export import columns
from detente.export.rows import MetricRow, Origin, player_rows, turn_rows
from detente.export.sources import Line, Source, find, lines, located
from detente.records import Episode

if TYPE_CHECKING:
    from detente.export.csv_table import CsvTable
    from detente.export.parquet import Table

    AnyTable: TypeAlias = Table[Any] | CsvTable[Any]

Format = Literal["parquet", "csv"]
FORMATS: tuple[Format, ...] = ("parquet", "csv")
Watch = Callable[[int, int], None]  # told bytes read and bytes in all


@dataclass(frozen=True, slots=True)
class Written:
    """A table that was written; ``size`` in bytes."""

    path: Path
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote, and the files whose last line was left out because it was not finished."""

    tables: tuple[Written, ...]
    unfinished: tuple[Path, ...]


def export(
    paths: Sequence[Path],
    out: Path | None = None,
    watch: Watch = lambda done, total: None,
    *,
    format: Format = "parquet",
) -> Exported:
    """Write the three tables of all sources to the folder ``out``, in place of those that are there.

    By default ``out`` is SOURCE/export for one folder, the folder of one file, and ./export for several sources. UserError for
    what is no source, for a damaged line, for another format and where ``out`` can be no folder; then nothing is written.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    sources = find(paths)
    held = columns.tables(known for source in sources for known in source.measures)
    folder = out or default_folder(paths)
    unfinished: list[Path] = []
    with unseen(folder) as hidden:
        with ExitStack() as stack:
            tables = {name: table(hidden / f"{name}.{format}", known) for name, known in held.items()}
            for made in tables.values():
                stack.enter_context(made)
            _fill(tables, sources, unfinished, watch)
        moved = [(made.path.replace(folder / made.path.name), made.rows) for made in tables.values()]
    return Exported(tuple(Written(path, rows, path.stat().st_size) for path, rows in moved), tuple(unfinished))


def table(path: Path, known: Sequence[columns.Column[Any]], about: Mapping[str, str] | None = None) -> AnyTable:
    """A table that will be written, in the format that the file's ending names."""
    if path.suffix == ".csv":
        from detente.export.csv_table import CsvTable

        return CsvTable(path, known, about)
    from detente.export.parquet import Table

    return Table(path, known, about)


def default_folder(paths: Sequence[Path]) -> Path:
    """Where the tables go if nothing else is said."""
    if len(paths) > 1:
        return Path("export")
    return paths[0] / "export" if paths[0].is_dir() else paths[0].parent


@contextmanager
def unseen(folder: Path) -> Iterator[Path]:
    """A hidden folder inside ``folder`` that is gone afterwards; after an error so is ``folder``, if it was not there before."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not nearest.is_dir():
        raise UserError(f"The tables cannot go to {folder}: {nearest} is a file and no folder.")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=".partial-", dir=folder) as hidden:
            yield Path(hidden)
    except BaseException:
        with suppress(OSError):  # another process may have put something there
            for parent in missing:
                parent.rmdir()
        raise


def _fill(tables: dict[str, AnyTable], sources: Sequence[Source], unfinished: list[Path], watch: Watch) -> None:
    """Read everything once, and tell ``watch`` how far it is."""
    total, done = sum(path.stat().st_size for source in sources for path in source.files), 0
    for source in sources:
        for path in source.files:
            for line in lines(path, unfinished):
                if path == source.metrics:
                    _add_metrics(tables, source, path, line)
                else:
                    _add_episode(tables, source, path, line)
                watch(done + line.read, total)
            done += path.stat().st_size


def _add_episode(tables: dict[str, AnyTable], source: Source, path: Path, line: Line) -> None:
    with located(path, line.number, "episode"):
        episode = Episode.from_json(line.text)
        origin = Origin(source.name, source.inside(path), line.number)
        tables["turns"].add(turn_rows(origin, episode))
        tables["episodes"].add(player_rows(origin, episode))


def _add_metrics(tables: dict[str, AnyTable], source: Source, path: Path, line: Line) -> None:
    with located(path, line.number, "line of metrics"):
        values = json.loads(line.text)
        iteration = values.pop("iteration")
        tables["metrics"].add([MetricRow(source.name, iteration, metric, value) for metric, value in values.items()])
