"""Goals in a hidden circle, beside somebody who knows it: does a learner pick up what it sees? (after Ndousse et al., 2021)

    python experiments/goal_cycle.py      # pocket alone, beside an expert, beside one who is wrong, and beside either
    detente play experiments.goal_cycle:GoalCycle --seats human,expert

Learner and companion choose a goal at once. The first goal that a player chooses pays 1 point, then the goal pays that comes next
in the circle after the one that paid last; to choose that one again is to wait and pays nothing; every other costs the penalty. In
a ``share`` of the games the companion is told the circle, in the others a wrong one. The learner is shown what it chose, what it
got and its prestige. Each setting is trained with loss.observation 0 and --loss; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NamedTuple

import detente
from detente import config, presets
from detente.cli.terminal import explain, hush
from detente.errors import UserError, counted
from detente.games import Family, Observation, Step, make

NAME = "experiments.goal_cycle:GoalCycle"
SETTINGS = {"alone": "companion=hidden", "expert": "share=1.0", "wrong": "share=0.0", "mixed": "share=0.5"}
OPTIONS = "seats=[main,expert] episodes=32 group_size=8 optimizer.lr=1e-3 lora.rank=8 lora.alpha=16 evaluation.episodes=0"
Visit = tuple[int, float]  # the goal that was chosen, and what it paid
GOALS = ("<A>", "<B>", "<C>", "<D>", "<E>", "<F>")
RULES = """You are playing a game with the goals {goals}. They form a circle, in which one comes next after each of them.
In each of {visits} rounds you choose a goal. Your first goal pays 1 point. Then the goal that comes next after the one that paid
you last pays 1 point, that one again pays 0 points, and any other costs {penalty:g} points.
{company}Your goal: maximise your own total points over the whole game.
Answer with exactly one goal, and nothing else."""
SEEN = "Another player has its own place in the same circle and chooses at the same time. You see what it chose and what it got.\n"
CUE = "Its prestige grows with what it gets, fades, and is 0 after a loss.\n"


class View(NamedTuple):
    """What a player has seen: its visits, the other's and its prestige (None: hidden), and the circle it is told (or ())."""

    own: tuple[Visit, ...]
    other: tuple[Visit, ...] | None
    prestige: float | None
    circle: tuple[int, ...]


class State(NamedTuple):
    """The circle, what the companion takes for it, and what both chose in each round."""

    circle: tuple[int, ...]
    believed: tuple[int, ...]
    chosen: tuple[tuple[int, int], ...] = ()


def after(circle: Sequence[int], goal: int) -> int:
    """The goal that comes next."""
    return circle[(circle.index(goal) + 1) % len(circle)]


def visits(circle: Sequence[int], chosen: Sequence[int], penalty: float) -> tuple[Visit, ...]:
    """What each of a player's choices paid."""
    place, paid = None, []
    for goal in chosen:
        right = place is None or goal == after(circle, place)
        paid.append((goal, 1.0 if right else 0.0 if goal == place else -penalty))
        place = goal if right else place
    return tuple(paid)


def prestige(points: Sequence[float]) -> float:
    """c <- 0.95 c + max(r, 0), and 0 after a loss."""
    return reduce(lambda value, reward: 0.0 if reward < 0 else 0.95 * value + reward, points, 0.0)


