"""Strategies for the investor game, each for both roles: a pure function of what was seen."""

from __future__ import annotations

import random

from detente.games.family import Strategy
from detente.games.investor.rules import INVESTOR, InvestorView


def fair(view: InvestorView, rng: random.Random) -> str:
    """Invest everything; return half of what was received."""
    return _answer(view, 1.0, 0.5)


def repayer(view: InvestorView, rng: random.Random) -> str:
    """Invest half; return what was invested."""
    return _answer(view, 0.5, 1 / view.multiplier)


def selfish(view: InvestorView, rng: random.Random) -> str:
    """Invest nothing; return nothing."""
    return _answer(view, 0.0, 0.0)


def reciprocal(view: InvestorView, rng: random.Random) -> str:
    """Invest everything at first, then as large a share of it as came back of the last investment, at least a tenth so as to see
    again; return of half of what was received as large a share as was invested of the endowment."""
    invested, returned = next((played for played in reversed(view.past) if played[0]), (1, 1))
    return _answer(view, max(0.1, min(1.0, returned / invested)), 0.5 * (view.invested or 0) / view.endowment)


def any_amount(view: InvestorView, rng: random.Random) -> str:
    """Any amount, all equally likely."""
    most = view.endowment if view.player == INVESTOR else view.received
    share = rng.randint(0, most) / most if most else 0.0
    return _answer(view, share, share)


def _answer(view: InvestorView, invested: float, returned: float) -> str:
    return view.invest(invested) if view.player == INVESTOR else view.send(returned)


INVESTOR_GAME: dict[str, Strategy] = {
    "fair": fair,
    "reciprocal": reciprocal,
    "repayer": repayer,
    "selfish": selfish,
    "random": any_amount,
}
