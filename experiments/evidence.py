"""The experiments behind the claims of docs/results.md, each one command, its question and its rule written before its runs.

    python experiments/evidence.py forms [--jobs 2] [--seeds 0:2]     # trains what has no row yet, then prints and draws what came
    python experiments/evidence.py forms --dry-run                    # the runs, and how long they take
    python experiments/evidence.py                                    # every question, and how many of its runs are done

A run is done when its row is in docs/results/NAME.parquet, whether its folder (runs/evidence/NAME/...) is there or not. Seeds up
to 99 are for choosing settings, those from 100 on are held out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detente.cli.terminal import explain, whole_numbers
from detente.errors import UserError
from detente.sweeps import outcomes as results
from detente.sweeps.description import read
from detente.sweeps.grid import planned
from detente.sweeps.runs import ASKED, failures

KEPT = Path("docs/results")
HELD_OUT = range(100, 112)
BETAS = (0.25, 0.5, 1, 2, 4)
AA, REINFORCE = "algorithm=advantage_alignment", "algorithm=reinforce"
PLAIN_RETURNS = (AA, "credit.shaping=returns", "credit.beta=0.5", "credit.first_round_bonus=0")  # the paper's form and beta in ipd
FORMS = {
    "causal": [AA, "credit.shaping=causal"],
    "returns": [AA, "credit.shaping=returns"],
    "critic, lambda 0": [AA, "credit.shaping=returns", "credit.weight_baseline=critic", "credit.weight_lambda=0"],
    "critic, lambda .95": [AA, "credit.shaping=returns", "credit.weight_baseline=critic", "credit.weight_lambda=0.95"],
}
SAME_AS_PAPER = (0, 42, 1337)
TRUST = ("game.name=trust_game", "model=pocket_groups", "credit.reward_divisor=20", "evaluation.every=0")
ENDS = {"advantage_alignment": [AA], "reinforce": [REINFORCE]}


@dataclass(frozen=True)
class Experiment:
    """A sweep with the question that it answers, and the rule by which it does."""

    question: str
    rule: str
    preset: str
    arms: Mapping[str, Sequence[str]]
    options: Sequence[str] = ()
    seeds: Iterable[int] = field(default_factory=lambda: range(5))
    before: str = ""  # a program of this folder that makes what the runs need


EXPERIMENTS = {
    "agents": Experiment(
        "Where do the three algorithms end in the prisoner's dilemma?",
        "reinforce: mutual defection, sum_of_rewards: exploitable, advantage_alignment: reciprocator, each on 4 seeds of 5 or more",
        "ipd",
        ENDS | {"sum_of_rewards": ["algorithm=sum_of_rewards"]},
        ["evaluation.every=0"],
    ),
    "bases": Experiment(
        "Do other base models end in the same place: blind to the last move, reacting the wrong way round, undecided?",
        "advantage_alignment: reciprocator from the wrong way round on 4 seeds of 5 or more; the others are told beside it",
        "ipd",
        {
            f"{base}, {arm}": [*options, f"model=runs/evidence/models/{base}"]
            for base in ("wrong", "blind", "undecided")
            for arm, options in ENDS.items()
        },
        ["evaluation.every=0"],
        before="bases.py",
    ),
    "bases_longer": Experiment(
        "Do those bases need time alone? Three times as many iterations.",
        "advantage_alignment: reciprocator on 4 seeds of 5 or more from each of the three",
        "ipd",
        {base: [AA, f"model=runs/evidence/models/{base}"] for base in ("wrong", "blind", "undecided")},
        ["iterations=240", "evaluation.every=0"],
        range(5, 10),
        before="bases.py",
    ),
    "forms": Experiment(
        "Which form of the shaping weight reciprocates, at which beta? All else as the preset has it.",
        "per form the beta with most seeds that reciprocate, then the most points in self-play, goes on to forms_held_out",
        "ipd",
        FORMS,
        [f"credit.beta={[*BETAS]}", "evaluation.every=0"],
        range(3),
    ),
    "labels": Experiment(
        "Does the rule depend on the labels, or on a known end?",
        "the same verdict in every cell on 4 seeds of 5 or more",
        "ipd",
        ENDS,
        ["game.counterbalance=[false,true]", "game.continuation=[null,.9]", "evaluation.every=0"],
    ),
    "pool": Experiment(
        "What do kept versions as opponents do?",
        "the share of reciprocators with and without them, intervals apart or not",
        "ipd",
        {"causal": FORMS["causal"], "returns, beta .5": PLAIN_RETURNS},
        ["opponents.kept=[0,.25,.5]", "evaluation.every=0"],
    ),
    "pool_talk": Experiment(
        "The same in Trust-and-Split.",
        "efficiency, and points left to greedy",
        "trust_and_split",
        {"causal": FORMS["causal"]},
        ["opponents.kept=[0,.25]"],
        range(3),
    ),
    "baseline": Experiment(
        "What does the baseline within a group bring, where hands differ from game to game?",
        "efficiency at the end, and the iteration at which it passes .9",
        "split_no_comm",
        ENDS,
        ["credit.baseline=[group,batch]"],
    ),
    "weights": Experiment(
        "Do two learners with weights of their own reciprocate, and does a naive learner beside one end cooperating?",
        "both reciprocate on 4 seeds of 5 or more; the naive one cooperates in more than half of the rounds",
        "ipd",
        {
            "two advantage_alignment": [AA, "seats=[left,right]", "learners.left={}", "learners.right={}"],
            "advantage_alignment beside reinforce": [AA, "seats=[main,naive]", f"learners.naive.{REINFORCE}"],
        },
        ["evaluation.every=0"],
    ),
    "decoding": Experiment(
        "Does it matter that answers are constrained to the choices?",
        "the same verdict in every cell on 4 seeds of 5 or more",
        "ipd",
        ENDS,
        ["answer.decoding=[constrained,retry,free]", "evaluation.every=0"],
    ),
    "smollm2": Experiment(
        "Does a public language model end where pocket does? (Options were chosen on the seeds 42 and 1337.)",
        "reinforce: mutual defection, advantage_alignment: reciprocator, told for each seed; nothing is stopped early or run again",
        "ipd_smollm2",
        ENDS,
        ["game.rounds=5"],
    ),
    "smollm2_six": Experiment(
        "Over six rounds, where a first defection costs something, does it on seeds that chose nothing?",
        "reinforce: mutual defection, advantage_alignment: reciprocator, each on 4 seeds of 5 or more; nothing is run again",
        "ipd_smollm2",
        ENDS,
        ["game.rounds=6"],
        range(5, 10),
    ),
    "smollm2_variants": Experiment(
        "The same over ten rounds, with labels that change, with an open end, and in the paper's form: one seed each.",
        "what comes out is told as one seed; it decides nothing",
        "ipd_smollm2",
        {
            f"{arm}, {name}": [*options, change]
            for name, change in {
                "ten rounds": "game.rounds=10",
                "labels": "game.counterbalance=true",
                "open end": "game.continuation=.9",
            }.items()
            for arm, options in ENDS.items()
        }
        | {"returns, beta .5": PLAIN_RETURNS},
        seeds=range(1),
    ),
    "groups": Experiment(
        "Do three players of public goods go on giving, and what does one free rider among them get?",
        "on every seed reinforce ends giving at most half of what it gave, advantage_alignment gives at least 16 of 20 coins; one "
        "free_rider among its agents then gets at most 23.4 points, 65 % of full cooperation (detente arena public_goods --agents "
        "RUN,free_rider)",
        "public_goods",
        ENDS,
        seeds=SAME_AS_PAPER,
    ),
    **{
        f"groups_{name}": Experiment(
            f"Where do reinforce and advantage_alignment end in {words}?",
            "what comes out is told as one seed; it decides nothing",
            preset,
            ENDS,
            options,
            range(1),
        )
        for name, words, preset, options in (
            ("sanctions", "public goods of seven with institutions and sanctions", "public_goods_sanctions", ()),
            ("commons", "the commons", "commons", ()),
            ("trust", "the trust game", "ipd", TRUST),
            ("bargaining", "bargaining over a price", "bargaining", ()),
        )
    },
    "wide_pool": Experiment(
        "Is plain reinforce against a wide pool as robust as advantage_alignment, at the same number of tokens?",
        "self-play, always_defect, exact best response and floor beside those of the experiment agents",
        "ipd_pool",
        {"reinforce": [REINFORCE]},
    ),
}


def experiment(name: str) -> Experiment:
    """The experiment of this name; the held-out one has the betas that the outcomes of ``forms`` chose."""
    if name != "forms_held_out":
        return EXPERIMENTS[name]
    arms = {form: [*FORMS[form], f"credit.beta={beta}"] for form, beta in chosen(kept_rows("forms")).items()}
    return Experiment(
        "Which form of the shaping weight reciprocates on seeds that chose nothing, each at its best beta?",
        "causal and lambda 0 on 11 seeds of 12 or more, returns on 5 or fewer; else the claim that forms differ is withdrawn",
        "ipd",
        arms,
        ["iterations=150", "evaluation.every=0"],
        HELD_OUT,
    )


def chosen(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Per form the beta with most reciprocators, then the most points in self-play."""
    wanted = len(FORMS) * len({*EXPERIMENTS["forms"].seeds}) * len(BETAS)
    if len(rows) < wanted:
        raise UserError(f"The best beta of each form is known when all {wanted} runs of 'forms' are done, and {len(rows)} are.")

    def worth(form: str, beta: float) -> tuple[int, float]:
        cell = [row for row in rows if row["arm"] == form and row["credit.beta"] == beta]
        return sum(row["verdict"] == "reciprocator" for row in cell), sum(row["self_play/reward"] for row in cell)

    return {form: max(BETAS, key=lambda beta: worth(form, beta)) for form in FORMS}


