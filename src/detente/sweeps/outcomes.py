"""What came of a sweep: one row per run, learner and role, in outcomes.parquet, and in outcomes.csv for other readers.

    run folders ──┬── collected ──> Outcomes ── write ──> outcomes.parquet ── read ──> Outcomes
    kept rows  ───┘

A row stands for its run when the folder is gone. The file says what the sweep is, and the same outcomes give the same bytes, but
for the column ``seconds``. Must not import torch; pyarrow is imported when a file is read or written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detente.errors import UserError
from detente.export import table
from detente.export.columns import Column, to_json
from detente.files import reason
from detente.games.reading import Result
from detente.reports.run import read_runs
from detente.sweeps.description import checked
from detente.sweeps.grid import ARM, SEED
from detente.sweeps.runs import DONE, trained

Row = dict[str, Any]
SWEEP = "sweep"  # what the file calls the description of its sweep
TYPES = {bool: "bool", int: "int64", float: "float64", str: "string"}
ABOUT = {  # columns after those of what is swept: type and meaning
    "learner": ("string", "the learner; null where the run is not done"),
    "role": ("string", "the role in which it was measured; null where seats do not differ"),
    "algorithm": ("string", "what it trained with"),
    "model": ("string", "its base model"),
    "status": ("string", "done, failed, stopped (it has trained and is not done) or missing"),
    "iterations": ("int64", "how many it trained for"),
    "seconds": ("float64", "how long these took; the only column in which two sweeps of the same options differ"),
    "verdict": ("string", "what the report calls its behaviour; null where it calls it nothing"),
}


@dataclass(frozen=True)
class Outcomes:
    """The rows of a sweep, and what the sweep is (as sweep.yaml has it)."""

    sweep: Mapping[str, Any]
    rows: Sequence[Row]

    @property
    def measures(self) -> list[str]:
        """The names of all measures."""
        return [name for name in _names(self.sweep, self.rows) if name not in ("run", *self.sweep["swept"], *ABOUT)]


def collected(folder: Path, sweep: Mapping[str, Any], kept: Iterable[Row], failed: Mapping[str, str]) -> Outcomes:
    """The outcomes of a sweep in its folder; rows that were ``kept`` stand for runs that are not done there."""
    by_run: dict[str, list[Row]] = {}
    for row in kept:
        if row["status"] == DONE:
            by_run.setdefault(row["run"], []).append(row)
    rows = []
    for name, values in sweep["runs"].items():
        cells = {axis: _cell(values.get(axis), [other.get(axis) for other in sweep["runs"].values()]) for axis in sweep["swept"]}
        own = _rows(folder / name, "failed" if name in failed else None)
        if own[0]["status"] != DONE:
            own = by_run.get(name, own)
        rows += [{**row, "run": name, **cells} for row in own]
    rows.sort(key=lambda row: [order(row[name]) for name in (*sweep["swept"], "run", "learner", "role")])
    names = _names(sweep, rows)
    return Outcomes(sweep, [{name: row.get(name) for name in names} for row in rows])


def write(outcomes: Outcomes, path: Path) -> None:
    """Write the file, and the same rows as .csv beside it, each whole or not at all."""
    about = {SWEEP: json.dumps(outcomes.sweep, sort_keys=True, ensure_ascii=False)}
    for target in (path, path.with_suffix(".csv")):
        partial = target.with_name(f".partial-{target.name}")
        with table(partial, columns(outcomes), about) as made:
            made.add(outcomes.rows)
        partial.replace(target)


def read(path: Path) -> Outcomes:
    """The outcomes in a file; UserError for a file that holds none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    try:
        content = pq.ParquetFile(path).read()
        about = (content.schema.metadata or {}).get(SWEEP.encode())
        if about is None:
            raise ValueError("it does not say of which sweep")
        sweep = checked(json.loads(about))
        if absent := [name for name in ("run", *sweep["swept"], *ABOUT) if name not in content.column_names]:
            raise ValueError(f"it has no column {absent[0]}")
        outcomes = Outcomes(sweep, content.to_pylist())
        if wrong := [name for name in outcomes.measures if not pa.types.is_floating(content.schema.field(name).type)]:
            raise ValueError(f"its column {wrong[0]} holds no numbers")
        return outcomes
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read as the outcomes of a sweep: {reason(error)}.") from error


