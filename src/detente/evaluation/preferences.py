"""Which social preference explains what an agent chose: weights of its own points and of the others', by maximum likelihood.

    Choices ── features (S, A, F), counts (S, A) ── conditional logit ──> weights ── ratios ──> altruism, or envy and guilt

The agent is taken to draw each action with a probability proportional to exp(w . features), of what the action brings in this very
round on average over what the others do after that joint move (a conditional logit: McFadden, Conditional logit analysis of
qualitative choice behavior, 1974). Linear rewards of one's own and the others' points are those of Yu, Song and Ermon
(Multi-agent adversarial inverse reinforcement learning, 2019) for one agent. Only ratios of weights mean something: their size says
how much the agent cares at all. They are determined where payoffs vary. Must not load torch; SciPy is imported when it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detente.errors import UserError, unknown
from detente.evaluation.choices import FEATURES, Choice, Floats, gathered
from detente.evaluation.statistics import LEVEL, resamples

Form = Literal["altruism", "inequity"]
FORMS: dict[Form, dict[str, tuple[str, int]]] = {  # ratio to the weight of one's own points -> of which feature, and its sign
    "altruism": {"altruism": ("others", 1)},
    "inequity": {"envy": ("ahead", -1), "guilt": ("behind", -1)},
}
RIDGE = 1e-6  # per choice, of features of size 1: what keeps weights finite in a resample that has no maximum
MOST_STEPS = 100  # of Newton's method; it takes a handful
PRECISION = 1e-8  # of weights of features of size 1
TOLERANCE = 1e-6  # of a linear program, per inequality
INFEASIBLE = 2  # the status of a linear program without a solution
FLAT = 1e-9  # of the largest variance of features between actions: below, they do not differ


@dataclass(frozen=True, slots=True)
class Ratio:
    """A weight as a multiple of that of one's own points, and where it lies with 95 %; None where it has no value or no end."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Preferences:
    """``ratios`` by name, altruism or envy and guilt. ``own``: what a point of its own adds to the logarithm of an action's odds.

    Both have no value where the choices are ``separable``: then these bound the ratios and no more. ``log_likelihood`` and
    ``chance``: nats per choice; ``tables``: payoffs that differ.
    """

    agent: str
    form: Form
    ratios: dict[str, Ratio]
    own: float | None
    separable: bool
    log_likelihood: float
    chance: float
    choices: int
    seeds: int
    tables: int

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def preferences(agent: str, choices: Sequence[Choice], form: Form = "altruism") -> Preferences:
    """The preferences that explain an agent's choices best, with bootstrap intervals over game seeds.

    UserError where nothing can be said: where payoffs do not vary, or not enough, and where own points do not count; and for a
    form that there is not.
    """
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    arrays, names = gathered(choices), FORMS[form]
    columns = [0, *(FEATURES.index(feature) for feature, _ in names.values())]
    brought, counts = arrays.expected()
    scale = _scale(brought[..., columns], counts, ["its own points", *names])
    brought = brought[..., columns] / scale
    weights = fitted(brought, counts)

    def resampled(times: NDArray[np.int64]) -> Floats:
        again, chosen = arrays.expected(times)
        return fitted(again[..., columns] / scale, chosen, weights) / scale

    bounds = _bounds(brought, counts, scale)
    if bounds == [] or (bounds is None and weights[0] <= 0):
        raise UserError(
            f"There is no {' and no '.join(names)} of {agent}, which is a multiple of the weight of its own points, and no weight "
            "of these above 0 explains its choices."
        )
    if bounds is None:
        ratios = _intervals(weights / scale, resamples(arrays.number_of_seeds, resampled))
    else:
        ratios = [Ratio(None, low, high) for low, high in bounds]
    return Preferences(
        agent,
        form,
        {name: _signed(ratio, sign) for (name, (_, sign)), ratio in zip(names.items(), ratios, strict=True)},
        own=float(weights[0] / scale[0]) if bounds is None else None,
        separable=bounds is not None,
        log_likelihood=float((counts * log_chances(weights, brought)).sum() / counts.sum()),
        chance=-math.log(counts.shape[1]),
        choices=len(choices),
        seeds=arrays.number_of_seeds,
        tables=len({choice.situation[0] for choice in choices}),
    )


def fitted(brought: Floats, counts: Floats, start: Floats | None = None) -> Floats:
    """The weights (F,) under which the choices are most likely: features (S, A, F), counts (S, A). They are kept finite.

    Newton's method, with steps halved until the likelihood rises; the problem is convex.
    """
    weights = np.zeros(brought.shape[-1]) if start is None else start
    loss, gradient, curvature = _penalised(weights, brought, counts)
    for _ in range(MOST_STEPS):
        step = np.linalg.solve(curvature, gradient)
        if abs(step).max() < PRECISION * max(1.0, abs(weights).max()):
            break
        ahead = _penalised(weights - step, brought, counts)
        while ahead[0] > loss and abs(step).max() > PRECISION:
            step = step / 2
            ahead = _penalised(weights - step, brought, counts)
        weights = weights - step
        loss, gradient, curvature = ahead
    return weights


