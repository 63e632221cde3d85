"""Best responses and floors against brute force over all plans of an opponent, and within bounds."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detente.evaluation.exact import AIMS, Aim, best_response
from detente.evaluation.histories import Behaviour, History
from detente.games import make

ROUNDS = 3
TABLES = {
    "ipd": [[[3, 3], [0, 5]], [[5, 0], [1, 1]]],
    "chicken": [[[3, 3], [1, 4]], [[4, 1], [0, 0]]],
    "matching_pennies": [[[1, -1], [-1, 1]], [[-1, 1], [1, -1]]],
    "uneven": [[[2.5, -1], [0.25, 7]], [[4, 1.5], [-3, 2]]],
}


def behaviour(seed: int) -> Behaviour:
    """Random probabilities after every history of fewer than three rounds."""
    rng = np.random.default_rng(seed)
    joint: list[tuple[str, str]] = [(own, other) for own in "CD" for other in "CD"]
    histories: list[History] = [history for length in range(ROUNDS) for history in itertools.product(joint, repeat=length)]
    drawn = {history: float(rng.random()) for history in histories}
    return Behaviour(("C", "D"), {history: (p, 1 - p) for history, p in drawn.items()}, {}, complete=True)


def every_plan(agent: Behaviour, payoffs: NDArray[Any], seat: int) -> NDArray[Any]:
    """(128, 2) expected totals of the opponent and of the agent, for every plan that answers what the agent did so far."""
    seen = [moves for length in range(ROUNDS) for moves in itertools.product((0, 1), repeat=length)]
    totals = []
    for answers in itertools.product((0, 1), repeat=len(seen)):
        plan = dict(zip(seen, answers, strict=True))
        total = np.zeros(2)
        for acts in itertools.product((0, 1), repeat=ROUNDS):
            p, points = 1.0, np.zeros(2)
            history: tuple[tuple[str, str], ...] = ()
            for played, act in enumerate(acts):
                answer = plan[acts[:played]]
                p *= agent.probabilities[history][act]
                row, column = (act, answer) if seat == 0 else (answer, act)
                points += payoffs[row, column][[1 - seat, seat]]
                history = (*history, ("CD"[act], "CD"[answer]))
            total += p * points
        totals.append(total)
    return np.array(totals)


@pytest.mark.parametrize("seat", [0, 1])
@pytest.mark.parametrize("table", TABLES)
def test_it_equals_brute_force_over_all_plans(table: str, seat: int) -> None:
    """Three rounds: an opponent has 2 ** 7 plans, each against every sequence of the agent's moves."""
    game: Any = make("matrix", payoffs=TABLES[table], rounds=ROUNDS)
    agent = behaviour(seed=len(table) + seat)
    totals = every_plan(agent, np.array(TABLES[table], dtype=float), seat)
    for aim, weights in AIMS.items():
        response = best_response(game, agent, ROUNDS, seat=seat, aim=aim)
        worths = totals @ np.array(weights)
        assert response.value.low == response.value.high == pytest.approx(worths.max())
        assert (response.own.low, response.agent.low) == pytest.approx(tuple(totals[worths.argmax()]))


@pytest.mark.parametrize("aim", AIMS)
def test_bounds_hold_what_was_left_out(aim: Aim) -> None:
    """Histories are forgotten one after the other: the bounds widen and always hold the exact value."""
    game: Any = make("ipd", rounds=ROUNDS)
    agent = behaviour(5)
    exact = best_response(game, agent, ROUNDS, aim=aim).value.low
    kept: dict[History, Any] = dict(agent.probabilities)
    width = 0.0
    while kept:
        del kept[max(kept, key=lambda history: (len(history), history))]
        bounds = best_response(game, Behaviour(agent.actions, kept, {}, complete=False), ROUNDS, aim=aim).value
        assert bounds.low - 1e-12 <= exact <= bounds.high + 1e-12
        assert bounds.high - bounds.low >= width - 1e-12
        width = bounds.high - bounds.low
    assert (bounds.low, bounds.high) == {"own": (0, 15), "harm": (-15, 0), "margin": (-15, 15)}[aim]
