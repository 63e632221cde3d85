"""The runs of one report and what its sections share: the curves, the table rows, what is known of the game.

    runs ── arms x learners ──> Curve   one colour of the page      ── runs of the arm ──> Entry   one row of a table
                                        and, of several seeds, the last row of these

Must not import torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

from detente.evaluation.statistics import Estimate, over_seeds, share
from detente.family_file import Description, references
from detente.games.reading import Reading, Result
from detente.games.roles import in_role, prefix
from detente.reports.plots import Line, Panel
from detente.reports.run import SELF_PLAY, Arm, Run, Series, arms


@dataclass(frozen=True, slots=True)
class Curve:
    """One colour of the page: a learner of the runs of one arm, in one of its roles where it has any."""

    label: str
    colour: int
    arm: Arm
    learner: str
    role: str = ""

    def series(self, key: str, limit: int = 250) -> Series | None:
        """The metric ``key``, in which LEARNER stands for the learner's name. What is not measured by role counts for the first."""
        named = key.replace("LEARNER", self.learner)
        by_role = self.arm.series(prefix(self.role) + named, limit)
        first = self.role == self.arm.runs[0].roles(self.learner)[0]
        return by_role or (self.arm.series(named, limit) if first else None)

    def line(self, key: str, dashed: bool = False) -> Line | None:
        """The same as a line of this colour."""
        series = self.series(key)
        return None if series is None else Line(self.label, self.colour, series, dashed)

    @property
    def results(self) -> tuple[Result, ...]:
        """The learner's, run by run."""
        return tuple(run.result(self.learner, self.role) for run in self.arm.runs)

    def over_seeds(self, part: str, *path: str) -> Estimate | None:
        """A number of the results, ``"against", "greedy", "reward"``, over the seeds of training; None where no run has it."""
        parts = [reduce(lambda numbers, key: numbers.get(key, {}), path[:-1], getattr(result, part)) for result in self.results]
        values = [numbers[path[-1]] for numbers in parts if path[-1] in numbers]
        return over_seeds(values) if values else None

    @property
    def verdicts(self) -> dict[str, Estimate]:
        """The words that the runs earn, and the share of each."""
        words = [self.arm.runs[0].known.reading.verdict(result) for result in self.results]
        return {word: share(count, len(words)) for word, count in Counter(words).most_common() if word}


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
        drawn = [(arm, name, role) for arm in arms(self.runs) for name in arm.runs[0].learners for role in arm.runs[0].roles(name)]
        return tuple(
            Curve(_label(arm.label, arm.runs[0], name, role), i, arm, name, role) for i, (arm, name, role) in enumerate(drawn)
        )

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(
            Entry(_label(run.label, run, curve.learner, curve.role), curve.colour, run, run.result(curve.learner, curve.role))
            for curve in self.curves
            for run in curve.arm.runs
        )

    @property
    def pooled(self) -> tuple[Curve, ...]:
        """The learners of several runs that differ by seed alone."""
        return tuple(curve for curve in self.curves if len(curve.arm.runs) > 1)

    @cached_property
    def together(self) -> str:
        """What the play among the seats of these runs is called."""
        return " or ".join(dict.fromkeys(run.together for run in self.runs))

    def worded(self, text: str) -> str:
        """A text of a family, which calls this self-play, with the name that is right for these runs."""
        return text.replace(SELF_PLAY, self.together)

    @cached_property
    def known(self) -> Description:
        """What is known of the game, where all runs play the same one; else what is known of the measures of all."""
        first, *others = self.runs
        if all(run.options["game"] == first.options["game"] for run in others):
            return first.known
        measures = {measure.name: measure for run in self.runs for measure in run.known.measures}
        return Description(measures=tuple(measures.values()))

    @property
    def reading(self) -> Reading:
        """How a report reads the game."""
        return self.known.reading

    @cached_property
    def strategies(self) -> tuple[str, ...]:
        """Whom the learners were measured against at the end."""
        return tuple(dict.fromkeys(name for entry in self.entries for name in entry.result.against))

    @cached_property
    def references(self) -> tuple[Result, ...]:
        """Scripted policies that stand beneath the learners."""
        return references(self.known, self.runs[0].options["game"], self.strategies)

    @property
    def marked(self) -> Result | None:
        """The reference that the plots mark."""
        return next((reference for reference in self.references if reference.learner == self.reading.marked), None)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The metrics of all runs, with LEARNER in place of the learners' names."""
        return tuple(dict.fromkeys(_generic(key, learners) for run in self.runs for learners in [run.learners] for key in run.keys))

    def panel(self, name: str, title: str, keys: Iterable[str], **more: Any) -> Panel | None:
        """A panel with every curve that has one of ``keys``; the second key is dashed."""
        lines = [curve.line(key, dashed=i > 0) for i, key in enumerate(keys) for curve in self.curves]
        drawn = tuple(line for line in lines if line is not None)
        return Panel(name, title, drawn, **more) if drawn else None


def _label(label: str, run: Run, learner: str, role: str) -> str:
    named = in_role(learner, role)
    return label if len(run.learners) == 1 and not role else f"{label} · {named}"


def _generic(key: str, learners: Collection[str]) -> str:
    """LEARNER in place of a learner's name, and nothing of its role."""
    parts = key.split("/")
    return "/".join("LEARNER" if part in learners else part for part in (parts[2:] if parts[0] == "role" else parts))
