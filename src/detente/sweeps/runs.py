"""The runs of a sweep: what is there, what is missing, and its folder.

    FOLDER/sweep.yaml (what the sweep is), FOLDER/NAME/ (a run folder each), NAME.log, failed.json, outcomes.parquet

A run that is done is not trained again, nor is one whose row an outcome file holds; one that was stopped goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from detente import stored
from detente.config import load
from detente.errors import UserError
from detente.evaluation.begun import begun
from detente.files import check_same, locked, read_json, replace_text
from detente.learning.checks import check
from detente.learning.processes import Training, train_apart
from detente.learning.run_folder import RunFolder, check_folder
from detente.sweeps.description import described, identity, read
from detente.sweeps.grid import Combination, Grid

ASKED, FAILED, OUTCOMES = "sweep.yaml", "failed.json", "outcomes.parquet"
DONE = "done"
OURS = {ASKED, FAILED, OUTCOMES, "outcomes.csv", "sweep.json", "index.html", "measure.png", "verdicts.png"}
ANOTHER = "give --out another folder"


@dataclass(frozen=True)
class Task:
    """A run of a sweep."""

    combination: Combination
    training: Training

    @property
    def name(self) -> str:
        """The name of its run folder."""
        return self.training.run.name


class Watch(Protocol):
    """Hears how far a sweep is."""

    def begin(self, sweep: Sweep) -> None: ...
    def running(self, tasks: Sequence[Task]) -> None: ...
    def ended(self, task: Task, fault: str | None) -> None: ...
    def stopping(self) -> None: ...


@dataclass
class Sweep:
    """The runs of a sweep that are asked for, and the names of those that are ``done``; ``failed`` has the reasons of those that
    failed, and ``content`` what sweep.yaml says of this sweep and of all that was asked for before."""

    folder: Path
    content: dict[str, Any]
    tasks: Sequence[Task]
    done: set[str]
    failed: dict[str, str] = field(default_factory=dict)
    seen: dict[str, tuple[float, int]] = field(default_factory=dict)  # of each run, what ``trained`` says

    @property
    def missing(self) -> list[Task]:
        """The runs that are not done, in their order."""
        return [task for task in self.tasks if task.name not in self.done]

    def seconds_left(self) -> float | None:
        """How long the missing iterations take one after another, if each takes as long as those of this folder did on average;
        None where none was trained yet."""
        for task in self.tasks:
            if task.name not in self.done or task.name not in self.seen:
                self.seen[task.name] = trained(task.training.run)
        iterations = sum(count for _, count in self.seen.values())
        if not iterations:
            return None
        left = sum(max(0, task.training.config.iterations - self.seen[task.name][1]) for task in self.missing)
        return left * sum(seconds for seconds, _ in self.seen.values()) / iterations


def trained(run: Path) -> tuple[float, int]:
    """The seconds that the iterations of a run took, and how many these are."""
    lines = stored.metrics(RunFolder(run).metrics)
    return sum(float(line.get("time/total_s") or 0) for line in lines), int(lines[-1]["iteration"]) if lines else 0


def opened(
    grid: Grid, folder: Path, known: Mapping[str, Any] | None = None, rows: Iterable[Mapping[str, Any]] = (), *, trust: bool = False
) -> Sweep:
    """The sweep in its folder, every run checked; UserError for the first thing that does not fit, before anything is written.

    A run is done where its folder says so, or one of the ``rows`` of outcomes of the sweep that is ``known``.
    """
    content = described(grid)
    ours = OURS | {path.name for path in folder.glob("*") if path.suffix == ".log" or RunFolder(path).options.is_file()}
    before = read(folder / ASKED) if begun(folder, ASKED, "sweep", ANOTHER, ours) is not None else None
    for what, other in ((f"The sweep {folder}", before), ("The sweep of these outcomes", known)):
        if other is not None:
            check_same(what, identity(other, content), identity(content, other), ANOTHER)
            content |= {part: other[part] | content[part] for part in ("arms", "runs")}
    tasks = _tasks(grid, folder, trust)
    iterations = {row["run"]: row["iterations"] for row in rows if row["status"] == DONE}
    done = {task.name for task in tasks if iterations.get(task.name) == task.training.config.iterations or task.training.finished}
    return Sweep(folder, content, tasks, done, failures(folder))


def failures(folder: Path) -> dict[str, str]:
    """Why runs failed, by name."""
    path = folder / FAILED
    reasons = read_json(path) if path.exists() else {}
    if not isinstance(reasons, dict) or not all(isinstance(reason, str) for reason in reasons.values()):
        raise UserError(f"{path} cannot be read as the reasons why runs failed; remove it.")
    return reasons


def _tasks(grid: Grid, folder: Path, trust: bool) -> list[Task]:
    """Every run with its options, which are checked."""
    tasks = []
    for combination in grid.combinations():
        run = folder / combination.name
        try:
            config = load(grid.preset, combination.overrides, trust=trust)
            check(config, begun=RunFolder(run).options.exists())
            check_folder(run, config)
        except UserError as error:
            raise UserError(f"{combination.words}: {error}") from error
        threads = {} if config.threads else {"threads": 1}
        tasks.append(Task(combination, Training(run, config.model_copy(update=threads))))
    return tasks


def run(sweep: Sweep, jobs: int, watch: Watch | None = None) -> None:
    """Train what is missing, ``jobs`` runs at the same time; what fails is noted in ``sweep.failed``, and the others go on."""
    by_run = {task.training.run: task for task in sweep.tasks}

    def ended(training: Training, fault: str | None) -> None:
        task = by_run[training.run]
        if fault is None:
            sweep.done.add(task.name)
            sweep.failed.pop(task.name, None)
        else:
            sweep.failed[task.name] = fault
        if sweep.failed:
            replace_text(sweep.folder / FAILED, json.dumps(sweep.failed, indent=2) + "\n")
        else:
            (sweep.folder / FAILED).unlink(missing_ok=True)
        if watch is not None:
            watch.ended(task, fault)

    def look(running: Sequence[Training]) -> None:
        if watch is not None:
            watch.running([by_run[training.run] for training in running])

    if watch is not None:
        watch.begin(sweep)
    stopping = (lambda: None) if watch is None else watch.stopping
    train_apart([task.training for task in sweep.missing], jobs, ended, look, stopping)


@contextmanager
def writing(sweep: Sweep) -> Iterator[None]:
    """The folder is this process's alone, and says what the sweep is."""
    sweep.folder.mkdir(parents=True, exist_ok=True)
    with locked(sweep.folder, f"The sweep {sweep.folder}", ANOTHER):
        replace_text(sweep.folder / ASKED, yaml.safe_dump(sweep.content, sort_keys=False, allow_unicode=True, width=120))
        yield
