"""Reads run folders into frozen values; learning/run_folder.py says what lies there, and nothing is asked of the run itself.

    config.yaml, metrics.jsonl, summary.json, changes.json ──> Run ── result(learner) ──> Result      what a learner does
                                                  └──── series(key) ──────> Series      how a number went

A run that goes on, or was stopped, is read as far as it got. Must not import torch.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from detente import stored
from detente.errors import UserError
from detente.evaluation.measures import flat_tables
from detente.evaluation.statistics import spread
from detente.family_file import Description, description
from detente.files import short_names
from detente.games.reading import Numbers, Result
from detente.games.roles import in_role, prefix
from detente.stored_shapes import tables

SELF_PLAY, WITH_EACH_OTHER = "in self-play", "with each other"


@dataclass(frozen=True, slots=True)
class Series:
    """A number over iterations; ``low`` and ``high`` are its range over seeds (equal to ``values`` for one run)."""

    iterations: tuple[int, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder. ``options`` is the resolved configuration, ``metrics`` one mapping per finished iteration, ``known`` what is
    known of the game, ``changes`` which learning rates changed, and from which iteration on."""

    path: Path
    label: str
    options: dict[str, Any]
    metrics: tuple[dict[str, Any], ...]
    summary: dict[str, Any] | None
    known: Description
    changes: tuple[dict[str, Any], ...] = ()

    @property
    def iteration(self) -> int:
        """How many iterations are finished."""
        return int(self.metrics[-1]["iteration"]) if self.metrics else 0

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of all metrics, in the order in which they first appear."""
        return tuple(dict.fromkeys(key for row in self.metrics for key in row if key != "iteration"))

    @property
    def learners(self) -> tuple[str, ...]:
        """The names of the policies that train."""
        if self.summary is not None:
            return tuple(self.summary["learners"])
        trained = tuple(key.removeprefix("reward/") for key in self.keys if re.fullmatch(r"reward/[^/]+", key))
        return trained or ("main",)

    @property
    def models(self) -> tuple[str, ...]:
        """The base models: of all learners, or of each by name where they differ."""
        own = self.options.get("learners") or {}
        models = {name: str((own.get(name) or {}).get("model", self.options.get("model", ""))) for name in self.learners}
        return tuple({*models.values()}) if len({*models.values()}) == 1 else tuple(f"{name}: {m}" for name, m in models.items())

    def roles(self, learner: str) -> tuple[str, ...]:
        """The roles in which a learner was measured; ("",) in a game whose seats do not differ."""
        if self.summary is not None and learner in self.summary["learners"]:
            named = tuple(self.summary["learners"][learner].get("roles") or ())
        else:
            matches = (re.fullmatch(rf"role/([^/]+)/reward/{re.escape(learner)}", key) for key in self.keys)
            named = tuple(match[1] for match in matches if match)
        return named or ("",)

    @property
    def measured(self) -> tuple[tuple[str, str], ...]:
        """Every learner in each of its roles."""
        return tuple((learner, role) for learner in self.learners for role in self.roles(learner))

    def result(self, learner: str, role: str = "") -> Result:
        """The learner's final evaluation, in a role where it has any; before that, its last metrics."""
        if self.summary is None or learner not in self.summary["learners"]:
            return self._so_far(learner, role)
        measured = self.summary["learners"][learner]
        scores = (measured.get("roles") or {}).get(role, measured)
        known = scores.get("intervals") or {}
        return Result(
            learner=learner,
            algorithm=measured.get("algorithm", self._algorithm(learner)),
            final=True,
            self_play=_numbers(scores.get("self_play")),
            against={name: _numbers(numbers) for name, numbers in (scores.get("against") or {}).items()},
            given=_numbers(flat_tables(tables(scores))),
            invalid=scores.get("invalid"),
            interval=_intervals(known.get("self_play")).get("reward"),
            intervals={name: _intervals(rewards) for name, rewards in (known.get("against") or {}).items()},
            partners=_numbers(scores.get("partners")) if role else _partners(measured, learner, self.summary["learners"]),
            shared=self._shared(learner),
        )

    @property
    def together(self) -> str:
        """What the play of those on the run's seats is called: only that of a learner with itself is self-play."""
        seats = self.options.get("seats") or self.learners
        return SELF_PLAY if len({*seats}) <= 1 else WITH_EACH_OTHER

    def _shared(self, learner: str) -> bool:
        """Whether somebody other than the learner has a seat."""
        return any(seat != learner for seat in self.options.get("seats") or ())

    def _algorithm(self, learner: str) -> str:
        own = (self.options.get("learners") or {}).get(learner) or {}
        return str(own.get("algorithm", self.options.get("algorithm", "")))

    def _so_far(self, learner: str, role: str) -> Result:
        """The last value of every metric; those of the last repeated evaluation go before those of training."""
        everything = {key: value for row in self.metrics for key, value in row.items() if value is not None}
        last = {key.removeprefix(prefix(role)): value for key, value in everything.items() if key.startswith(prefix(role))}
        of_learner = {key: value for key, value in last.items() if key.endswith(f"/{learner}") and not key.startswith("vs/")}
        known = {key.removesuffix(f"/{learner}"): value for key, value in of_learner.items()}
        tables = {f"{table}/{learner}/": f"{table}/" for table in self.known.tables}
        known |= {key.replace(a, b): value for key, value in last.items() for a, b in tables.items() if key.startswith(a)}
        evaluated = f"eval/{learner}/"
        known |= {key.removeprefix(evaluated): value for key, value in last.items() if key.startswith(evaluated)}
        against: dict[str, dict[str, float]] = {}
        for key, value in known.items():
            if match := re.fullmatch(r"vs/([^/]+)/([^/]+)", key):
                against.setdefault(match[1], {})[match[2]] = value
        self_play = {key.removeprefix("self_play/"): value for key, value in known.items() if key.startswith("self_play/")}
        measured = [measure.name for measure in self.known.measures]
        return Result(
            learner=learner,
            algorithm=self._algorithm(learner),
            final=False,
            self_play=self_play or {name: known[name] for name in ("reward", *measured) if name in known},
            against={name: numbers for name, numbers in against.items() if "opponent_reward" in numbers},
            given={key: value for key, value in known.items() if key.partition("/")[0] in self.known.tables},
            invalid=known.get("invalid"),
            partners={
                in_role(name, other): everything[key]
                for name, other in self.measured
                if (name, other) != (learner, role) and (key := f"{prefix(other)}self_play/reward/{name}") in everything
            },
            shared=self._shared(learner),
        )