def kept_rows(name: str) -> list[dict[str, Any]]:
    """The rows of an experiment that are kept in its outcome file."""
    file = KEPT / f"{name}.parquet"
    return [row for row in results.read(file).rows if row["status"] == "done"] if file.exists() else []


def words(name: str, what: Experiment, jobs: int, seeds: str | None, runs: Path, dry: bool) -> list[str]:
    """The command of a sweep that trains what is missing."""
    numbers = ",".join(map(str, what.seeds)) if seeds is None else seeds
    arms = [word for arm, options in what.arms.items() for word in ("--arm", f"{arm}: {' '.join(map(quoted, options))}")]
    file = KEPT / f"{name}.parquet"
    kept = ["--outcomes", str(file)] if file.exists() else []
    folder = ["--out", str(runs / name), "--jobs", str(jobs), *(["--dry-run"] if dry else [])]
    return ["sweep", what.preset, *what.options, "--seeds", numbers, *arms, *kept, *folder]


def quoted(option: str) -> str:
    """An option in an arm, which is divided as a shell divides words."""
    return f'"{option}"'


def keep(name: str, folder: Path) -> None:
    """Write what came of a sweep so far into its outcome file, whose rows stand for runs that are not in the folder."""
    KEPT.mkdir(parents=True, exist_ok=True)
    outcomes = results.collected(folder, read(folder / ASKED), kept_rows(name), failures(folder))
    results.write(outcomes, KEPT / f"{name}.parquet")


