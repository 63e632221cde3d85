"""The full tables of experiments/evidence.py and experiments/held_out.py, as Markdown.

    python experiments/tables.py [NAME ...]      # docs/results/NAME.parquet ──> docs/results/NAME.md; default: all that are there

Over seeds: the mean with its t interval, and the share of runs that a verdict was given, with Wilson's. Then every run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import evidence
import held_out

from detente.games.roles import in_role
from detente.sweeps import outcomes as results
from detente.sweeps.table import summary

HEADS = {  # measures -> their columns; those that were not measured are left out
    "self_play/reward": "self-play",
    "self_play/efficiency": "efficiency",
    "cooperate_given/start": "P(C) start",
    "cooperate_given/CC": "CC",
    "cooperate_given/CD": "CD",
    "cooperate_given/DC": "DC",
    "cooperate_given/DD": "DD",
    "vs/always_defect/reward": "vs always_defect",
    "vs/always_defect/opponent_reward": "it gets",
    "vs/greedy/reward": "vs greedy",
    "vs/greedy/opponent_reward": "greedy gets",
    "vs/always_cooperate/reward": "vs always_cooperate",
    "vs/tit_for_tat/reward": "vs tit_for_tat",
    "self_play/contribution": "gives, self-play",
    "vs/free_rider/contribution": "gives to free_rider",
    "vs/free_rider/reward": "vs free_rider",
    "vs/free_rider/opponent_reward": "free_rider gets",
    "vs/giver/reward": "vs giver",
    "invalid": "invalid",
}


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *(f"| {' | '.join(line)} |" for line in lines)])


def bounded(estimate: Mapping[str, Any]) -> str:
    """``2.81 [2.58, 3.04]``."""
    ends = "" if estimate["low"] is None else f" [{estimate['low']:.2f}, {estimate['high']:.2f}]"
    return f"{estimate['mean']:.2f}{ends}"


def over_seeds(content: Mapping[str, Any], measures: Sequence[str]) -> str:
    """A line per setting and learner."""
    lines = []
    for setting in content["settings"]:
        verdicts = ", ".join(f"{word} {bounded(share)}" for word, share in setting["verdicts"].items())
        known = setting["measures"]
        cells = [bounded(known[name]) if name in known else "-" for name in measures]
        lines.append([setting["label"], setting["agent"], str(len(setting["seeds"])), verdicts, *cells])
    return table(["setting", "learner", "seeds", "verdicts", *(HEADS[name] for name in measures)], lines)


def every_run(outcomes: results.Outcomes, measures: Sequence[str]) -> str:
    """A line per run and learner."""
    lines = []
    for row in outcomes.rows:
        if row["status"] == "done":
            cells = ["-" if row[name] is None else f"{row[name]:.2f}" for name in measures]
            learner = in_role(row["learner"], row["role"] or "")
            lines.append([row["run"], learner, row["verdict"] or "-", f"{row['seconds']:.0f}", *cells])
    return table(["run", "learner", "verdict", "seconds", *(HEADS[name] for name in measures)], lines)


def page(name: str) -> str:
    """All that is known of an experiment."""
    what = evidence.experiment(name)
    outcomes = results.read(evidence.KEPT / f"{name}.parquet")
    content = summary(outcomes)
    measures = [measure for measure in HEADS if measure in outcomes.measures]
    done = content["runs"].get("done", 0)
    models = {row["model"] for row in outcomes.rows if row["model"]}
    about = [
        f"# {name}",
        f"{what.question} Preset `{what.preset}`; base model {', '.join(sorted(models))}.",
        f"The rule, before the runs: {what.rule}.",
        f"`python experiments/evidence.py {name}` trains what is missing; {done} of {sum(content['runs'].values())} runs are done. "
        "Points per round (`self-play` of a run with two learners: each with the other); P(C) after the last joint move, one's own "
        "first; 95 % intervals over seeds.",
    ]
    return "\n\n".join([*about, over_seeds(content, measures), "Every run:", every_run(outcomes, measures)]) + "\n"


def held_out_page() -> str:
    """The ranks of agents among strategies that nobody trained against."""
    rows = held_out.kept()
    about = " ".join((held_out.__doc__ or "").split("\n\n")[2].split())
    command = "`python experiments/held_out.py` plays and measures agents that have no row yet."
    return "\n\n".join(["# held_out", about, command, held_out.verdicts(rows), held_out.table(rows)]) + "\n"


def main() -> int:
    """Write the page of each name."""
    there = sorted(file.stem for file in evidence.KEPT.glob("*.parquet"))
    wanted = sys.argv[1:] or there
    if unknown := [name for name in wanted if name not in there]:
        print(f"There is no {evidence.KEPT / unknown[0]}.parquet; there are {', '.join(there)}.", file=sys.stderr)
        return 2
    for name in wanted:
        file = Path(evidence.KEPT / f"{name}.md")
        file.write_text(held_out_page() if name == "held_out" else page(name), encoding="utf-8")
        print(f"Wrote {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