def columns(outcomes: Outcomes) -> list[Column[Row]]:
    """What the columns are: the run, what is swept, what is known of a learner, and the measures of its final evaluation."""
    swept = [
        _column(
            axis,
            _type([row[axis] for row in outcomes.rows]),
            "the arm" if axis == ARM else "the seed" if axis == SEED else "a swept option",
        )
        for axis in outcomes.sweep["swept"]
    ]
    measures = [_column(name, "float64", "of the final evaluation; points are per round") for name in outcomes.measures]
    about = [_column(name, kind, meaning) for name, (kind, meaning) in ABOUT.items()]
    return [_column("run", "string", "the name of the run folder"), *swept, *about, *measures]


def _rows(path: Path, failed: str | None) -> list[Row]:
    """The rows of a run from its folder, without what is swept."""
    empty = dict.fromkeys(ABOUT)
    if not (path / "config.yaml").is_file():
        return [{**empty, "status": failed or "missing"}]
    (run,) = read_runs([path])
    seconds, iterations = trained(path)
    if run.summary is None:
        status = failed or ("stopped" if iterations else "missing")
        return [{**empty, "status": status, "iterations": iterations, "seconds": seconds}]
    own = run.options.get("learners") or {}
    return [
        {
            "learner": learner,
            "role": role or None,
            "algorithm": (result := run.result(learner, role)).algorithm,
            "model": (own.get(learner) or {}).get("model", run.options.get("model")),
            "status": DONE,
            "iterations": run.summary.get("iterations", iterations),
            "seconds": seconds,
            "verdict": run.known.reading.verdict(result) or None,
            **measured(result),
        }
        for learner, role in run.measured
    ]


def measured(result: Result) -> dict[str, float]:
    """Every number of a final evaluation: ``self_play/reward``, its interval, ``vs/tit_for_tat/opponent_reward``, the tables."""
    numbers = {f"self_play/{name}": value for name, value in result.self_play.items()}
    if result.interval is not None:
        numbers |= dict(zip(("self_play/reward/low", "self_play/reward/high"), result.interval, strict=True))
    numbers |= {f"partners/{name}": value for name, value in result.partners.items()}
    numbers |= {f"vs/{script}/{name}": value for script, own in result.against.items() for name, value in own.items()}
    numbers |= result.given
    return numbers | ({} if result.invalid is None else {"invalid": result.invalid})


def _names(sweep: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """The columns in their order, the measures by name."""
    known = ["run", *sweep["swept"], *ABOUT]
    return known + sorted({name for row in rows for name in row}.difference(known))


def _column(name: str, kind: str, meaning: str) -> Column[Row]:
    return Column(name, kind, meaning, lambda row: row.get(name))


def _cell(value: Any, others: Sequence[Any]) -> Any:
    """A swept value as a column holds it: as it is where all are of one type, a number among others, else as text."""
    if value is None or not _plain(others):
        return value if value is None or isinstance(value, str) else to_json(value)
    return float(value) if isinstance(value, int) and any(isinstance(other, float) for other in others) else value


def _plain(values: Sequence[Any]) -> bool:
    """Whether one type of column holds all of the values."""
    kinds = {type(value) for value in values} - {type(None)}
    return kinds <= {int, float} or (len(kinds) == 1 and kinds <= TYPES.keys())


def _type(values: Sequence[Any]) -> str:
    """The type of the column of plain values."""
    kinds = {type(value) for value in values} - {type(None)}
    return "float64" if kinds == {int, float} else TYPES[kinds.pop()] if kinds else "string"


def order(value: Any) -> tuple[int, Any]:
    """Sorts the values of a column: null, numbers, texts."""
    return (0, 0) if value is None else (2, value) if isinstance(value, str) else (1, value)
