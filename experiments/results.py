"""The learning results of docs/results.md: a game on pocket, every algorithm, three seeds.

    python experiments/results.py ipd|split_no_comm|trust_and_split [--runs DIR] [--jobs 2] [key=value ...]
    python experiments/results.py trust_and_split --arm reinforce --arm sum_of_rewards --seed 0     # some of them

Trains what is not finished (each run resumes), then prints Markdown tables: mean with its 95 % interval over training seeds and, in
brackets, minimum to maximum; the share of seeds with each verdict, with Wilson's interval; and each seed.
Their last row is a scripted strategy in the learner's place, evaluated on the same game seeds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from detente.config import load
from detente.evaluation.final import evaluate
from detente.evaluation.statistics import over_seeds, share
from detente.policies import Policies
from detente.records import PolicyRef
from detente.reports.run import read_runs

SEEDS = (0, 42, 1337)
ARMS = {
    "reinforce": ["algorithm=reinforce"],
    "sum_of_rewards": ["algorithm=sum_of_rewards"],
    "advantage_alignment, causal": ["algorithm=advantage_alignment", "credit.shaping=causal"],
    "advantage_alignment, returns": ["algorithm=advantage_alignment", "credit.shaping=returns"],
}
LIARS = "advantage_alignment, causal, liars"  # the preset trust_and_split as it is; all other arms meet no scripts
PLAIN = ["credit.reward_divisor=100", "credit.clip=null", "credit.first_round_bonus=0"]
PAPER = {  # what belongs to the paper's weight (arXiv 2511.19405) where the preset has other values
    "ipd": [],
    "split_no_comm": [*PLAIN, "credit.beta=1", "credit.beta_final=1"],
    "trust_and_split": [*PLAIN, "credit.beta=2", "credit.beta_final=2"],
}
Column = Callable[[dict[str, Any]], float | None]


def measured(*path: str) -> Column:
    """What lies at this path of a learner's summary; None where it is missing."""

    def column(result: dict[str, Any]) -> float | None:
        found: Any = result
        for key in path:
            found = (found or {}).get(key)
        return found  # type: ignore[no-any-return]

    return column


MATRIX = {
    "self-play": measured("self_play", "reward"),
    "P(C) start": measured("cooperate_given", "start"),
    "CC": measured("cooperate_given", "CC"),
    "CD": measured("cooperate_given", "CD"),
    "DC": measured("cooperate_given", "DC"),
    "DD": measured("cooperate_given", "DD"),
    "vs always_defect": measured("against", "always_defect", "reward"),
    "it gets": measured("against", "always_defect", "opponent_reward"),
    "vs always_cooperate": measured("against", "always_cooperate", "reward"),
    "vs tit_for_tat": measured("against", "tit_for_tat", "reward"),
}
SPLITTING = {
    "efficiency": measured("self_play", "efficiency"),
    "self-play": measured("self_play", "reward"),
    "asks of the higher": measured("self_play", "ask_higher"),
    "of the lower": measured("self_play", "ask_lower"),
    "after fair": measured("reciprocity", "fair", "ask_lower"),
    "after greedy": measured("reciprocity", "greedy", "ask_lower"),
    "vs greedy": measured("against", "greedy", "reward"),
    "greedy gets": measured("against", "greedy", "opponent_reward"),
    "vs welfare": measured("against", "welfare", "reward"),
    "welfare gets": measured("against", "welfare", "opponent_reward"),
}
TALK = {
    "truthful": measured("self_play", "truthfulness"),
    "believed": measured("self_play", "believed"),
}
COLUMNS = {"ipd": MATRIX, "split_no_comm": SPLITTING, "trust_and_split": SPLITTING | TALK}
IDEAL = {"ipd": "tit_for_tat", "split_no_comm": "reciprocator", "trust_and_split": "reciprocator"}


def options(preset: str, arm: str) -> list[str]:
    """What this arm changes in the preset."""
    if arm == LIARS:
        return [*ARMS["advantage_alignment, causal"]]
    alone = ["opponents.scripted=0", "opponents.scripts=[]"] if preset == "trust_and_split" else []
    return [*ARMS[arm], *alone, *(PAPER[preset] if arm.endswith("returns") else [])]


