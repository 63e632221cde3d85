"""The learning results of docs/results.md: a game on pocket, every algorithm, three seeds.

    python experiments/results.py ipd|split_no_comm|trust_and_split [--runs DIR] [--jobs 2] [key=value ...]
    python experiments/results.py trust_and_split --arm reinforce --arm sum_of_rewards --seed 0     # some of them

A sweep (docs/sweeps.md) in runs/results/PRESET with an arm for each algorithm: trains what is not finished, then prints Markdown
tables: mean with its 95 % interval over training seeds and, in brackets, minimum to maximum; the share of seeds with each verdict,
with Wilson's interval; and each seed. Their last row is a scripted strategy in the learner's place, evaluated on the same game
seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import detente
from detente.config import load
from detente.evaluation.final import evaluate, flat
from detente.evaluation.statistics import over_seeds, share
from detente.policies import Policies
from detente.records import PolicyRef

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
MATRIX = {  # heads of the tables, and columns of the outcomes
    "self-play": "self_play/reward",
    "P(C) start": "cooperate_given/start",
    "CC": "cooperate_given/CC",
    "CD": "cooperate_given/CD",
    "DC": "cooperate_given/DC",
    "DD": "cooperate_given/DD",
    "vs always_defect": "vs/always_defect/reward",
    "it gets": "vs/always_defect/opponent_reward",
    "vs always_cooperate": "vs/always_cooperate/reward",
    "vs tit_for_tat": "vs/tit_for_tat/reward",
}
SPLITTING = {
    "efficiency": "self_play/efficiency",
    "self-play": "self_play/reward",
    "asks of the higher": "self_play/ask_higher",
    "of the lower": "self_play/ask_lower",
    "after fair": "reciprocity/fair/ask_lower",
    "after greedy": "reciprocity/greedy/ask_lower",
    "vs greedy": "vs/greedy/reward",
    "greedy gets": "vs/greedy/opponent_reward",
    "vs welfare": "vs/welfare/reward",
    "welfare gets": "vs/welfare/opponent_reward",
}
TALK = {"truthful": "self_play/truthfulness", "believed": "self_play/believed"}
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


def run_name(arm: str) -> str:
    """What an arm is called in the names of its run folders."""
    return arm.replace(", ", "-")


def scripted(preset: str, seed: int, overrides: list[str]) -> dict[str, Any]:
    """The outcome of a learner that plays like the strategy of IDEAL."""
    config = load(preset, [f"seed={seed}", *overrides])
    policies = Policies.of(config)
    present = dict.fromkeys(config.learner_names, PolicyRef("script", IDEAL[preset]))
    outcome = evaluate(config, policies.game, policies, present, config.iterations, lambda _: None)
    return {name.removeprefix("eval/main/"): value for name, value in flat(outcome).items()}


def cell(values: list[float | None]) -> str:
    """Mean [interval over seeds] (minimum to maximum); a dash where no seed ever saw the state."""
    known = [v for v in values if v is not None]
    return f"{over_seeds(known)} ({min(known):.2f} to {max(known):.2f})" if known else "-"


def verdicts(rows: list[dict[str, Any]]) -> str:
    """``reciprocator 1.00 [0.44, 1.00]``: the share of the seeds whose run earns a word, with its interval."""
    words = Counter(row["verdict"] or "no verdict" for row in rows)
    return ", ".join(f"{word} {share(count, len(rows))}" for word, count in words.most_common())


def main() -> None:
    """Train every arm and print the tables."""
    parser = argparse.ArgumentParser(description="Train every arm and print the tables.")
    parser.add_argument("preset", choices=COLUMNS)
    parser.add_argument("--arm", action="append", choices=[*ARMS, LIARS], help="only this one; may be repeated")
    parser.add_argument("--seed", action="append", type=int, help=f"in place of {', '.join(map(str, SEEDS))}; may be repeated")
    parser.add_argument("--runs", type=Path, help="default: runs/results/PRESET")
    parser.add_argument("--outcomes", type=Path, help="outcomes.parquet whose runs count as done; default: that of the folder")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time, one thread each")
    parser.add_argument("overrides", nargs="*", help="options for every run")
    given = parser.parse_intermixed_args()
    columns, arms, seeds = COLUMNS[given.preset], given.arm or arms_of(given.preset), given.seed or SEEDS
    if not {*arms} <= {*arms_of(given.preset)}:
        parser.error(f"{given.preset} has the arms {'; '.join(arms_of(given.preset))}")
    try:
        rows = detente.sweep(
            given.preset,
            given.overrides,
            given.runs or Path("runs/results") / given.preset,
            arms={run_name(arm): options(given.preset, arm) for arm in arms},
            seeds=seeds,
            jobs=given.jobs,
            outcomes=given.outcomes,
        )
    except detente.UserError as error:
        sys.exit(str(error))
    by_name = {(row["arm"], row["seed"]): row for row in rows}
    results = {(arm, seed): by_name[run_name(arm), seed] for arm in arms for seed in seeds}
    ideal = f"{IDEAL[given.preset]} (scripted)"
    results |= {(ideal, seed): scripted(given.preset, seed, given.overrides) for seed in seeds}
    print("| algorithm | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for arm in (*arms, ideal):
        print(f"| {arm} | " + " | ".join(cell([results[arm, s].get(name) for s in seeds]) for name in columns.values()) + " |")
    print("\nShare of seeds with a verdict:\n\n| algorithm | share |\n|---|---|")
    for arm in arms:
        print(f"| {arm} | {verdicts([results[arm, seed] for seed in seeds])} |")
    print("\nPer seed:\n\n| algorithm | seed | " + " | ".join(columns) + " |\n|---|---|" + "---|" * len(columns))
    for arm in (*arms, ideal):
        for seed in seeds:
            values = [results[arm, seed].get(name) for name in columns.values()]
            print(f"| {arm} | {seed} | " + " | ".join("-" if v is None else f"{v:.2f}" for v in values) + " |")


if __name__ == "__main__":
    main()
