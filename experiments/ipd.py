"""The learning results of docs/results.md: the prisoner's dilemma on pocket, every algorithm, three seeds.

    python experiments/ipd.py [--runs runs/results/ipd] [--jobs 2] [key=value ...]

Trains what is not finished (each run resumes), then prints the table in Markdown: mean over seeds, and least to greatest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SEEDS = (0, 42, 1337)
ARMS = {
    "reinforce": ["algorithm=reinforce"],
    "sum_of_rewards": ["algorithm=sum_of_rewards"],
    "advantage_alignment, causal": ["algorithm=advantage_alignment", "credit.shaping=causal"],
    "advantage_alignment, returns": ["algorithm=advantage_alignment", "credit.shaping=returns"],
}
Column = Callable[[dict[str, Any]], float | None]
COLUMNS: dict[str, Column] = {
    "self-play": lambda r: r["self_play"]["reward"],
    "P(C) start": lambda r: r["cooperate_given"]["start"],
    "CC": lambda r: r["cooperate_given"]["CC"],
    "CD": lambda r: r["cooperate_given"]["CD"],
    "DC": lambda r: r["cooperate_given"]["DC"],
    "DD": lambda r: r["cooperate_given"]["DD"],
    "vs always_defect": lambda r: r["against"]["always_defect"]["reward"],
    "it gets": lambda r: r["against"]["always_defect"]["opponent_reward"],
    "vs always_cooperate": lambda r: r["against"]["always_cooperate"]["reward"],
    "vs tit_for_tat": lambda r: r["against"]["tit_for_tat"]["reward"],
}


def train(run: Path, options: list[str]) -> Path:
    """Train to the end unless the run has its summary."""
    if not (run / "summary.json").exists():
        command = [sys.executable, "-m", "detente.cli", "train", "ipd", *options, "--run", str(run)]
        run.parent.mkdir(parents=True, exist_ok=True)
        with run.with_suffix(".log").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    return run


def cell(values: list[float | None]) -> str:
    """Mean over seeds (least to greatest); a dash where a seed never saw the state."""
    known = [v for v in values if v is not None]
    if not known:
        return "-"
    return f"{sum(known) / len(known):.2f} ({min(known):.2f} to {max(known):.2f})"


def main() -> None:
    """Train every arm and print the table."""
    parser = argparse.ArgumentParser(description="Train every arm and print the table.")
    parser.add_argument("--runs", type=Path, default=Path("runs/results/ipd"))
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time, one thread each")
    parser.add_argument("overrides", nargs="*", help="options for every run")
    given = parser.parse_args()
    plan = {(arm, seed): given.runs / f"{arm.replace(', ', '-')}-seed{seed}" for seed in SEEDS for arm in ARMS}
    with ThreadPoolExecutor(given.jobs) as pool:
        for (arm, seed), run in plan.items():
            pool.submit(train, run, [*ARMS[arm], f"seed={seed}", "threads=1", *given.overrides])
    print("| algorithm | " + " | ".join(COLUMNS) + " |\n|---|" + "---|" * len(COLUMNS))
    for arm in ARMS:
        results = [json.loads((plan[arm, seed] / "summary.json").read_text())["learners"]["main"] for seed in SEEDS]
        print(f"| {arm} | " + " | ".join(cell([column(r) for r in results]) for column in COLUMNS.values()) + " |")
    print("\nPer seed:\n\n| algorithm | seed | " + " | ".join(COLUMNS) + " |\n|---|---|" + "---|" * len(COLUMNS))
    for (arm, seed), run in sorted(plan.items(), key=lambda item: list(ARMS).index(item[0][0])):
        result = json.loads((run / "summary.json").read_text())["learners"]["main"]
        values = [column(result) for column in COLUMNS.values()]
        print(f"| {arm} | {seed} | " + " | ".join("-" if v is None else f"{v:.2f}" for v in values) + " |")


if __name__ == "__main__":
    main()