def _penalised(weights: Floats, brought: Floats, counts: Floats) -> tuple[float, Floats, Floats]:
    """The mean negative log-likelihood of a choice with a small penalty, its gradient (F,) and its second derivatives (F, F)."""
    chances, total = log_chances(weights, brought), counts.sum()
    expected = counts.sum(1, keepdims=True) * np.exp(chances)
    loss = -float((counts * chances).sum() / total) + RIDGE / 2 * float(weights @ weights)
    gradient = np.tensordot(expected - counts, brought, 2) / total + RIDGE * weights
    return loss, gradient, _covariance(brought, expected / total) + RIDGE * np.eye(len(weights))


def log_chances(weights: Floats, brought: Floats) -> Floats:
    """(S, A) the logarithm of the probability of each action."""
    utilities = brought @ weights
    utilities = utilities - utilities.max(1, keepdims=True)
    chances: Floats = utilities - np.log(np.exp(utilities).sum(1, keepdims=True))
    return chances


def _covariance(brought: Floats, shares: Floats) -> Floats:
    """(F, F) of what actions bring within situations, where each action of each has a share (S, A) of 1."""
    within = shares / shares.sum(1, keepdims=True)
    centred = brought - (within[..., None] * brought).sum(1, keepdims=True)
    flat = centred.reshape(-1, brought.shape[-1])
    covariance: Floats = (flat * shares.reshape(-1, 1)).T @ flat
    return covariance


def _scale(brought: Floats, counts: Floats, names: Sequence[str]) -> Floats:
    """(F,) how much each feature differs between actions; UserError where one does not, or follows from the others."""
    shares = np.broadcast_to(counts.sum(1, keepdims=True), counts.shape) / (counts.sum() * counts.shape[1])
    covariance = _covariance(brought, shares)
    scale: Floats = np.sqrt(np.diag(covariance))
    if scale.min() == 0 or np.linalg.eigvalsh(covariance / np.outer(scale, scale))[0] < FLAT:
        raise UserError(
            f"The payoffs of these episodes do not tell {' and '.join(names)} apart, for what one choice or another brings of them "
            "moves together; let payoffs vary in more than their size."
        )
    return scale


def _bounds(brought: Floats, counts: Floats, scale: Floats) -> list[tuple[float | None, float | None]] | None:
    """Between what each ratio lies where some weights explain every choice; None where they do not, so that a likeliest one exists
    (Albert and Anderson, On the existence of maximum likelihood estimates in logistic regression models, 1984)."""
    from scipy.optimize import linprog

    margins = _margins(brought, counts)
    explained = linprog(-margins.sum(0), A_ub=-margins, b_ub=np.zeros(len(margins)), bounds=(-1, 1))
    if -explained.fun <= TOLERANCE * len(margins):
        return None
    per_ratio, own = margins[:, 1:] * scale[1:], margins[:, 0] * scale[0]
    ends = [
        [linprog(sign * axis, A_ub=-per_ratio, b_ub=own, bounds=(None, None)) for sign in (1, -1)]
        for axis in np.eye(per_ratio.shape[1])
    ]
    if any(end.status == INFEASIBLE for pair in ends for end in pair):
        return []
    low, high = ([float(sign * pair[at].fun) if pair[at].status == 0 else None for pair in ends] for at, sign in ((0, 1), (1, -1)))
    return list(zip(low, high, strict=True))


def _margins(brought: Floats, counts: Floats) -> Floats:
    """(M, F) what each action that was chosen brings more than each other one."""
    better = brought[:, :, None] - brought[:, None]  # (S, A, A, F)
    chosen = (counts > 0)[:, :, None] & ~np.eye(counts.shape[1], dtype=bool)
    margins: Floats = np.unique(better[chosen], axis=0)
    return margins


def _intervals(weights: Floats, resampled: Sequence[Floats]) -> list[Ratio]:
    """Each weight as a multiple of the first, with the percentiles of resamples; no ends where own points may as well not count."""
    kept = np.array([again for again in resampled if again[0] > 0])
    known = len(kept) >= (1 + LEVEL) / 2 * len(resampled) and len(resampled) > 0
    ends = np.percentile(kept[:, 1:] / kept[:, :1], [50 * (1 - LEVEL), 50 * (1 + LEVEL)], axis=0).T if known else None
    return [
        Ratio(float(weight / weights[0]), *((None, None) if ends is None else map(float, ends[number])))
        for number, weight in enumerate(weights[1:])
    ]


def _signed(ratio: Ratio, sign: int) -> Ratio:
    """The ratio, or its negative, as what is counted as a loss."""
    value, low, high = (None if number is None else sign * number for number in (ratio.value, ratio.low, ratio.high))
    return Ratio(value, low, high) if sign > 0 else Ratio(value, high, low)
