"""From outcomes to the content of sweep.json: estimates over seeds for every setting, a cross table, and what pictures show.

    rows ── by setting (all that is swept but the seed), learner and role ──> t intervals over seeds, Wilson's for verdicts

A setting's estimate says what another seed could bring. A cell of a cross table, or a point of a picture, that holds several
settings is the mean of theirs, and its interval says how well that mean is known for these settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from detente.errors import UserError, unknown
from detente.evaluation.statistics import Estimate, over_seeds, share, stratified
from detente.games import MEASURES
from detente.games.roles import in_role
from detente.sweeps.grid import SEED, label, text
from detente.sweeps.outcomes import Outcomes, Row, order
from detente.sweeps.runs import DONE

MEASURE = "self_play/reward"
LINES = 6  # in a panel; of more settings only the mean is drawn
NO_VERDICT = "no verdict"


def summary(outcomes: Outcomes, measure: str | None = None, rows: str | None = None, columns: str | None = None) -> dict[str, Any]:
    """The content of sweep.json. UserError for an option that is not swept, for a measure that there is not, and without any run
    that is done."""
    done = [row for row in outcomes.rows if row["status"] == DONE]
    if not done:
        raise UserError("No run of this sweep is done yet; the command that began it goes on with it.")
    shown = measure or (MEASURE if MEASURE in outcomes.measures else next(iter(outcomes.measures), MEASURE))
    if shown not in outcomes.measures:
        raise unknown("measure", shown, outcomes.measures)
    options = [axis for axis in outcomes.sweep["swept"] if axis != SEED]
    agents = list(dict.fromkeys((row["learner"], row["role"]) for row in done))
    by_agent = {_agent(*agent): [row for row in done if (row["learner"], row["role"]) == agent] for agent in agents}
    crossed = _axes(outcomes, rows, columns)
    return {
        "preset": outcomes.sweep["preset"],
        "options": dict(outcomes.sweep["options"]),
        "arms": outcomes.sweep["arms"],
        "swept": options,
        "runs": dict(Counter({row["run"]: row["status"] for row in outcomes.rows}.values())),
        "not_done": {row["run"]: row["status"] for row in outcomes.rows if row["status"] != DONE},
        "measure": shown,
        "settings": [line for agent, own in by_agent.items() for line in _settings(agent, own, options, outcomes.measures)],
        "tables": [_crossed(agent, own, options, shown, *crossed) for agent, own in by_agent.items() if crossed],
        "panels": [_panel(agent, own, options, shown, option) for agent, own in by_agent.items() for option in options],
    }


def _agent(learner: str, role: str | None) -> str:
    return in_role(learner, role or "")


def _axes(outcomes: Outcomes, rows: str | None, columns: str | None) -> tuple[str, str | None] | tuple[()]:
    """What the rows and columns of a cross table are, if one is asked for."""
    swept = outcomes.sweep["swept"]
    for name in (rows, columns):
        if name is not None and name not in swept:
            raise unknown("swept option", name, swept)
    if rows is None and columns is None:
        return ()
    if rows == columns:
        raise UserError(f"Rows and columns are two different options, not {rows} twice.")
    others = [axis for axis in swept if axis != columns]
    if rows is None and not others:
        raise UserError(f"{columns} is all that is swept; give it as --rows.")
    return (rows or others[0], columns)


def _values(rows: Iterable[Row], option: str) -> list[Any]:
    """Every value of an option in its order; what is null comes first."""
    return list(dict.fromkeys(row[option] for row in sorted(rows, key=lambda row: order(row[option]))))


def _grouped(rows: Iterable[Row], options: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """The rows by their values of these options, in the order of the rows."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[option] for option in options), []).append(row)
    return groups


def setting_label(options: Sequence[str], values: Sequence[Any]) -> str:
    """``credit.beta=0.25, credit.shaping=causal``."""
    return ", ".join(label(option, value) for option, value in zip(options, values, strict=True))


def _settings(agent: str, rows: Sequence[Row], options: Sequence[str], measures: Sequence[str]) -> list[dict[str, Any]]:
    """For every setting the mean of each measure over seeds, and how often each verdict came."""
    lines = []
    for values, own in _grouped(rows, options).items():
        words = Counter(row["verdict"] or NO_VERDICT for row in own)
        known = {name: [row[name] for row in own if row[name] is not None] for name in measures}
        lines.append(
            {
                "label": setting_label(options, values),
                "agent": agent,
                "values": dict(zip(options, values, strict=True)),
                "seeds": [row[SEED] for row in own],
                "measures": {name: within(name, over_seeds(numbers)).to_json() for name, numbers in known.items() if numbers},
                "verdicts": {word: share(count, len(own)).to_json() for word, count in words.most_common()},
            }
        )
    return lines


def within(measure: str, estimate: Estimate) -> Estimate:
    """The estimate with an interval that ends where the measure does: ``cooperate_given/CC`` and its like at 0 and 1."""
    parts = measure.split("/")
    known = next((MEASURES[part].bounds for part in (parts[0], parts[-1]) if part in MEASURES), None)
    if known is None or estimate.low is None or estimate.high is None:
        return estimate
    return replace(estimate, low=max(known[0], estimate.low), high=min(known[1], estimate.high))


def _pooled(rows: Sequence[Row], options: Sequence[str], measure: str) -> dict[str, Any] | None:
    """The mean over settings of their means over seeds; None where nothing was measured."""
    settings = [[row[measure] for row in own if row[measure] is not None] for own in _grouped(rows, options).values()]
    strata = [[[value] for value in values] for values in settings if values]
    if not strata:
        return None
    pooled = within(measure, stratified(strata))
    return pooled.to_json() | {"settings": len(strata)}


def _crossed(
    agent: str, rows: Sequence[Row], options: Sequence[str], measure: str, down: str, across: str | None
) -> dict[str, Any]:
    """The cross table of a measure: rows and columns by their labels, cells with estimates or null."""
    heads = [None] if across is None else _values(rows, across)
    lines = []
    for value in _values(rows, down):
        cells = [
            _pooled([row for row in rows if row[down] == value and (across is None or row[across] == head)], options, measure)
            for head in heads
        ]
        lines.append({"label": label(down, value), "cells": cells})
    columns = [measure] if across is None else [label(across, head) for head in heads]
    return {"agent": agent, "measure": measure, "rows": down, "columns": columns, "lines": lines}


def _panel(agent: str, rows: Sequence[Row], options: Sequence[str], measure: str, option: str) -> dict[str, Any]:
    """A measure against an option: a line for every setting of the other options, or one for their mean where they are many."""
    others = [name for name in options if name != option]
    values = _values(rows, option)
    groups = _grouped(rows, others)
    lines: Mapping[str, Sequence[Row]] = {setting_label(others, key): own for key, own in groups.items()}
    if len(groups) > LINES:
        lines = {f"mean over {len(groups)} settings": rows}
    return {
        "agent": agent,
        "option": option,
        "values": [text(value) for value in values],
        "lines": [
            {
                "label": name,
                "estimates": [_pooled([row for row in own if row[option] == value], options, measure) for value in values],
            }
            for name, own in lines.items()
        ],
    }
