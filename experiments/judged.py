"""Solving, evaluating and scoring each other's answers, with no other reward (after CoMAS, Xue et al., 2025).

    python experiments/judged.py          # pocket: four learners on three seats; the same without evaluation, and without scoring
    detente play experiments.judged:Judged --seats solve,random,judge_80

One question, a sum: the solver picks an answer, the evaluator says which it would have picked, and the scorer scores the solution
with <1>, <2> or <3>. Nobody is told the score, and nobody is paid for the truth, which only the record has. The learners change
seats by ``opponents.rotate``. The same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from detente import config, presets, train
from detente.cli.terminal import console, explain, hush
from detente.errors import UserError
from detente.games import Family, Measure, Observation, Step
from detente.games.sides import Scalars, Side, Tables, mean
from detente.progress import Progress

SOLVER, EVALUATOR, SCORER = range(3)
SCORES = {"<1>": 1, "<2>": 2, "<3>": 3}
WINDOW = 5  # iterations
ROW = "{:<20}{:<8}{:>8}{:>10}{:>11}{:>11}"
ARMS = {"whole": (), "without evaluation": ("game.evaluation=false",), "without scoring": ("game.scoring=false",)}
NAMES = ("ann", "bob", "cem", "dan")
OPTIONS = (
    *(f"seats=[{','.join(NAMES)}]", "opponents.rotate=true", "iterations=30", "episodes=96", "group_size=8", "loss.entropy=0.02"),
    *("optimizer.lr=1e-3", "lora.alpha=16", "evaluation.episodes=32", "evaluation.against=[]"),
    *(f"learners.{name}.lora.rank=8" for name in NAMES),
)


@dataclass(frozen=True)
class View:
    """What a script sees: the two numbers of the question, the answers to choose from, and what was said so far (None: nothing)."""

    numbers: tuple[int, int]
    answers: tuple[str, ...]
    solution: str | None
    evaluation: str | None


@dataclass(frozen=True)
class Judged:
    """A question of three seats. ``evaluation`` false: nobody evaluates; ``scoring`` false: nobody scores, and all score 3."""

    answers: int = 3
    evaluation: bool = True
    scoring: bool = True

    name = "experiments.judged:Judged"
    num_players = 3
    roles = ("solver", "evaluator", "scorer")
    symmetric = False
    reward_bounds = (-1.0, 1.0)
    family = "experiments.judged:FAMILY"

    def __post_init__(self) -> None:
        if not 2 <= self.answers <= 9:
            raise UserError(f"answers is how many there are to choose from, 2 to 9, not {self.answers}.")

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}

    def reset(self, rng: random.Random) -> View:
        first, second = rng.randint(10, 99), rng.randint(10, 99)
        wrong = rng.sample([step for step in range(-9, 10) if step], self.answers - 1)
        answers = [str(first + second + step) for step in (0, *wrong)]
        return View((first, second), tuple(rng.sample(answers, len(answers))), None, None)

    def to_act(self, state: View) -> tuple[int, ...]:
        evaluates = (EVALUATOR,) if state.evaluation is None and self.evaluation else ()
        return (SOLVER,) if state.solution is None else evaluates or ((SCORER,) if self.scoring else ())

    def observe(self, state: View, player: int) -> Observation:
        listed = ", ".join(state.answers)
        told = [f"What is {state.numbers[0]} + {state.numbers[1]}? It is one of {listed}."]
        told += [] if player == SOLVER or state.solution is None else [f"Another player answered {state.solution}."]
        told += [f"A third one would have answered {state.evaluation}."] if player == SCORER and state.evaluation else []
        asks = ("Your answer?", "Is that wrong? Your answer?", "Score the first answer: <1> wrong, <2> unclear, <3> right.")
        choices = tuple(SCORES) if player == SCORER else state.answers
        text = "\n".join([*told, asks[player]]) if player in self.to_act(state) else ""
        return Observation(text, state, "|".join(choices), choices, topic=("solution", "evaluation", "score")[player])

    def parse(self, state: View, player: int, text: str) -> Any:
        meanings: dict[str, Any] = SCORES if player == SCORER else {answer: answer for answer in state.answers}
        return meanings.get(text.strip())

    def default_action(self, state: View, player: int) -> str:
        return "none"

    def step(self, state: View, actions: Mapping[int, Any]) -> Step:
        state = replace(state, solution=actions.get(SOLVER, state.solution), evaluation=actions.get(EVALUATOR, state.evaluation))
        if SCORER in actions or not self.to_act(state):
            tau, truth = actions.get(SCORER, 3), str(sum(state.numbers))
            return Step(state, paid(tau, self.evaluation), True, {"truth": truth, "right": state.solution == truth, "tau": tau})
        return Step(state)


def paid(tau: int | str, evaluation: bool = True) -> tuple[float, float, float]:
    """What solver, evaluator and scorer get for a score; for one that is none the scorer alone pays."""
    return (0.0, 0.0, -1.0) if isinstance(tau, str) else ((tau - 1) / 2, (3 - tau) / 2 * evaluation, 0.0)


def judge(share: float) -> Any:
    """A scorer that is right in this share of its scores: <3> for a right answer, <1> for a wrong one."""

    def score(view: View, rng: random.Random) -> str:
        right = view.solution == str(sum(view.numbers))
        return "<3>" if right == (rng.random() < share) else "<1>"

    return score


def solve(view: View, rng: random.Random) -> str:
    """The right answer."""
    return str(sum(view.numbers))


def measure(game: Judged, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """How often solutions and evaluations are right, and how far scores agree with the truth, of the sides in these roles."""
    said = [(seat, turn.action, e.rounds[0].info) for e, seat in sides for turn in e.turns(seat)]
    solutions, evaluations = ([a == info["truth"] for p, a, info in said if p == seat] for seat in (SOLVER, EVALUATOR))
    scores = [agreement(action, info["right"]) for seat, action, info in said if seat == SCORER]
    return {"correct": mean(solutions), "evaluates": mean(evaluations), "agreement": mean(scores)}, {}


def agreement(score: int | str, right: bool) -> float:
    """1 where the score says the truth, 1/2 for a 2, else 0."""
    return 0.0 if isinstance(score, str) else (score - 1) / 2 if right else (3 - score) / 2


FAMILY = Family(
    name="judged",
    strategies={"judge": judge(1.0), "judge_80": judge(0.8), "judge_50": judge(0.5), "solve": solve},
    seats=lambda game, name: {"random": range(3), "solve": (SOLVER, EVALUATOR)}.get(name, (SCORER,)),
    measures=(
        Measure("correct", "the share of a solver's answers that are right", head="correct", bounds=(0, 1)),
        Measure("evaluates", "the share of an evaluator's answers that are right", head="evaluates", bounds=(0, 1)),
        Measure("agreement", "how far a scorer's scores agree with the truth", head="agreement", bounds=(0, 1)),
    ),
    measure=measure,
    outcome=lambda game, played, player, seed: "a question was answered",  # no score is told, and no points
)


def alarm(rewards: Sequence[float], agreements: Sequence[float], window: int = WINDOW) -> bool:
    """Whether solvers are paid almost all there is (mean reward above .95) while scores agree less with the truth than before."""
    now, before = agreements[-window:], agreements[-2 * window : -window]
    return bool(before) and fmean(rewards[-window:]) > 0.95 and fmean(now) < fmean(before)


def curves(run: Path) -> dict[str, list[float]]:
    """By iteration what solvers got, and the measures in the roles that they are of, means over the learners."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    roles = {"reward": "solver", "correct": "solver", "evaluates": "evaluator", "agreement": "scorer"}
    values = {key: [[line.get(f"role/{role}/{key}/{name}") for name in NAMES] for line in lines] for key, role in roles.items()}
    return {key: [fmean([v for v in row if v is not None] or [float("nan")]) for row in rows] for key, rows in values.items()}


