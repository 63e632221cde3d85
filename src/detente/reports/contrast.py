"""The table that sets the learners of several runs side by side in the terminal. Must not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from detente.evaluation.statistics import Estimate, ends
from detente.games.reading import Result
from detente.games.roles import in_role
from detente.reports.run import read_runs
from detente.reports.study import Study


def contrast_table(paths: Sequence[Path]) -> Table:
    """One row per learner and role, then one for those of several seeds, columns for what the games are judged by; raises UserError
    for what is no run folder."""
    runs = read_runs(paths)
    pooled = Study(runs).pooled
    readings = [run.known.reading for run in runs]
    words = {name: run.known.words(name) for run in runs for name in run.known.reading.contrast}
    measures = tuple(dict.fromkeys(name for reading in readings for name in reading.contrast))
    given = {key: f"{reading.given_title} {head}" for reading in readings for key, head in reading.given.items()}
    rivals = tuple(dict.fromkeys(name for reading in readings for name in reading.contrast_rivals))
    invalid = given and any(run.result(*place).invalid for run in runs for place in run.measured)
    seeds = "; of several seeds the mean with its 95 % interval over seeds, and the share of runs with a verdict" if pooled else ""
    together = Study(runs).together.removeprefix("in ")
    table = Table(caption=f"points per round; where others play: own / theirs{seeds}", caption_justify="left")
    table.add_column("run", style="bold", overflow="fold")
    telling = all(run.result(learner).algorithm in run.label for run in runs for learner in run.learners)
    if not telling:  # else the names of the runs say it
        table.add_column("algorithm", overflow="fold")
    for name in (
        *(together if name == "reward" else words[name] for name in measures),
        *given.values(),
        *(f"vs {rival.replace('_', ' ')}" for rival in rivals),
        *(["invalid"] if invalid else []),
    ):
        table.add_column(name.replace(" ", "\n"), justify="right", vertical="middle")
    table.add_column("verdict", style="bold")
    for run, known in zip(runs, readings, strict=True):
        for learner, role in run.measured:
            result = run.result(learner, role)
            table.add_row(
                Text(run.label if len(run.learners) == 1 and not role else f"{run.label} {in_role(learner, role)}"),
                *([] if telling else [result.algorithm]),
                *(_alone(result, name) for name in measures),
                *(_number(result.given.get(key)) for key in given),
                *(_pair(result, rival) for rival in rivals),
                *([_number(result.invalid)] if invalid else []),
                known.verdict(result),
            )
    for curve in pooled:
        table.add_row(
            Text(curve.label),
            *([] if telling else [curve.results[0].algorithm]),
            *(_over_seeds(curve.over_seeds("self_play", name)) for name in measures),
            *(_over_seeds(curve.over_seeds("given", key)) for key in given),
            *(_over_seeds(*(curve.over_seeds("against", rival, key) for key in ("reward", "opponent_reward"))) for rival in rivals),
            *(["–"] if invalid else []),
            "\n".join(f"{word}\n{part}" for word, part in curve.verdicts.items()),
        )
    return table


def _over_seeds(*estimates: Estimate | None) -> str:
    """The means, and beneath them what stands beside each."""
    means = " / ".join(_number(None if estimate is None else estimate.mean) for estimate in estimates)
    beneath = [ends(estimate.to_json()) for estimate in estimates if estimate is not None]
    return "\n".join((means, *filter(None, dict.fromkeys(beneath))))


def _alone(result: Result, measure: str) -> str:
    """The measure with every learner on its own seat; of points also those of the other learners."""
    theirs = result.partners.values() if measure == "reward" else ()
    return " / ".join(_number(value) for value in (result.self_play.get(measure), *theirs))


def _pair(result: Result, strategy: str) -> str:
    numbers = result.against.get(strategy, {})
    return f"{_number(numbers.get('reward'))} / {_number(numbers.get('opponent_reward'))}" if numbers else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
