"""Replicator dynamics and deviation ratings against cases computed by hand, closed forms and other ways to compute them."""

from __future__ import annotations

import math
import random
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from detente.evaluation import population
from detente.evaluation.population import deviation_ratings, replicator

PENNIES = [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]  # rock, paper, scissors


def rated(table: Any) -> list[float]:
    ratings = deviation_ratings(table)
    assert ratings is not None
    return ratings


def shares(table: Any, **options: Any) -> list[float]:
    return [agent.share for agent in replicator(table, **options)]


def test_a_dominated_agent_dies_out() -> None:
    assert shares([[3, 0], [5, 1]]) == pytest.approx([0, 1])


@pytest.mark.parametrize("time", [0.5, 2, 5])
def test_a_constant_advantage_grows_as_the_logistic_curve(time: float) -> None:
    """Of two agents with points 1 and 0 whomever they meet, dx/dt = x (1 - x)."""
    assert shares([[1, 1], [0, 0]], time=time)[0] == pytest.approx(1 / (1 + math.exp(-time)), abs=1e-6)


def test_hawks_and_doves() -> None:
    """A resource of 1 and a fight that costs 4: a quarter are hawks (Maynard Smith and Price, 1973)."""
    quarter = replicator([[(1 - 4) / 2, 1], [0, 0.5]])
    assert [agent.share for agent in quarter] == pytest.approx([0.25, 0.75], abs=1e-5)
    assert [agent.mean_share for agent in quarter] == pytest.approx([0.25, 0.75], abs=1e-5)


def test_a_stag_hunt_ends_where_it_began() -> None:
    """Stags win from shares above 2/3, which are a third of all starts."""
    stag, hare = replicator([[4, 0], [3, 2]])
    assert (stag.share, hare.share) == pytest.approx((0, 1))
    assert stag.mean_share == pytest.approx(1 / 3, abs=0.08)


def test_shares_are_those_of_another_integrator() -> None:
    table = np.array([[2.0, 0.5, 1.5], [3.0, 1.0, 0.2], [0.4, 1.9, 1.0]])
    scaled = table / (table.max() - table.min())

    def growth(_: float, x: Any) -> Any:
        return x * (scaled @ x - x @ scaled @ x)

    known = solve_ivp(growth, (0, 7), np.full(3, 1 / 3), rtol=1e-10, atol=1e-12).y[:, -1]
    assert shares(table.tolist(), time=7) == pytest.approx(list(known), abs=1e-5)


@pytest.mark.parametrize(
    ("table", "ratings"),
    [
        ([[3, 0], [5, 1]], [-1, 0]),  # both defect; who cooperates instead gets 0 in place of 1
        (PENNIES, [0, 0, 0]),
        ([[1, 1], [1, 1]], [0, 0]),
        ([[4, 0], [0, 4]], [-2, -2]),  # half of the time both the one, half of the time both the other; each alone gets 2 of 4
        ([[7]], [0]),
    ],
)
def test_ratings_by_hand(table: Any, ratings: list[float]) -> None:
    assert deviation_ratings(table) == pytest.approx(ratings, abs=1e-5)


def test_copies_change_nothing() -> None:
    copied = [[row[i] for i in (0, 0, 1, 2)] for row in (PENNIES[0], *PENNIES)]
    assert deviation_ratings(copied) == pytest.approx([0] * 4, abs=1e-5)
    table: list[list[float]] = [[3, 0, 3], [5, 1, 1.4], [3, 0.9, 3]]
    plain = rated(table)
    again = rated([[row[i] for i in (0, 1, 2, 2)] for row in (*table, table[2])])
    assert again == pytest.approx([*plain, plain[2]], abs=1e-5)


@pytest.mark.parametrize("size", [2, 5, 8])
def test_random_tables_have_ratings(size: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng([size, 13, seed])
        for table in (rng.normal(size=(size, size)), rng.normal(size=(size, size)) * 1e6, rng.integers(0, 3, size=(size, size))):
            assert max(rated(table.tolist())) <= 1e-4 * float(np.ptp(table))


def test_what_the_solver_cannot_solve_has_no_ratings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population, "SLACKS", ())
    assert deviation_ratings(PENNIES) is None


def test_ratings_are_those_of_a_search_over_all_distributions() -> None:
    """Sorted downwards no distribution over pairs has smaller gains, on a grid of distributions."""
    rng = random.Random(0)
    steps = 40
    grid = [np.array([a, b, c, steps - a - b - c]) / steps for a, b, c in product(range(steps + 1), repeat=3) if a + b + c <= steps]
    for _ in range(4):
        table = [[rng.uniform(0, 1) for _ in range(2)] for _ in range(2)]
        best = min(sorted(gains(table, pairs), reverse=True) for pairs in grid)
        own = sorted((rating for rating in rated(table) for _ in range(2)), reverse=True)
        assert own[0] <= best[0] + 1e-6
        assert own == pytest.approx(best, abs=0.06)


def gains(table: Any, pairs: Any) -> list[float]:
    """What each of both players gains by each agent, from the definition."""
    cells = list(product(range(2), repeat=2))
    first = [sum(p * (table[own][j] - table[i][j]) for p, (i, j) in zip(pairs, cells, strict=True)) for own in range(2)]
    second = [sum(p * (table[own][i] - table[j][i]) for p, (i, j) in zip(pairs, cells, strict=True)) for own in range(2)]
    return first + second