def main(words: Sequence[str] | None = None) -> int:
    """Train what is not there yet, and print how solvers, evaluators and scorers did at first and at last."""
    parser = argparse.ArgumentParser(description="Learners that solve, evaluate and score each other's answers.")
    parser.add_argument("--out", type=Path, default=Path("runs/judged"), help="the folder of the runs (default: runs/judged)")
    parser.add_argument("options", nargs="*", metavar="key=value", help="options of the runs, e.g. iterations=10")
    given = parser.parse_args(words)
    hush()
    try:
        presets.check_free(given.options, ("game.name", "game.evaluation", "game.scoring", "seats", "opponents.rotate"))
        lines = [ROW.format("", "", "reward", "correct", "evaluates", "agreement")]
        for arm, own in ARMS.items():
            chosen = config.load_game(Judged.name, [*OPTIONS, *own, *given.options])
            with Progress(console(stderr=True)) as progress:
                by_iteration = curves(train(chosen, given.out / arm.replace(" ", "-"), watchers=[progress]))
            for when, part in {"first": slice(WINDOW), "last": slice(-WINDOW, None)}.items():
                means = (f"{fmean(values[part]):.2f}" for values in by_iteration.values())
                lines.append(ROW.format(arm, when, *("" if mean == "nan" else mean for mean in means)))
            if alarm(by_iteration["reward"], by_iteration["agreement"]):
                lines.append("Alarm: solvers get almost all there is, while scores agree less with the truth than before.")
        print("\n".join(lines))
    except (UserError, OSError, KeyboardInterrupt) as error:
        sentence, status = explain(error)
        print(sentence.replace("--run", "--out"), file=sys.stderr)
        return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
