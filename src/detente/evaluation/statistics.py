"""Means with intervals: the only module that averages episodes over groups, and runs over seeds.

    episodes ── groups (one game seed each) ──> estimate            bootstrap over groups
    seeds    ── groups of each run ──────────> stratified           bootstrap over groups within every seed
    seeds    ── one number of each run ──────> spread               mean, minimum and maximum

Episodes of a group share their game seed, hence their luck: the bootstrap resamples groups, never episodes. An
interval is the 95 % percentile interval of the bootstrap (Efron, Bootstrap methods, Annals of Statistics 1979), the stratified one
as Agarwal and others propose (Deep reinforcement learning at the edge of the statistical precipice, NeurIPS 2021), with seeds as
strata. The interval says how precisely these policies are known; how much training itself varies, ``spread`` says. Everything is
deterministic: the bootstrap has a fixed seed. Must not load torch; SciPy is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its interval; ``low`` and ``high`` are None where there is only one group, which cannot be resampled."""

    mean: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return f"{self.mean:.2f}" if self.low is None else f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def to_json(self) -> dict[str, float | None]:
        """{"mean": ..., "low": ..., "high": ...}."""
        return asdict(self)


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


def estimate(groups: Iterable[Sequence[float]]) -> Estimate:
    """The mean over groups of their means, with its interval; ValueError without any."""
    return stratified([list(groups)])


def stratified(seeds: Sequence[Sequence[Sequence[float]]]) -> Estimate:
    """The mean over seeds of their estimates; [seed][group][episode] values. Groups are resampled within their own seed."""
    means = [[fmean(group) for group in groups] for groups in seeds]
    overall = fmean(map(fmean, means))
    if min(map(len, means)) < 2:
        return Estimate(overall)
    import numpy as np
    from scipy.stats import bootstrap

    interval = bootstrap(
        means,
        lambda *drawn, axis: np.mean([sample.mean(axis=axis) for sample in drawn], axis=0),
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(overall, float(interval.low), float(interval.high))
