"""Means with intervals: the only module that averages episodes over groups, and runs over seeds.

    episodes ── groups (one game seed each) ──> estimate      how precisely these policies are known
    seeds    ── groups of each run ──────────> stratified     the same for the mean of several runs: seeds are strata
    units    ── a number of all, again and again ─> resamples  where it is no mean
    seeds    ── one number of each run ──────> over_seeds     how much training varies: what another seed could bring
                                               share, spread  how many runs did it; the minimum and the maximum

Episodes of a group share their game seed, hence their luck: the units are groups, never episodes. An interval holds the true mean
with 95 %:

- Student's t (Student, The probable error of a mean, Biometrika 1908), for strata with the degrees of freedom of Welch and
  Satterthwaite (Satterthwaite, An approximate distribution of estimates of variance components, Biometrics Bulletin 1946);
- Wilson's score interval (Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927) where every
  unit lies on one of the two ``bounds``, as of a share;
- where all units are alike, the rule of three (Hanley and Lippman-Hand, If nothing goes wrong, is everything all right?, JAMA
  1983): what n units never showed may still happen with a probability up to q = 1 - 0.05^(1/n), about 3/n, and lie at either of
  the ``bounds``.

Must not load torch; SciPy is imported when it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_T = TypeVar("_T")
LEVEL = 0.95
Bounds = tuple[float, float]  # between which every value lies


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean of ``n`` units and its interval; ``low`` and ``high`` are None where a single unit leaves nothing to compare.

    ``alike``: all units have one value. The ends are equal then where no bounds are known, and n alone says how little that is.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    n: int = 1
    alike: bool = False

    def __str__(self) -> str:
        return in_words(self.to_json())

    def to_json(self) -> dict[str, float | None]:
        """{"mean": ..., "low": ..., "high": ..., "n": ...}, and "alike" where all units are."""
        return {key: value for key, value in asdict(self).items() if key != "alike" or value}


def in_words(estimate: Mapping[str, Any]) -> str:
    """``1.40 [1.38, 1.42]`` of an estimate in JSON, ``1.40 (all 64 alike)`` where all units are, ``1.40`` without an interval."""
    return f"{estimate['mean']:.2f} {ends(estimate)}".rstrip()


def ends(estimate: Mapping[str, Any]) -> str:
    """What stands beside the mean; "" without an interval."""
    if estimate.get("low") is None:
        return ""
    known = estimate.get("alike") or estimate["low"] == estimate["high"]
    if known and estimate.get("n"):  # which files of earlier versions do not have
        return f"(all {estimate['n']} alike)"
    return f"[{estimate['low']:.2f}, {estimate['high']:.2f}]"


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean, minimum and maximum of a number over seeds."""

    mean: float
    minimum: float
    maximum: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.minimum:.2f} to {self.maximum:.2f})"


def spread(values: Sequence[float]) -> Spread:
    """How a number varies over the seeds of training."""
    return Spread(fmean(values), min(values), max(values))


def over_seeds(values: Sequence[float], bounds: Bounds | None = None) -> Estimate:
    """The mean of a training's result over all seeds that there could be, from one number of each run."""
    return estimate([[value] for value in values], bounds)


def share(successes: int, trials: int) -> Estimate:
    """The share of runs, or of anything else that either happens or does not, with Wilson's interval; ValueError without trials."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials} is no share")
    return Estimate(successes / trials, *_wilson(successes, trials), n=trials)


def estimate(groups: Iterable[Sequence[float]], bounds: Bounds | None = None) -> Estimate:
    """The mean over groups of their means, with its interval; ValueError without any.

    ``bounds``: the minimum and the maximum that a value can have.
    """
    return stratified([list(groups)], bounds)


def stratified(seeds: Sequence[Sequence[Sequence[float]]], bounds: Bounds | None = None) -> Estimate:
    """The mean over seeds of their estimates; [seed][group][episode] values. How seeds differ from each other widens nothing."""
    means = [[fmean(group) for group in groups] for groups in seeds]
    overall, sizes = fmean(map(fmean, means)), [*map(len, means)]
    if min(sizes) < 2:
        return Estimate(overall, n=sum(sizes))
    alike = _equal([mean for unit in means for mean in unit])
    if bounds and len({*sizes}) == 1 and all(mean in bounds for unit in means for mean in unit):
        low, high = bounds
        least, most = _wilson(sum(mean == high for unit in means for mean in unit), sum(sizes))
        limits = low + least * (high - low), low + most * (high - low)
    elif all(map(_equal, means)):
        low, high = bounds or (overall, overall)
        unseen = 1 - (1 - LEVEL) ** (1 / (len(sizes) * min(sizes)))
        limits = overall - unseen * (overall - low), overall + unseen * (high - overall)
    else:
        half = _half_width(means)
        low, high = bounds or (-math.inf, math.inf)
        limits = max(low, overall - half), min(high, overall + half)
    return Estimate(overall, *limits, n=sum(sizes), alike=alike)


def _equal(values: Sequence[float]) -> bool:
    """Whether the values differ by no more than rounding."""
    return math.isclose(min(values), max(values), rel_tol=1e-9, abs_tol=1e-12)


def resamples(units: int, statistic: Callable[[NDArray[np.int64]], _T], count: int = 500) -> list[_T]:
    """What a statistic is in bootstrap resamples of the units, by how often each of them counts.

    (Efron, Bootstrap methods: another look at the jackknife, 1979.) The same resamples every time; none of a single unit.
    """
    import numpy as np

    rng = np.random.default_rng(units)
    return [statistic(rng.multinomial(units, np.full(units, 1 / units))) for _ in range(count if units > 1 else 0)]


def _half_width(means: Sequence[Sequence[float]]) -> float:
    """Half of the t interval of the mean of strata, each the mean of at least two units, not all alike."""
    from scipy.stats import t

    errors = [variance(unit) / len(unit) for unit in means]  # squared, of each stratum's mean
    freedom = sum(errors) ** 2 / sum(error**2 / (len(unit) - 1) for error, unit in zip(errors, means, strict=True))
    return float(t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(sum(errors)) / len(means)


def _wilson(successes: int, trials: int) -> Bounds:
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)