def arms_of(preset: str) -> list[str]:
    """The arms of a preset."""
    return [*ARMS, *([LIARS] if preset == "trust_and_split" else [])]


def train(preset: str, run: Path, options: list[str]) -> Path:
    """Train to the end unless the run has its summary."""
    if not (run / "summary.json").exists():
        command = [sys.executable, "-m", "detente.cli", "train", preset, *options, "--run", str(run)]
        run.parent.mkdir(parents=True, exist_ok=True)
        with run.with_suffix(".log").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    return run


def scripted(preset: str, seed: int, overrides: list[str]) -> dict[str, Any]:
    """The summary of a learner that plays like the strategy of IDEAL."""
    config = load(preset, [f"seed={seed}", *overrides])
    policies = Policies.of(config)
    present = dict.fromkeys(config.learner_names, PolicyRef("script", IDEAL[preset]))
    return evaluate(config, policies.game, policies, present, config.iterations, lambda _: None)["main"]


def cell(values: list[float | None]) -> str:
    """Mean [interval over seeds] (minimum to maximum); a dash where no seed ever saw the state."""
    known = [v for v in values if v is not None]
    return f"{over_seeds(known)} ({min(known):.2f} to {max(known):.2f})" if known else "-"


def verdicts(runs: list[Path]) -> str:
    """``reciprocator 1.00 [0.44, 1.00]``: the share of the seeds whose run earns a word, with its interval."""
    words = [run.known.reading.verdict(run.result("main")) for run in read_runs(runs)]
    return ", ".join(f"{word or 'no verdict'} {share(count, len(words))}" for word, count in Counter(words).most_common())


def main() -> None:
    """Train every arm and print the tables."""
    parser = argparse.ArgumentParser(description="Train every arm and print the tables.")
    parser.add_argument("preset", choices=COLUMNS)
    parser.add_argument("--arm", action="append", choices=[*ARMS, LIARS], help="only this one; may be repeated")
    parser.add_argument("--seed", action="append", type=int, help=f"in place of {', '.join(map(str, SEEDS))}; may be repeated")
    parser.add_argument("--runs", type=Path, help="default: runs/results/PRESET")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time, one thread each")
    parser.add_argument("overrides", nargs="*", help="options for every run")
    given = parser.parse_args()
    folder = given.runs or Path("runs/results") / given.preset
    columns, arms, seeds = COLUMNS[given.preset], given.arm or arms_of(given.preset), given.seed or SEEDS
    if not {*arms} <= {*arms_of(given.preset)}:
        parser.error(f"{given.preset} has the arms {'; '.join(arms_of(given.preset))}")
    plan = {(arm, seed): folder / f"{arm.replace(', ', '-')}-seed{seed}" for seed in seeds for arm in arms}
    with ThreadPoolExecutor(given.jobs) as pool:
        running = [
            pool.submit(train, given.preset, run, [*options(given.preset, arm), f"seed={seed}", "threads=1", *given.overrides])
            for (arm, seed), run in plan.items()
        ]
    for one in running:
        one.result()  # raises what a run raised
    results = {key: json.loads((run / "summary.json").read_text())["learners"]["main"] for key, run in plan.items()}
    ideal = f"{IDEAL[given.preset]} (scripted)"
    results |= {(ideal, seed): scripted(given.preset, seed, given.overrides) for seed in seeds}
    print("| algorithm | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for arm in (*arms, ideal):
        print(f"| {arm} | " + " | ".join(cell([column(results[arm, s]) for s in seeds]) for column in columns.values()) + " |")
    print("\nShare of seeds with a verdict:\n\n| algorithm | share |\n|---|---|")
    for arm in arms:
        print(f"| {arm} | {verdicts([plan[arm, seed] for seed in seeds])} |")
    print("\nPer seed:\n\n| algorithm | seed | " + " | ".join(columns) + " |\n|---|---|" + "---|" * len(columns))
    for arm in (*arms, ideal):
        for seed in seeds:
            values = [column(results[arm, seed]) for column in columns.values()]
            print(f"| {arm} | {seed} | " + " | ".join("-" if v is None else f"{v:.2f}" for v in values) + " |")


if __name__ == "__main__":
    main()
