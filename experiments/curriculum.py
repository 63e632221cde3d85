"""Does a curriculum over opponents and settings help where it is worst? A small table in place of a language model.

    python experiments/curriculum.py                    # uniform, plr, pfsp and maestro, three seeds

The prisoner's dilemma with a temptation of 3.5 to 6 and 5 to 30 rounds, against five scripts. The learner cooperates with a
probability that depends on the last joint move, and linearly on temptation and rounds. It learns by REINFORCE from the groups of
episodes that the package's curriculum has it play, with the package's exact regret. It is measured on settings that it never
played, by its points over those of the best response to each script: the worst pair of setting and script, and the mean over all.
A method is measured when it has played as many groups, and when it has trained on as many. Nothing is kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from detente import games
from detente.config import Config, load
from detente.learning.curriculum import Curriculum, Setting
from detente.learning.planning import Result, planned, remembered
from detente.learning.regret import best_value
from detente.seeding import derive

METHODS = ("uniform", "plr", "pfsp", "maestro")
SCRIPTS = ("always_cooperate", "always_defect", "tit_for_tat", "grim_trigger", "random")
TEMPTATIONS, ROUNDS = (3.5, 4.0, 4.5, 5.0, 5.5, 6.0), (5, 10, 15, 20, 25, 30)
HELD_OUT = tuple(product((3.75, 4.25, 4.75, 5.25, 5.75), (7, 13, 18, 28)))
GROUPS, EPISODES = 8, 16  # of an iteration, and in a group
RATE, DISCOUNT = 0.2, 0.95
MEASURED = 400  # episodes with each script on each held-out setting
Floats = NDArray[np.float64]


def payoffs(temptation: float) -> list[list[list[float]]]:
    """[own][other's] -> points of both; the first action cooperates."""
    return [[[3, 3], [0, temptation]], [[temptation, 0], [1, 1]]]


@cache
def best(temptation: float, rounds: int, script: str) -> float:
    """Points per round of the best response."""
    value = best_value(games.make("ipd", payoffs=payoffs(temptation), rounds=rounds), script, 0)
    assert value is not None, "the scripts are those of the package"
    return value


@dataclass
class Learner:
    """``weights[state]`` (5, 3) of 1, temptation and rounds; a state is the start, or the last joint move, own first."""

    weights: Floats

    def play(self, temptation: float, rounds: int, script: str, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Points of both (count, rounds, 2), and the gradient of each choice's log-probability (count, rounds, 5, 3)."""
        table = np.array(payoffs(temptation))
        features = np.array([1.0, (temptation - 4.75) / 1.25, (rounds - 17.5) / 12.5])
        probabilities = 1 / (1 + np.exp(-self.weights @ features))  # (5,) of cooperating
        state, own, grim = np.zeros(count, int), np.zeros(count, int), np.zeros(count, bool)
        points, gradient = np.zeros((count, rounds, 2)), np.zeros((count, rounds, 5, 3))
        for t in range(rounds):
            other = answers(script, own, grim, rng)
            cooperates = probabilities[state]
            chosen = (rng.random(count) >= cooperates).astype(int)
            points[:, t] = table[chosen, other]
            gradient[np.arange(count), t, state] = np.where(chosen == 0, 1 - cooperates, -cooperates)[:, None] * features
            own, grim, state = chosen, grim | (chosen == 1), 1 + 2 * chosen + other
        return points, gradient

    def learn(self, points: Floats, gradient: Floats) -> None:
        """One step on a group, with what follows each choice compared with the group's other episodes."""
        count, rounds, _ = points.shape
        returns = np.zeros((count, rounds + 1))
        for t in reversed(range(rounds)):
            returns[:, t] = points[:, t, 0] + DISCOUNT * returns[:, t + 1]
        others = (returns.sum(0) - returns) / (count - 1)
        advantage = (returns - others)[:, :rounds, None, None]
        self.weights += RATE * (advantage * gradient).mean((0, 1))


def answers(script: str, last: NDArray[np.int64], defected: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """What a script plays after the learner's last move, the first action in the first round."""
    if script == "random":
        return rng.integers(0, 2, len(last))
    if script == "grim_trigger":
        return defected.astype(int)
    return last if script == "tit_for_tat" else np.full(len(last), int(script == "always_defect"))


def held_out(learner: Learner, seed: int) -> list[float]:
    """Points over those of the best response, with each script on each setting that was held out."""
    rng = np.random.default_rng(derive(seed, "held out"))
    return [
        float(learner.play(*setting, script, MEASURED, rng)[0][..., 0].mean()) / best(*setting, script)
        for setting in HELD_OUT
        for script in SCRIPTS
    ]


def trained(config: Config, groups: int) -> Iterator[list[float]]:
    """What is measured once so many groups are played, and once so many are trained on; of a method that trains on all twice the
    same."""
    learner, state = Learner(np.zeros((5, 3))), Curriculum()
    rng = np.random.default_rng(derive(config.seed, "episodes"))
    game = games.configured(config.game, ())
    played = steps = iteration = 0
    measured_played = False
    while steps < groups:
        results = []
        for chosen in planned(config, state, iteration, {"main": ()}, game):
            assert chosen.co_player is not None, "all co-players are scripts"
            place = (*unpacked(chosen.setting), chosen.co_player.name)
            points, gradient = learner.play(*place, EPISODES, rng)
            own, theirs = points.mean(1).T
            lost = float(np.where(own == theirs, 0.5, own < theirs).mean())
            results.append(Result(chosen, best(*place) - float(own.mean()), lost))
            played += 1
            if not chosen.fresh:
                learner.learn(points, gradient)
                steps += 1
            if played >= groups and not measured_played:
                measured_played = True
                yield held_out(learner, config.seed)
        state = remembered(config, state, results, {})
        iteration += 1
    yield held_out(learner, config.seed)


def unpacked(setting: Setting) -> tuple[float, int]:
    """Temptation and rounds."""
    return setting["payoffs"][1][0][0], setting["rounds"]


def configured(method: str, seed: int) -> Config:
    """The options of a run that would do the same with a language model."""
    words = [
        f"curriculum={method}",
        f"seed={seed}",
        f"episodes={GROUPS * EPISODES}",
        f"group_size={EPISODES}",
        "opponents.kept=0",
        "opponents.scripted=1",
        f"opponents.scripts=[{','.join(SCRIPTS)}]",
        f"vary.rounds.choices={list(ROUNDS)}",
        f"vary.payoffs.choices={[payoffs(temptation) for temptation in TEMPTATIONS]}",
    ]
    return load("ipd", words)


def main(words: Sequence[str]) -> int:
    """Train, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--groups", type=int, default=10_000, help="groups of 16 episodes")
    asked = parser.parse_args(words)
    if asked.groups < 1 or min(asked.seeds) < 0:
        parser.error("--groups is a whole number from 1 on, and --seeds are whole numbers from 0 on")
    table = Table("method", *(f"{what}, {when}" for when in ("played", "trained on") for what in ("worst", "mean")))
    for method in asked.methods:
        print(f"{method} ...", file=sys.stderr)
        runs = [list(trained(configured(method, seed), asked.groups)) for seed in asked.seeds]
        cells = [[function(run[when]) for run in runs] for when in (0, 1) for function in (min, fmean)]
        table.add_row(method, *(" ".join(f"{value:.2f}" for value in cell) for cell in cells))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
