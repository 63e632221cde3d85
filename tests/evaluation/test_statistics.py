"""Intervals against simulated truth, against normal theory and against exact small cases."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import exp
from random import Random
from statistics import NormalDist

import pytest

from detente.evaluation.statistics import Bounds, Estimate, Spread, estimate, in_words, over_seeds, share, spread, stratified

TRIALS = 1000  # simulated experiments; the standard error of a coverage of 0.95 is then 0.007


def draws(rng: Random, groups: int, size: int, between: float, within: float) -> list[list[float]]:
    """Values with a common part per group: what a group's seed does to all of its episodes."""
    shifts = [rng.gauss(0, between) for _ in range(groups)]
    return [[shift + rng.gauss(0, within) for _ in range(size)] for shift in shifts]


def covered(draw: Callable[[Random], float], truth: float, n: int, bounds: Bounds | None = None) -> float:
    """How often the interval of n draws holds the true mean."""
    rng = random.Random(n)
    intervals = [estimate([[draw(rng)] for _ in range(n)], bounds) for _ in range(TRIALS)]
    return sum(interval.low <= truth <= interval.high for interval in intervals) / TRIALS  # type: ignore[operator]


@pytest.mark.parametrize("n", [4, 8, 16, 64])
def test_normal_values_are_covered_as_often_as_it_says(n: int) -> None:
    assert covered(lambda rng: rng.gauss(3, 1), 3, n) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("n", "least"), [(4, 0.84), (8, 0.86), (16, 0.90), (64, 0.92)])
def test_skewed_values_are_covered_less_where_there_are_few(n: int, least: float) -> None:
    """Exponential values; the percentile bootstrap covers 0.74, 0.84, 0.90 and 0.94."""
    assert least < covered(lambda rng: rng.expovariate(1), 1, n) < 0.96


@pytest.mark.parametrize("n", [4, 8, 16, 64])
@pytest.mark.parametrize("p", [0.01, 0.3, 0.5])
def test_shares_are_covered_also_of_rare_events(p: float, n: int) -> None:
    """Wilson's interval covers 0.95 on the mean over p; at a single p with few draws it is 0.83 at the worst."""
    assert covered(lambda rng: float(rng.random() < p), p, n, (0.0, 1.0)) > (0.93 if n == 64 else 0.82)
    if p < 0.1:
        assert covered(lambda rng: float(rng.random() < p), p, n) < 0.5  # without bounds nothing is known of what was not seen


@pytest.mark.parametrize("n", [4, 8, 16, 64])
def test_points_that_are_nearly_always_the_same_are_covered(n: int) -> None:
    """3 points a round, and 0 in one of a hundred episodes."""
    assert covered(lambda rng: 0.0 if rng.random() < 0.01 else 3.0, 2.97, n, (0.0, 5.0)) > 0.95


def test_the_mean_weighs_groups_alike() -> None:
    assert estimate([[1, 1, 1, 1], [3]]).mean == 2
    assert stratified([[[1], [3]], [[10], [20]]]).mean == 8.5


def test_one_group_has_no_interval() -> None:
    assert estimate([[1, 2, 3]]) == Estimate(2, n=1)
    assert stratified([[[1], [2]], [[3]]]) == Estimate(2.25, n=3)
    assert over_seeds([2.0]) == Estimate(2, n=1)
    assert str(Estimate(2)) == "2.00"


