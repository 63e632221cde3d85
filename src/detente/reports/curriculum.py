"""What a curriculum had a run play: curves of regret and shares, and which settings were trained on with which co-player.

    metrics curriculum/... ──> panels          recorded episodes that trained ──> tables (co-player x value of a parameter)

Must not import torch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from detente.records import Episode
from detente.reports.plots import Panel
from detente.reports.run import Run
from detente.reports.study import Study
from detente.reports.transcript import finished

TEXT = (
    "Regret is what the learner could have had more, in points per round: exact against scripts in matrix games, else what the "
    "best episode of a group had more than their mean. Shares are those of a co-player in the groups of an iteration. A setting "
    "that is new may be scored alone, and not trained on."
)
FILES = 40  # of recorded iterations that are read, spread over the run
PARTS = 4  # into which a range is cut
MOST = 12  # values of a parameter that make a table


@dataclass(frozen=True, slots=True)
class Table:
    """The share of the groups that were trained on, by co-player and value of a parameter."""

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]


def panels(study: Study) -> Iterator[Panel | None]:
    """How regret and shares went."""
    yield study.panel("regret", "regret, mean over groups", ["curriculum/regret"], small=True)
    yield study.panel("fresh", "share of new settings", ["curriculum/fresh"], limits=(0, 1), small=True)
    for name in _named(study, "trained"):
        keys = [f"vary/{name}", f"curriculum/trained/{name}"]
        yield study.panel(f"trained_{name}", f"{name}; dashed: trained on", keys, small=True)
    for name in _named(study, "share"):
        yield study.panel(f"share_{name}", f"share: {name}", [f"curriculum/share/{name}"], limits=(0, 1), small=True)
        yield study.panel(f"regret_{name}", f"regret: {name}", [f"curriculum/regret/{name}"], small=True)


def _named(study: Study, what: str) -> list[str]:
    """The parameters or co-players of which there are such metrics."""
    before = f"curriculum/{what}/"
    return [key.removeprefix(before) for key in study.keys if key.startswith(before)]


def tables(study: Study) -> list[Table]:
    """Those of every run."""
    return [table for run in study.runs for table in tables_of(run)]


def tables_of(run: Run) -> list[Table]:
    """For each parameter that varies by choices or a range how often which value was trained on with whom."""
    vary = run.options.get("vary")
    values = {name: edges for name, how in (vary if isinstance(vary, Mapping) else {}).items() if (edges := _columns(how))}
    trained = list(_trained(run)) if values else []
    made = []
    for name, columns in values.items():
        counts = Counter((_co_player(episode), _column(columns, episode.game.get(name) or 0)) for episode in trained)
        players = sorted({player for player, _ in counts})
        rows = {player: tuple(counts[player, column] / len(trained) for column in columns) for player in players}
        if rows:
            made.append(
                Table(f"{run.label}: share of the groups that were trained on, by co-player and {name}", tuple(columns), rows)
            )
    return made


def _trained(run: Run) -> Iterator[Episode]:
    """The first episode of every group that was trained on, of recorded iterations."""
    files = sorted((run.path / "episodes").glob("[0-9]*.jsonl.gz"))
    for file in files[:: max(1, -(-len(files) // FILES))]:
        seen: set[int] = set()
        for episode in finished(file):
            if any(episode.learners) and episode.group not in seen:
                seen.add(episode.group)
                yield episode


def _co_player(episode: Episode) -> str:
    """Who sat opposite the learner."""
    trained = next(policy for policy, learner in zip(episode.policies, episode.learners, strict=True) if learner)
    others = [policy for policy in episode.policies if policy != trained]
    if not others:
        return "present"
    return others[0].name if others[0].kind == "script" else "kept"


def _columns(how: Any) -> dict[str, Any]:
    """The values that a parameter can have, by their heads: choices, or parts of a range; {} where there are many or none."""
    if not isinstance(how, Mapping):
        return {}
    if isinstance(choices := how.get("choices"), list) and len(choices) <= MOST:
        return {_shown(choice): choice for choice in choices}
    ends = how.get("range")
    if isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, int | float) for end in ends):
        low, high = ends
        edges = [low + (high - low) * part / PARTS for part in range(PARTS + 1)]
        return {f"{edges[part]:g} to {edges[part + 1]:g}": (edges[part], edges[part + 1]) for part in range(PARTS)}
    return {}


def _column(columns: Mapping[str, Any], value: Any) -> str:
    """The head of the column to which a value belongs; "" for none. A record leaves out parameters that are not set: 0, or none."""
    for head, known in columns.items():
        inside = isinstance(known, tuple) and isinstance(value, int | float) and known[0] <= value <= known[1]
        if inside or known == value or not (known or value):
            return head
    return ""


def _shown(choice: Any) -> str:
    return choice if isinstance(choice, str) else json.dumps(choice)
