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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from questions import BETAS, EXPERIMENTS, FORMS, HELD_OUT, Experiment

from detente.cli.terminal import explain, whole_numbers
from detente.errors import UserError
from detente.sweeps import outcomes as results
from detente.sweeps.description import read
from detente.sweeps.grid import planned
from detente.sweeps.runs import ASKED, failures

KEPT = Path("docs/results")


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
