"""Rankings of agents as strategies of one game, from the points of everybody against everybody.

    payoffs[i][j], points of i against j ── replicator ────────> the shares that the agents come to have in a population
                                         └─ deviation_ratings ─> how much each gains over the strictest equilibrium

Neither rewards an agent for points that it takes from agents that nobody would play. NumPy and SciPy are imported when needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Payoffs = Sequence[Sequence[float]]
TIME, STEPS = 1000.0, 4000  # how long replicator dynamics run, and in how many steps
STARTS, SEED = 256, 0
MOST = 40  # agents that are rated: a linear program has their square as variables
TIGHT = 1e-7  # below that a linear program's number is rounding
PRECISION = {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9}  # of a linear program
SLACKS = (TIGHT, 1e-6, 1e-5, 1e-4)  # how far above what they are held at gains may lie, of all points' span; the next where it must
DIGITS = 6


@dataclass(frozen=True, slots=True)
class Shares:
    """What an agent comes to have of a population: from equal shares, and the mean over starts drawn uniformly from all shares."""

    share: float
    mean_share: float


def replicator(payoffs: Payoffs, time: float = TIME) -> list[Shares]:
    """The shares after ``time`` units of replicator dynamics (Taylor and Jonker, Mathematical Biosciences 1978).

    dx_i/dt = x_i ((A x)_i - x'A x), with A scaled so that its largest and smallest entries are one apart. Integrated by Runge and
    Kutta's method of fourth order in y = log x, of which dy/dt = A x up to what all have in common.
    """
    import numpy as np

    table = np.array(payoffs, float)
    table = table / ((table.max() - table.min()) or 1.0)
    size = len(table)
    starts = np.vstack([np.full(size, 1 / size), np.random.default_rng(SEED).dirichlet(np.ones(size), STARTS)])
    logs = np.log(np.maximum(starts, np.finfo(float).tiny))
    h = time / STEPS

    def grown(y: Array) -> Array:
        return _shares(y) @ table.T

    for _ in range(STEPS):
        first = grown(logs)
        second = grown(logs + h / 2 * first)
        third = grown(logs + h / 2 * second)
        fourth = grown(logs + h * third)
        logs = logs + h / 6 * (first + 2 * second + 2 * third + fourth)
        logs -= logs.max(1, keepdims=True)
    ends = _shares(logs)
    means = ends[1:].mean(0)
    return [Shares(round(float(ends[0, i]), DIGITS), round(float(means[i]), DIGITS)) for i in range(size)]


def _shares(logs: Array) -> Array:
    """exp, so that each row adds up to 1."""
    import numpy as np

    weights = np.exp(logs - logs.max(1, keepdims=True))
    shares: Array = weights / weights.sum(1, keepdims=True)
    return shares


def deviation_ratings(payoffs: Payoffs) -> list[float] | None:
    """For each agent what a player gains that plays it alone instead of its part in the strictest coarse correlated equilibrium.

    At most 0; the best agents have the largest ratings, which lie below 0 where several equilibria are strict, and copies of an
    agent change nothing (Marris et al., Deviation ratings: a general, clone-invariant rating method, 2025). The equilibrium, a
    distribution over pairs of agents, makes the largest gain as small as can be, then the next largest, and so on: one linear
    program each, in which the gains that are tight in every solution, those with a positive dual value, are held for the following
    ones. The game is symmetric, A for one and its transpose for the other, and so is the equilibrium. None where a program is not
    solved with any of SLACKS.
    """
    import numpy as np

    table = np.array(payoffs, float)
    span = (table.max() - table.min()) or 1.0
    size = len(table)
    gains = np.array([_gain(table / span, agent) for agent in range(size)])  # [agent][pair]
    held: dict[int, float] = {}
    while len(held) < size:
        free = [agent for agent in range(size) if agent not in held]
        programs = (_least_gain(gains[free], gains[[*held]], [gain + slack for gain in held.values()]) for slack in SLACKS)
        solved = next((program for program in programs if program is not None), None)
        if solved is None:
            return None
        least, duals = solved
        tight = [agent for agent, dual in zip(free, duals, strict=True) if dual > TIGHT] or [free[int(np.argmax(duals))]]
        held |= dict.fromkeys(tight, least)
    return [round(float(held[agent] * span), DIGITS) + 0.0 for agent in range(size)]


def _least_gain(free: Array, held: Array, most: Sequence[float]) -> tuple[float, Array] | None:
    """The smallest that the largest of the ``free`` gains ([agent][pair]) can be where those ``held`` are at ``most`` so large,
    and the dual value of each; None where the solver has no solution."""
    import numpy as np
    from scipy.optimize import linprog

    pairs = free.shape[1]
    slack = np.concatenate([-np.ones(len(free)), np.zeros(len(held))])[:, None]
    solved = linprog(
        c=np.concatenate([np.zeros(pairs), [1.0]]),
        A_ub=np.hstack([np.vstack([free, held]), slack]),
        b_ub=np.concatenate([np.zeros(len(free)), most]),
        A_eq=np.concatenate([np.ones(pairs), [0.0]])[None, :],
        b_eq=[1.0],
        bounds=[(0, None)] * pairs + [(None, None)],
        method="highs",
        options=PRECISION,
    )
    return (float(solved.x[-1]), -solved.ineqlin.marginals[: len(free)]) if solved.status == 0 else None


def _gain(table: Array, agent: int) -> Array:
    """What a player gains by this agent in each pair, the mean of both players' gains, for the equilibrium is symmetric."""
    row = table[agent][None, :] - table  # the first player leaves (i, j) for (agent, j)
    column = table[agent][:, None] - table.T
    mean: Array = ((row + column) / 2).ravel()
    return mean
