"""Strategies for matrix games: the probability of each action as a pure function of what was seen.

"To cooperate" is to play the first action and "to defect" the last; the docstring of each strategy names its source. Adding
one is a function and a line in ``MATRIX``. A scripted player (players/scripted.py) draws from the probabilities.
"""

from __future__ import annotations

import random

from detente.errors import UserError
from detente.games.family import Probabilities, Strategy
from detente.games.matrix.rules import MatrixGame, MatrixView, Payoffs


def always_cooperate(view: MatrixView, rng: random.Random) -> Probabilities:
    """Cooperate whatever happens (Axelrod, The Evolution of Cooperation, 1984)."""
    return cooperate(view)


def always_defect(view: MatrixView, rng: random.Random) -> Probabilities:
    """Defect whatever happens (ALL D in Axelrod and Hamilton, The evolution of cooperation, Science 1981)."""
    return cooperate(view, 0.0)


def random_action(view: MatrixView, rng: random.Random) -> Probabilities:
    """Every action with the same probability (RANDOM in Axelrod, Effective choice in the prisoner's dilemma, 1980)."""
    return (1 / len(view.actions),) * len(view.actions)


def tit_for_tat(view: MatrixView, rng: random.Random) -> Probabilities:
    """Cooperate, then do what the other did last (Rapoport, in Axelrod, Effective choice in the prisoner's dilemma, 1980)."""
    return pick(view, view.other[-1]) if view.other else cooperate(view)


def suspicious_tit_for_tat(view: MatrixView, rng: random.Random) -> Probabilities:
    """Defect, then do what the other did last (Boyd and Lorberbaum, Nature 1987)."""
    return pick(view, view.other[-1]) if view.other else cooperate(view, 0.0)


def tit_for_two_tats(view: MatrixView, rng: random.Random) -> Probabilities:
    """Defect only after two defections in a row (Axelrod, Effective choice in the prisoner's dilemma, 1980)."""
    recent = view.other[-2:]
    return cooperate(view, 0.0 if len(recent) == 2 and view.actions[0] not in recent else 1.0)


def generous_tit_for_tat(view: MatrixView, rng: random.Random) -> Probabilities:
    """Tit for tat that forgives a defection now and then, as often as still resists defectors (Nowak and Sigmund, Nature 1992)."""
    forgiving = generosity(view)
    defected = view.other and view.other[-1] != view.actions[0]
    return cooperate(view, forgiving if defected else 1.0)


def grim_trigger(view: MatrixView, rng: random.Random) -> Probabilities:
    """Cooperate until the other defects once, then defect for ever (Friedman, Review of Economic Studies 1971)."""
    return cooperate(view, float(all(action == view.actions[0] for action in view.other)))


def win_stay_lose_shift(view: MatrixView, rng: random.Random) -> Probabilities:
    """Keep one's action while the other cooperates, else change it (Pavlov in Nowak and Sigmund, Nature 1993)."""
    if not view.own:
        return cooperate(view)
    cooperated = view.own[-1] == view.actions[0]
    won = view.other[-1] == view.actions[0]
    return cooperate(view, float(cooperated == won))


def extort(view: MatrixView, rng: random.Random) -> Probabilities:
    """Take chi = 2 times the other's surplus over mutual defection: Extort-2 (Press and Dyson 2012; Stewart and Plotkin 2012)."""
    if not view.own:
        return cooperate(view)
    joint = 2 * (view.own[-1] != view.actions[0]) + (view.other[-1] != view.actions[0])
    return cooperate(view, extortion(view)[joint])


MATRIX: dict[str, Strategy] = {
    "always_cooperate": always_cooperate,
    "always_defect": always_defect,
    "random": random_action,
    "tit_for_tat": tit_for_tat,
    "suspicious_tit_for_tat": suspicious_tit_for_tat,
    "tit_for_two_tats": tit_for_two_tats,
    "generous_tit_for_tat": generous_tit_for_tat,
    "grim_trigger": grim_trigger,
    "win_stay_lose_shift": win_stay_lose_shift,
    "extort": extort,
}
DILEMMA_ONLY = ("generous_tit_for_tat", "extort")  # their probabilities come from the payoffs of a prisoner's dilemma


def can_play(game: MatrixGame, strategy: str) -> bool:
    """Whether a strategy makes sense in a game: without a cooperative action only the random one does."""
    if game.cooperative is None:
        return strategy == "random"
    return strategy not in DILEMMA_ONLY or prisoners_dilemma(game.payoffs) is not None


def cooperator(game: MatrixGame) -> str | None:
    """The strategy that cooperates whatever happens."""
    return "always_cooperate" if game.cooperative is not None else None


def defector(game: MatrixGame) -> str | None:
    """The strategy that defects whatever happens."""
    return "always_defect" if game.cooperative is not None else None


def cooperate(view: MatrixView, p: float = 1.0) -> Probabilities:
    """The first action with probability p, else the last."""
    return (p, *(0.0 for _ in view.actions[2:]), 1 - p)


def pick(view: MatrixView, chosen: str) -> Probabilities:
    """That action for certain."""
    return tuple(float(action == chosen) for action in view.actions)


def generosity(view: MatrixView) -> float:
    """min{1 - (T-R)/(R-S), (R-P)/(T-P)}, at least 0: the most forgiveness that still resists defectors.

    Nowak and Sigmund, Tit for tat in heterogeneous populations, Nature 1992. 1/3 on the standard payoffs.
    """
    t, r, p, s = _dilemma(view, "generous_tit_for_tat")
    return max(0.0, min(1 - (t - r) / (r - s), (r - p) / (t - p)))


def extortion(view: MatrixView, chi: float = 2.0) -> tuple[float, float, float, float]:
    """The probabilities of cooperating after CC, CD, DC and DD (own action first) that enforce own - P = chi * (other - P).

    Press and Dyson, Iterated prisoner's dilemma contains strategies that dominate any evolutionary opponent, PNAS 2012.
    Their free factor phi is half of the maximum that keeps all four in [0, 1], which on the standard payoffs is
    Extort-2 of Stewart and Plotkin, Extortion and cooperation in the prisoner's dilemma, PNAS 2012: 8/9, 1/2, 1/3, 0.
    """
    t, r, p, s = _dilemma(view, "extort")
    phi = 0.5 / max((p - s) + chi * (t - p), chi * (p - s) + (t - p))  # phi / (P - S) in the paper's letters
    return (
        1 - phi * (chi - 1) * (r - p),
        1 - phi * ((p - s) + chi * (t - p)),
        phi * (chi * (p - s) + (t - p)),
        0.0,
    )


def prisoners_dilemma(payoffs: Payoffs) -> tuple[float, float, float, float] | None:
    """T, R, P and S where the table is a symmetric prisoner's dilemma, T > R > P > S; else None."""
    own = [[cell[0] for cell in row] for row in payoffs]
    other = [[cell[1] for cell in row] for row in payoffs]
    if len(own) != 2 or other != [list(column) for column in zip(*own, strict=True)]:
        return None
    (r, s), (t, p) = own
    return (t, r, p, s) if t > r > p > s else None


def _dilemma(view: MatrixView, strategy: str) -> tuple[float, float, float, float]:
    payoffs = prisoners_dilemma(view.payoffs)
    if payoffs is None:
        raise UserError(f"The strategy '{strategy}' is made for a symmetric prisoner's dilemma, which this payoff table is not.")
    return payoffs