@dataclass(frozen=True)
class GoalCycle:
    """``share`` of the games have a companion who knows the circle; ``companion``, ``prestige``: what the learner is shown."""

    goals: int = 4
    visits: int = 8
    penalty: float = 1.5
    share: float = 1.0
    companion: Literal["shown", "hidden"] = "shown"
    prestige: Literal["shown", "hidden"] = "shown"

    name = NAME
    family = "experiments.goal_cycle:FAMILY"
    num_players = 2
    symmetric = False
    roles = ("learner", "companion")

    def __post_init__(self) -> None:
        for name, (low, high) in {"goals": (3, len(GOALS)), "visits": (1, 1000), "penalty": (0, 1000), "share": (0, 1)}.items():
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} is a number from {low} to {high}, not {getattr(self, name)}.")

    @property
    def reward_bounds(self) -> tuple[float, float]:
        return -self.penalty, 1.0

    def parameters(self) -> dict[str, Any]:
        return {"name": NAME, **asdict(self)}

    def reset(self, rng: random.Random) -> State:
        circle = (0, *rng.sample(range(1, self.goals), self.goals - 1))
        return State(circle, circle if rng.random() < self.share else circle[::-1])

    def to_act(self, state: State) -> tuple[int, ...]:
        return (0, 1)

    def observe(self, state: State, player: int) -> Observation:
        own, other = (visits(state.circle, [both[p] for both in state.chosen], self.penalty) for p in (player, 1 - player))
        sees = player == 1 or self.companion == "shown"
        cue = prestige([points for _, points in other]) if sees and self.prestige == "shown" else None
        view = View(own, other if sees else None, cue, state.believed if player == 1 else ())
        choices = GOALS[: self.goals]
        return Observation(news(view) if own else self._rules(view), view, "|".join(choices), choices)

    def _rules(self, view: View) -> str:
        company = ("" if view.other is None else SEEN) + ("" if view.prestige is None else CUE)
        company += f"You are told their order: {', '.join(GOALS[goal] for goal in view.circle)}.\n" if view.circle else ""
        return RULES.format(goals=", ".join(GOALS[: self.goals]), visits=self.visits, penalty=self.penalty, company=company)

    def parse(self, state: State, player: int, text: str) -> int | None:
        return GOALS.index(text.strip()) if text.strip() in GOALS[: self.goals] else None

    def default_action(self, state: State, player: int) -> int:
        return 0

    def step(self, state: State, actions: Mapping[int, int]) -> Step:
        chosen = (*state.chosen, (actions[0], actions[1]))
        rewards = tuple(visits(state.circle, [both[p] for both in chosen], self.penalty)[-1][1] for p in (0, 1))
        return Step(state._replace(chosen=chosen), rewards, len(chosen) == self.visits)


def news(view: View) -> str:
    """What the last round brought."""
    last = [("You", view.own[-1])] + ([("The other", view.other[-1])] if view.other else [])
    told = [f"{who} chose {GOALS[goal]}: {points:g} points." for who, (goal, points) in last]
    return " ".join([*told, *([] if view.prestige is None else [f"Its prestige: {view.prestige:.1f}."])])


def expert(view: View, rng: random.Random) -> str:
    """Start anywhere and go round the circle that one is told."""
    return GOALS[after(view.circle, view.own[-1][0]) if view.own else rng.choice(view.circle)]


FAMILY = Family(name="goal cycle", strategies={"expert": expert}, seats=lambda _, name: (1,) if name == "expert" else (0, 1))


def row(setting: str, game: Any, loss: float, given: argparse.Namespace) -> str:
    """Train a learner and measure it: its line of the table."""
    run = given.out / f"{setting}-{loss:g}"
    own = (f"game={json.dumps(game.parameters())}", f"loss.observation={loss}", f"iterations={given.iterations}")
    chosen = config.load_game(NAME, [*OPTIONS.split(), *own, f"seed={given.seed}"])
    print(f"{run}: {counted(given.iterations, 'iteration')}", file=sys.stderr)
    detente.train(chosen, run)
    points = [line["reward/main"] * game.visits for line in detente.read_metrics(run)]
    cells = [fmean(points[:5]), fmean(points[-5:])]
    for share in (1.0, 0.0):
        episodes = detente.play(replace(game, share=share), [str(run), "expert"], seed=10**6, episodes=64)
        cells.append(fmean(episode.mean_reward(0) for episode in episodes) * game.visits)
    return f"{setting:<9}{loss:<6g}{cells[0]:>8.2f}{cells[1]:>8.2f}{cells[2]:>18.2f}{cells[3]:>20.2f}"


def main(words: Sequence[str] | None = None) -> int:
    """Train in every setting, and print the comparison."""
    parser = argparse.ArgumentParser(description="Does a learner pick up what it sees of an expert?")
    parser.add_argument("--iterations", type=int, default=30, help="of each training (default: 30)")
    parser.add_argument("--loss", type=float, default=0.1, help="loss.observation, compared with 0 (default: 0.1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/goal_cycle"), help="folder of the runs (default: runs/goal_cycle)")
    parser.add_argument("options", nargs="*", metavar="key=value", help="parameters of the game, e.g. goals=3 prestige=hidden")
    given = parser.parse_args(words)
    hush()
    try:
        presets.check_free(given.options, ("name", "share", "companion"))
        if not 0 < given.loss < 1e30 or given.iterations < 1:
            raise UserError("--loss is a number above 0, and --iterations 1 or more.")
        games = {setting: make(NAME, **presets.given([*given.options, own])) for setting, own in SETTINGS.items()}
        rows = [row(setting, game, loss, given) for setting, game in games.items() for loss in (0.0, given.loss)]
        print("setting  loss   first 5  last 5  beside an expert  beside a wrong one   points in an episode", *rows, sep="\n")
    except (UserError, OSError, KeyboardInterrupt) as error:
        sentence, status = explain(error)
        print(sentence.replace("--run", "--out"), file=sys.stderr)
        return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