@dataclass(frozen=True, slots=True)
class Arm:
    """Runs that differ only by seed: one curve in a plot."""

    label: str
    runs: tuple[Run, ...]

    def series(self, key: str, limit: int = 250) -> Series | None:
        """The mean and range of a metric over the runs at each iteration; long series are averaged down to ``limit`` points."""
        by_iteration: dict[int, list[float]] = {}
        for row in (row for run in self.runs for row in run.metrics):
            if isinstance(row.get(key), int | float):
                by_iteration.setdefault(int(row["iteration"]), []).append(float(row[key]))
        if not by_iteration:
            return None
        width = -(-len(by_iteration) // limit)
        points = sorted(by_iteration.items())
        bins = [points[i : i + width] for i in range(0, len(points), width)]
        by_bin = [[spread(values) for _, values in points] for points in bins]
        return Series(
            iterations=tuple(points[-1][0] for points in bins),
            values=tuple(fmean(point.mean for point in spreads) for spreads in by_bin),
            low=tuple(fmean(point.minimum for point in spreads) for spreads in by_bin),
            high=tuple(fmean(point.maximum for point in spreads) for spreads in by_bin),
        )


def read_runs(paths: Sequence[Path]) -> tuple[Run, ...]:
    """Read run folders, each labelled by the shortest end of its path that tells it from the others; UserError for no run."""
    return tuple(_read(path, label) for path, label in zip(paths, short_names(paths), strict=True))


def arms(runs: Sequence[Run]) -> tuple[Arm, ...]:
    """Group the runs whose options differ only by seed, in the order given."""
    together: dict[str, list[Run]] = {}
    for run in runs:
        options = {key: value for key, value in run.options.items() if key not in ("seed", "trackers")}
        same = json.dumps([options, run.changes], sort_keys=True, default=str)
        together.setdefault(same, []).append(run)
    return tuple(Arm(_shared_label(members), tuple(members)) for members in together.values())


def _read(path: Path, label: str) -> Run:
    if not path.is_dir():
        raise UserError(f"There is no run folder {path}.")
    if not (path / "config.yaml").is_file():
        raise UserError(f"{path} is no run folder: it holds no config.yaml.")
    options, metrics = stored.options(path / "config.yaml"), stored.metrics(path / "metrics.jsonl")
    summary = stored.summary(path / "summary.json")
    changes = stored.changes(path / "changes.json")
    return Run(path, label, options, metrics, summary, description(path, options["game"]), changes)


def _shared_label(runs: Sequence[Run]) -> str:
    """``aa-seed0`` and ``aa-seed42`` are both ``aa``."""
    if len(runs) == 1:
        return runs[0].label
    letters = zip(*(run.label for run in runs), strict=False)
    same = [column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, letters)]
    shared = re.sub(r"[\W_]*(seed)?[\W_]*\d*$", "", "".join(same))
    return f"{shared or runs[0].label} ({len(runs)} seeds)"


def _intervals(ends: Mapping[str, Sequence[float | None] | None] | None) -> dict[str, tuple[float, float]]:
    """The ends of intervals by what they are of, where the evaluation had several game seeds."""
    known = {name: pair or (None, None) for name, pair in (ends or {}).items()}
    return {name: (low, high) for name, (low, high) in known.items() if low is not None and high is not None}


def _partners(evaluation: Mapping[str, Any], learner: str, learners: Mapping[str, Any]) -> Numbers:
    """As the evaluation says; in one of an earlier version as the other learners say of themselves, who play the same episodes."""
    others = {name: (numbers.get("self_play") or {}).get("reward") for name, numbers in learners.items()}
    return {name: reward for name, reward in _numbers(evaluation.get("partners", others)).items() if name != learner}


def _numbers(numbers: Mapping[str, float | None] | None) -> Numbers:
    return {key: value for key, value in (numbers or {}).items() if value is not None}
