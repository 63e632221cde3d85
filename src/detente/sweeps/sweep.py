"""A sweep from its options to its page: ``detente.sweep``, ``detente.read_sweep`` and ``detente.sweep_report``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detente.errors import UserError, counted
from detente.files import replace_text
from detente.reports.sweep import sweep_page
from detente.sweeps import outcomes as results
from detente.sweeps import runs
from detente.sweeps.description import read
from detente.sweeps.grid import planned
from detente.sweeps.outcomes import Outcomes, Row
from detente.sweeps.table import summary

NAMED = 5  # failed runs in a sentence


def sweep(
    preset: str,
    options: Sequence[str],
    folder: str | Path,
    *,
    seeds: Iterable[int] | None = None,
    arms: Mapping[str, Sequence[str]] | None = None,
    jobs: int = 1,
    outcomes: str | Path | None = None,
    watch: runs.Watch | None = None,
    trust: bool = False,
) -> list[Row]:
    """Train a preset with every combination of options, arms and seeds, a run folder each, and write outcomes.parquet.

    An option whose value is a list is swept: ``"credit.beta=[1,2]"``; one that is a list itself by a list of lists. ``arms`` are
    options that are set together, under a name. ``jobs`` runs train at the same time, each in a process, with ``threads=1`` unless
    that is set. Runs that are done, or whose row is in ``outcomes`` (by default those of the folder), are not trained again, those
    that were stopped go on, and further values, arms and seeds may be added.
    Returns the rows of all runs, one per run, learner and role, for a data frame; UserError at the end if runs failed, which the
    same call tries again.
    """
    asked, known = opened(preset, options, folder, seeds=seeds, arms=arms, outcomes=outcomes, trust=trust)
    with runs.writing(asked):
        runs.run(asked, jobs, watch)
        collected = results.collected(asked.folder, asked.content, known.rows if known else (), asked.failed)
        results.write(collected, asked.folder / runs.OUTCOMES)
    if failed := [task.name for task in asked.missing]:
        reasons = "; ".join(f"{name} ({asked.failed.get(name, 'unknown').rstrip('.')})" for name in failed[:NAMED])
        more = f"; the others are in {asked.folder / runs.FAILED}" if len(failed) > NAMED else ""
        raise UserError(
            f"{len(failed)} of {counted(len(asked.tasks), 'run')} failed, and the same command tries them again: {reasons}{more}."
        )
    return list(collected.rows)


def opened(
    preset: str,
    options: Sequence[str],
    folder: str | Path,
    *,
    seeds: Iterable[int] | None = None,
    arms: Mapping[str, Sequence[str]] | None = None,
    outcomes: str | Path | None = None,
    trust: bool = False,
) -> tuple[runs.Sweep, Outcomes | None]:
    """The sweep with all of its runs checked, and the outcomes that are there already; nothing is written."""
    here = Path(folder) / runs.OUTCOMES
    file = Path(outcomes) if outcomes is not None else here if here.exists() else None
    known = None if file is None else results.read(file)
    grid = planned(preset, options, seeds=seeds, arms=arms, trust=trust)
    return runs.opened(grid, Path(folder), *((known.sweep, known.rows) if known else ()), trust=trust), known


def sweep_report(
    source: str | Path,
    *,
    measure: str | None = None,
    rows: str | None = None,
    columns: str | None = None,
    out: str | Path | None = None,
) -> tuple[dict[str, Any], Path]:
    """Write sweep.json, index.html, measure.png and verdicts.png about a sweep; returns what the first holds, and the page.

    ``source`` is the folder of a sweep, whose outcomes.parquet is written anew, or such a file. ``rows`` and ``columns`` are swept
    options (or ``seed``) of a cross table of the ``measure``, a column of the outcomes. ``out``: by default the folder, or one that
    is called like the file.
    """
    place = Path(source)
    outcomes = found(place)
    content = summary(outcomes, measure, rows, columns)
    folder = Path(out) if out is not None else place if place.is_dir() else place.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        results.write(outcomes, place / runs.OUTCOMES)
    replace_text(folder / "sweep.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return content, sweep_page(folder, content)


def read_sweep(source: str | Path) -> list[Row]:
    """What came of a sweep, one dictionary per run, learner and role: ``pandas.DataFrame(detente.read_sweep("runs/sweeps/x"))``.

    ``source`` is the folder of a sweep, which may be unfinished, or its outcomes.parquet. UserError for what is neither.
    """
    return list(found(Path(source)).rows)


def found(source: Path) -> Outcomes:
    """The outcomes in a file, or of a sweep as its folder is now; rows of its outcomes.parquet stand for runs that are gone."""
    if not source.is_dir():
        if not source.exists():
            raise UserError(f"There is no sweep {source}.")
        return results.read(source)
    asked, file = source / runs.ASKED, source / runs.OUTCOMES
    if not asked.exists():
        if file.exists():
            return results.read(file)
        raise UserError(f"{source} is no sweep: it has neither {runs.ASKED} nor {runs.OUTCOMES}.")
    kept = results.read(file).rows if file.exists() else ()
    return results.collected(source, read(asked), kept, runs.failures(source))