def overview() -> None:
    """Print every question, its rule, and how many of its runs are done."""
    for name, what in EXPERIMENTS.items():
        print(f"{name}: {what.question}\n    {what.rule}\n    {counted(name, what)}\n")


def counted(name: str, what: Experiment) -> str:
    """How many of its runs have a row."""
    runs = len(list(planned(what.preset, what.options, seeds=what.seeds, arms=what.arms).combinations()))
    return f"{len({row['run'] for row in kept_rows(name)})} of {runs} runs are done"


def main() -> int:
    """Train what is missing of an experiment, and keep its rows."""
    parser = argparse.ArgumentParser(description="The experiments behind the claims, each one command.")
    parser.add_argument("name", nargs="?", choices=[*EXPERIMENTS, "forms_held_out"], help="which one (unset: list them)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one thread each")
    parser.add_argument("--seeds", help="only some of its seeds, e.g. 0,1 or 0:3")
    parser.add_argument("--runs", type=Path, default=Path("runs/evidence"), help="where its run folders are")
    parser.add_argument("--dry-run", action="store_true", help="count the runs and stop")
    given = parser.parse_args()
    if given.name is None:
        overview()
        return 0
    try:
        what = experiment(given.name)
        if given.seeds is not None and not {*whole_numbers(given.seeds)} <= {*what.seeds}:
            raise UserError(f"The seeds of this experiment were named before: {', '.join(map(str, what.seeds))}.")
    except UserError as error:
        sentence, status = explain(error)
        print(sentence, file=sys.stderr)
        return status
    print(f"{what.question}\n{what.rule}")
    if given.dry_run and what.before:
        print(f"{counted(given.name, what)}; {what.before} makes the models that they need")
        return 0
    command = words(given.name, what, given.jobs, given.seeds, given.runs, given.dry_run)
    try:
        if what.before:
            subprocess.run([sys.executable, str(Path(__file__).with_name(what.before))], check=True)
        return subprocess.run([sys.executable, "-m", "detente.cli", *command], check=False).returncode
    except KeyboardInterrupt:
        return 130
    finally:
        if not given.dry_run and (given.runs / given.name / ASKED).exists():
            keep(given.name, given.runs / given.name)


if __name__ == "__main__":
    sys.exit(main())
