"""The runs of one report and what its sections share: the curves, the table rows, the game and its anchors.

    runs ── arms x learners ──> Curve   one colour of the page      ── runs of the arm ──> Entry   one row of a table

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from detente.games.matrix import MatrixGame
from detente.reports.plots import Line, Panel
from detente.reports.run import Arm, Result, Run, arms
from detente.reports.verdict import Anchors, anchors, dilemma


@dataclass(frozen=True, slots=True)
class Curve:
    """One colour of the page: a learner of the runs of one arm."""

    label: str
    colour: int
    arm: Arm
    learner: str

    def line(self, key: str, dashed: bool = False) -> Line | None:
        """The metric ``key``, in which LEARNER stands for the learner's name."""
        series = self.arm.series(key.replace("LEARNER", self.learner))
        return None if series is None else Line(self.label, self.colour, series, dashed)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a table: a learner of one run and what it does."""

    label: str
    colour: int
    run: Run
    result: Result


@dataclass(frozen=True)
class Study:
    """The runs of a report, and what is common to its sections."""

    runs: tuple[Run, ...]

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        found = [(arm, learner) for arm in arms(self.runs) for learner in arm.runs[0].learners]
        return tuple(Curve(_label(arm.label, arm.runs[0], name), i, arm, name) for i, (arm, name) in enumerate(found))

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(
            Entry(_label(run.label, run, curve.learner), curve.colour, run, run.result(curve.learner))
            for curve in self.curves
            for run in curve.arm.runs
        )

    @cached_property
    def game(self) -> MatrixGame | None:
        """The dilemma that all runs play, where they play the same one."""
        games = [run.options["game"] for run in self.runs]
        return dilemma(games[0]) if all(game == games[0] for game in games) else None

    @cached_property
    def anchors(self) -> Anchors | None:
        return anchors(self.game) if self.game else None

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The metrics of all runs, with LEARNER in place of the learners' names."""
        return tuple(dict.fromkeys(_generic(key, run) for run in self.runs for key in run.keys))

    def panel(self, name: str, title: str, keys: Iterable[str], **more: Any) -> Panel | None:
        """A panel with every curve that has one of ``keys``; the second key is dashed."""
        lines = [curve.line(key, dashed=i > 0) for i, key in enumerate(keys) for curve in self.curves]
        found = tuple(line for line in lines if line is not None)
        return Panel(name, title, found, **more) if found else None


def _label(label: str, run: Run, learner: str) -> str:
    return label if len(run.learners) == 1 else f"{label} · {learner}"


def _generic(key: str, run: Run) -> str:
    return "/".join("LEARNER" if part in run.learners else part for part in key.split("/"))
