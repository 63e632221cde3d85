"""Learning when to ask for help, and what it brings against asking never, always, or at random as often.

    tasks:  three steps, solved when all are right ── tabular ──> online (reinforce) and the paper's offline form, by price
    a game: a training for each price ──> its agent, asking as it learned, never, always, at random; the offline form beside it

Used by advised.py.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

import detente
from detente import config, presets
from detente.cli.terminal import console, explain, hush
from detente.errors import UserError
from detente.games import Game, make
from detente.games.family import measures
from detente.games.sides import moves
from detente.progress import Progress
from detente.records import Episode

Policy = NDArray[np.float64]  # (3,) the probability of asking in a step of each difficulty
SHARES = np.array([0.2, 0.3, 0.5])  # how often a step is easy, medium, hard
ALONE = np.array([0.88, 0.68, 0.44])  # the probability of getting it right without help
HELPED, STEPS = 0.95, 3
HEAD = f"{'price':>6}  {'asking':<18}{'reward':>8}{{}}{'asks':>8}"
NAME = "experiments.advised:advised"
RUN = ("algorithm=reinforce", "iterations=30", "episodes=32", "group_size=32", "opponents.kept=0", "evaluation.every=0")
EPISODES = 64
SHOWN = 8  # states of the offline form, the most frequent ones
FIXED = (*(f"game.{name}" for name in ("name", "helper", "price", "rate", "seat")), "seats")
POCKET = ("game.ask=<C>", "answer.temperature=3", "evaluation.against=[]")  # a word that pocket says at times, if it is led to


def value(asks: Policy, price: float) -> float:
    """The expected reward of a task: 1 if all steps are right, less the price of each question."""
    return solved(asks) - STEPS * price * rate(asks)


def solved(asks: Policy) -> float:
    """The probability that a task is solved."""
    return float((SHARES @ (ALONE + asks * (HELPED - ALONE))) ** STEPS)


def rate(asks: Policy) -> float:
    """The share of steps in which is asked."""
    return float(SHARES @ asks)


def played(asks: Policy, price: float, count: int, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """So many tasks: of each step how difficult it is and whether was asked, (count, 3), and what each task pays, (count,)."""
    kinds = rng.choice(len(SHARES), p=SHARES, size=(count, STEPS))
    asked = rng.random(kinds.shape) < asks[kinds]
    right = rng.random(kinds.shape) < np.where(asked, HELPED, ALONE[kinds])
    return kinds, asked, right.all(1) - price * asked.sum(1)


def online(price: float, seed: int = 0, *, iterations: int = 600, count: int = 2000, step: float = 3.0) -> Policy:
    """Reinforce, from asking in half of the steps: each question is credited with what its task paid above the mean."""
    rng, logits = np.random.default_rng(seed), np.zeros(len(SHARES))
    for _ in range(iterations):
        asks = 1 / (1 + np.exp(-logits))
        kinds, asked, rewards = played(asks, price, count, rng)
        credit = (rewards - rewards.mean())[:, None] * (asked - asks[kinds])
        logits += step * np.bincount(kinds.ravel(), credit.ravel(), len(SHARES)) / count
    return np.asarray(1 / (1 + np.exp(-logits)))


def offline(log: Sequence[tuple[Any, bool, float]], steps: int = 2000) -> dict[Any, float]:
    """P(ask | state) from (state, asked, what the episode paid), where half of the decisions were asked about at random.

    The paper's form: ascent of sum_a log pi(a|s) A(s,a) clip(pi(a|s) / .5, .7, 1.3), the weight held fixed, with the advantage
    A(s,a) = (mean R(s,a) - mean R(s,a')) / 2. A state in which one of both was never seen is left at a half.
    """
    policy = {}
    for state in sorted({seen for seen, _, _ in log}):
        paid = [[reward for seen, asked, reward in log if (seen, asked) == (state, choice)] for choice in (True, False)]
        advantage, logit, ask = (fmean(paid[0]) - fmean(paid[1])) / 2 if all(paid) else 0.0, 0.0, 0.5
        for _ in range(steps):
            weights = [min(max(share / 0.5, 0.7), 1.3) for share in (ask, 1 - ask)]
            logit += advantage * (weights[0] * (1 - ask) + weights[1] * ask)
            ask = (1 + math.tanh(logit / 2)) / 2
        policy[state] = ask
    return policy


def in_tasks(prices: Sequence[float]) -> None:
    """Print the table of the tasks: exact values of what was learned and of its alternatives."""
    print(HEAD.format(f"{'solved':>8}"))
    rng = np.random.default_rng(0)
    for price in prices:
        learned = online(price)
        kinds, asked, rewards = played(np.full(len(SHARES), 0.5), price, 20_000, rng)
        log = [*zip(kinds.flat, asked.flat, np.repeat(rewards, STEPS), strict=True)]
        rows = {"learned": learned, "learned offline": np.array([*offline(log).values()])}
        rows |= {"never": np.zeros(3), "always": np.ones(3), "random, as often": np.full(3, rate(learned))}
        for name, asks in rows.items():
            print(_line(price, name, value(asks, price), solved(asks), rate(asks)))


def in_game(preset: str, prices: Sequence[float], helper: str, partner: str, out: Path, options: Sequence[str]) -> None:
    """Print the table of a game: a run for each price, then episodes of its agent, on the first seat, and the partner elsewhere."""
    presets.check_free(options, FIXED)
    inside = dict(config.load(preset, [*RUN, *POCKET, *options]).game)
    around = {"name": NAME, "of": inside, "helper": helper, "ask": inside.pop("ask")}
    others = [partner] * (make(**inside).num_players - 1)
    lines = [HEAD.format(f"{'cooperates':>12}")]
    for price in prices:
        words = [f"game={json.dumps({**around, 'price': price})}", f"seats={json.dumps(['main', *others])}"]
        chosen = config.load(preset, [*RUN, *POCKET, *options, *words], without=["game"])
        with Progress(console(stderr=True)) as progress:
            run = detente.train(chosen, out / f"{chosen.preset}-price{price:g}", watchers=[progress])
        game = make(**chosen.game)
        learned, rows = _measured(game, _episodes(run, str(run), others)), {}
        for name, share in {"never": 0.0, "always": 1.0, "random, as often": learned["asked"]}.items():
            rows[name] = _measured(game, _episodes(run, str(run), others, share))
        for name, row in {"learned": learned, **rows}.items():
            lines.append(_line(price, name, row["reward"], row.get("cooperation_rate"), row["asked"], width=12))
        log = [entry for episode in _episodes(run, f"model:{chosen.model}", others, 0.5) for entry in logged(episode)]
        usual = [state for state, _ in Counter(state for state, _, _ in log).most_common(SHOWN)]
        policy = ", ".join(f"{state} {ask:.2f}" for state, ask in offline(log).items() if state in usual)
        lines.append(f"{price:>6g}  offline, P(ask | last moves): {policy}")
    print("\n".join(lines))


def logged(episode: Episode) -> Iterator[tuple[str, bool, float]]:
    """For each round of the first seat what was done in the last one, whether the helper decided, and what the episode paid."""
    state, paid = "start", sum(episode.rewards(0))
    for played_round in episode.rounds:
        yield state, played_round.info["asks"] > 0, paid
        state = " ".join(str(action) for _, action in sorted(moves(played_round).items()))


def _episodes(run: Path, agent: str, others: Sequence[str], share: float | None = None) -> list[Episode]:
    """Episodes in the game of the run, where chance asks in this share of the decisions (None: the agent asks)."""
    changes = ["game.rate=null" if share is None else f"game.rate={share}"]
    return detente.play(str(run), [agent, *others], episodes=EPISODES, overrides=changes, trust=True)


def _measured(game: Game, episodes: Sequence[Episode]) -> dict[str, Any]:
    return measures(game, [(episode, 0) for episode in episodes])


def _line(price: float, name: str, reward: float, reached: float | None, asks: float, width: int = 8) -> str:
    number = "" if reached is None else f"{reached:.3f}"
    return f"{price:>6g}  {name:<18}{reward:>8.3f}{number:>{width}}{asks:>8.2f}"


def prices(text: str) -> list[float]:
    """The numbers of ``0.06,0.2``; UserError unless all are prices."""
    try:
        numbers = [*map(float, text.split(","))]
    except ValueError:
        numbers = [math.nan]
    if not all(0 <= number < math.inf for number in numbers):
        raise UserError(f"--prices are numbers of 0 or more, such as 0.06,0.2, not '{text}'.")
    return numbers


def main(words: Sequence[str] | None = None) -> int:
    """Learn when to ask at each price, and print what it brings."""
    parser = argparse.ArgumentParser(description="When to ask for help that has a price.")
    parser.add_argument("game", help="tasks (tabular, seconds), or the preset of a game, e.g. ipd")
    parser.add_argument("--prices", help="what asking costs (default: 0.06,0.08,0.2 in tasks, else 0,2)")
    parser.add_argument("--helper", help="the script that helps in a game (default: tit_for_tat)")
    parser.add_argument("--partner", help="who sits on the other seats of a game (default: tit_for_tat)")
    parser.add_argument("--out", type=Path, help="the folder of a game's runs (default: runs/advised)")
    parser.add_argument("options", nargs="*", metavar="key=value", help="options of a game's runs, e.g. iterations=10")
    given = parser.parse_intermixed_args(words)
    hush()
    try:
        asked = prices(given.prices or ("0.06,0.08,0.2" if given.game == "tasks" else "0,2"))
        names, out = (given.helper or "tit_for_tat", given.partner or "tit_for_tat"), given.out or Path("runs/advised")
        if given.game != "tasks":
            in_game(given.game, asked, *names, out, given.options)
        elif given.helper or given.partner or given.out or given.options:
            raise UserError(
                "tasks takes --prices alone; --helper, --partner, --out and options such as iterations=10 are of games."
            )
        else:
            in_tasks(asked)
    except (UserError, OSError, KeyboardInterrupt) as error:
        sentence, status = explain(error)
        print(sentence.replace("--run", "--out"), file=sys.stderr)
        return status
    return 0
