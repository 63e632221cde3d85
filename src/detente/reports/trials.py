"""A run in trials, episode by episode: points, how often each joint move came, and what learners did after it.

    metrics of the iterations of a trial ──┐
                                           ├──> the first and the last trials beside each other      (means of a few trials)
    episodes of these, where recorded ─────┘

Must not import torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from detente.games.sides import moves
from detente.records import Episode
from detente.reports.run import Run
from detente.reports.transcript import finished

SHARE = 5  # a fifth of the trials stands for the beginning, and one for the end
MOST = 9  # joint moves that make a table
Row = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of numbers, period by period, and within a period for each of the ``parts`` of a trial, its episodes.

    ``shares`` are numbers between 0 and 1.
    """

    title: str
    head: str
    periods: tuple[str, ...]
    parts: int
    rows: Mapping[str, Row]
    shares: bool = False


def tables(run: Run) -> tuple[Table, ...]:
    """Of the first and the last fifth of a run's trials: the points, the joint moves, and what each learner did after which; () of
    a run without a whole trial."""
    parts = length(run.options)
    whole = run.iteration // parts if parts else 0
    if not whole or not parts:
        return ()
    several = max(1, whole // SHARE)
    spans = {"first": range(several), "last": range(max(several, whole - several), whole)}
    periods = {_named(which, span): span for which, span in spans.items() if span}
    iterations = [[trial * parts + part + 1 for trial in span] for span in periods.values() for part in range(parts)]

    def table(title: str, head: str, rows: Mapping[str, Row], *, shares: bool = True) -> Table:
        return Table(f"{run.label}: {title}", head, tuple(periods), parts, rows, shares)

    points = {learner: _means(run, f"reward/{learner}", iterations) for learner in run.learners}
    made = [table("points per round", "learner", points, shares=False)]
    made.append(table("how often each joint move came", "joint move", _visits(run.path, iterations)))
    columns = [column.key.split("/") for chapter in run.known.reading.chapters for column in chapter.columns]
    for learner in run.learners:
        given = {condition: _means(run, f"{name}/{learner}/{condition}", iterations) for name, condition in columns}
        seen = {condition: row for condition, row in given.items() if any(value is not None for value in row)}
        made.append(table(f"what {learner} did after each last move", "last move", seen))
    return tuple(made_table for made_table in made if made_table.rows)


def length(options: Mapping[str, Any]) -> int | None:
    """How many episodes a trial has: the lifetime of a learner, or what lies between two updates over a trial; else None."""
    own = [learner for learner in (options.get("learners") or {}).values() if isinstance(learner, Mapping)]
    lifetimes = [learner.get("lifetime") for learner in own]
    clocks = [learner.get("update_every") for learner in own if learner.get("collect") == "trial"]
    return next((count for count in (*lifetimes, *clocks) if isinstance(count, int) and count > 1), None)


def _named(which: str, trials: range) -> str:
    return f"{which} trial" if len(trials) == 1 else f"{which} {len(trials)} trials"


def _means(run: Run, key: str, iterations: Sequence[Sequence[int]]) -> Row:
    """The mean of a metric over each of several sets of iterations; None where it was never measured."""
    values = {row["iteration"]: float(row[key]) for row in run.metrics if isinstance(row.get(key), int | float)}
    known = [[values[i] for i in some if i in values] for some in iterations]
    return tuple(fmean(numbers) if numbers else None for numbers in known)


def _visits(run: Path, iterations: Sequence[Sequence[int]]) -> dict[str, Row]:
    """The share of rounds of each joint move; {} where there are many, or iterations whose episodes are not recorded."""
    counts = [_counted(_episodes(run, some)) for some in iterations]
    joint = sorted({move for counted in counts for move in counted})
    if len(joint) > MOST or not all(counts):
        return {}
    return {move: tuple(counted[move] / counted.total() for counted in counts) for move in joint}


def _episodes(run: Path, iterations: Iterable[int]) -> list[Episode]:
    """Those of the iterations that are recorded."""
    files = [run / "episodes" / f"{iteration:06d}.jsonl.gz" for iteration in iterations]
    return [episode for file in files if file.is_file() for episode in finished(file)]


def _counted(episodes: Iterable[Episode]) -> Counter[str]:
    """How often each joint move came, the first seat's first."""
    rounds = (moves(played) for episode in episodes for played in episode.rounds)
    return Counter(" ".join(str(action) for _, action in sorted(made.items())) for made in rounds)