def test_students_interval_by_hand() -> None:
    """1, 2, 3: standard error 1 / sqrt 3, and 4.3027 for two degrees of freedom."""
    interval = over_seeds([1.0, 2.0, 3.0])
    assert (interval.low, interval.high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    assert over_seeds([1.0, 2.0, 3.0], (0.5, 3.0)) == Estimate(2.0, 0.5, 3.0, 3)  # nothing lies beyond the bounds


def test_constant_groups_without_bounds_say_how_many_they_are() -> None:
    assert estimate([[3, 3], [3, 3]]) == Estimate(3, 3, 3, 2, alike=True)
    assert str(estimate([[3], [3]])) == "3.00 (all 2 alike)"


def test_the_rule_of_three() -> None:
    """What 64 episodes never showed happens with probability 0.0457 at most: 0.9543^64 = 0.05."""
    interval = estimate([[3.0]] * 64, (0.0, 5.0))
    unseen = 1 - 0.05 ** (1 / 64)
    assert (interval.low, interval.high) == pytest.approx((3 - 3 * unseen, 3 + 2 * unseen))
    pooled = stratified([[[3.0]] * 32, [[1.0]] * 32], (0.0, 5.0))
    assert (pooled.low, pooled.high) == pytest.approx((2 - 2 * unseen, 2 + 3 * unseen))
    assert (str(interval), str(pooled)) == ("3.00 (all 64 alike)", f"2.00 [{2 - 2 * unseen:.2f}, {2 + 3 * unseen:.2f}]")


def test_what_is_alike_is_said_in_one_way_with_bounds_and_without() -> None:
    for bounds in (None, (0.0, 5.0), (3.0, 5.0)):
        assert in_words(estimate([[3.0]] * 4, bounds).to_json()) == "3.00 (all 4 alike)"
    assert in_words({"mean": 3.0, "low": 3.0, "high": 3.0}) == "3.00 [3.00, 3.00]"  # as earlier versions wrote it
    assert in_words({"mean": 3.0, "low": None, "high": None, "n": 1}) == "3.00"


def test_shares_of_seeds() -> None:
    """Wilson's interval of 3 of 3 ends at 3 / (3 + 1.96^2), that of 1 of 3 as Wilson's formula says."""
    assert share(3, 3) == Estimate(1.0, pytest.approx(3 / (3 + 1.959964**2)), 1.0, 3)  # type: ignore[arg-type]
    z, p, n = 1.959964, 1 / 3, 3
    middle, half = (p + z**2 / 2 / n) / (1 + z**2 / n), z * (p * (1 - p) / n + z**2 / 4 / n**2) ** 0.5 / (1 + z**2 / n)
    assert (share(1, 3).low, share(1, 3).high) == pytest.approx((middle - half, middle + half))
    scaled = estimate([[2.0], [7.0], [2.0]], (2.0, 7.0))
    assert (scaled.low, scaled.high) == pytest.approx((2 + 5 * (middle - half), 2 + 5 * (middle + half)))
    for successes, trials in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="share"):
            share(successes, trials)


def test_the_width_is_that_of_the_groups_and_not_of_the_episodes() -> None:
    interval = estimate(draws(random.Random(1), groups=400, size=8, between=1.0, within=0.1))
    expected = 2 * NormalDist().inv_cdf(0.975) * ((1.0 + 0.01 / 8) / 400) ** 0.5
    assert interval.high - interval.low == pytest.approx(expected, rel=0.15)  # type: ignore[operator]


def test_strata_keep_apart_what_differs_between_seeds() -> None:
    """Three runs that ended in different places: one interval knows nothing of the distance between them, the other all."""
    rng = random.Random(2)
    seeds = [[[level + rng.gauss(0, 1)] for _ in range(400)] for level in (0, 100, 200)]
    within, between = stratified(seeds), over_seeds([sum(map(sum, seed)) / 400 for seed in seeds])
    expected = 2 * NormalDist().inv_cdf(0.975) * (1 / 400 / 3) ** 0.5
    assert within.high - within.low == pytest.approx(expected, rel=0.15)  # type: ignore[operator]
    assert between.mean == pytest.approx(within.mean)
    assert between.high - between.low == pytest.approx(2 * 4.302653 * 100 / 3**0.5, rel=0.01)  # type: ignore[operator]


def test_strata_of_few_groups_are_covered() -> None:
    """Two runs of four game seeds, one of them three times as noisy: degrees of freedom of Welch and Satterthwaite."""
    rng = random.Random(3)
    intervals = [stratified([[[rng.gauss(0, 1)] for _ in range(4)], [[rng.gauss(2, 3)] for _ in range(4)]]) for _ in range(TRIALS)]
    hits = sum(interval.low <= 1 <= interval.high for interval in intervals)  # type: ignore[operator]
    assert hits / TRIALS == pytest.approx(0.95, abs=0.025)


def test_values_of_any_size() -> None:
    assert estimate([[exp(500)], [exp(500)]]).low == exp(500)
    assert estimate([[0.1 + 0.2], [0.3]]).n == 2
    assert str(estimate([[0.1 + 0.2], [0.3]])) == "0.30 (all 2 alike)"  # equal but for rounding


def test_it_is_deterministic() -> None:
    groups = draws(random.Random(3), 20, 3, 1, 1)
    assert estimate(groups) == estimate(groups)
    assert estimate([[1], [2]]).to_json().keys() == {"mean", "low", "high", "n"}


def test_spread() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert str(spread([3.0, 1.0])) == "2.00 (1.00 to 3.00)"
