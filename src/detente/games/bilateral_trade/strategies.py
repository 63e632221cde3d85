"""Strategies for the bargaining game, each for both roles: the next message or price as a pure function of what was seen."""

from __future__ import annotations

import random

from detente.games.bilateral_trade.rules import SELLER, TradeView
from detente.games.bilateral_trade.words import claimed
from detente.games.family import Strategy

SHADE = 25  # of a hundred: how far a liar's claim is from the truth


def truthful(view: TradeView, rng: random.Random) -> str:
    """Say the truth and name it as the price."""
    return view.claim(view.own) if view.phase == "message" else view.price(view.own)


def linear(view: TradeView, rng: random.Random) -> str:
    """Say nothing; ask 2/3 of the cost + 1/4 of the highest value, bid 2/3 of the value + 1/12 of it.

    The linear equilibrium of Chatterjee and Samuelson (1983) for uniform values without talk: a trade where the value is at least
    1/4 of the highest above the cost, if no price lies beyond the ends.
    """
    if view.phase == "message":
        return view.message("")
    return view.price(2 / 3 * view.own + view.highest / (4 if view.player == SELLER else 12))


def liar(view: TradeView, rng: random.Random) -> str:
    """Claim a cost 25 % of the highest value above the true one, or a value as far below, and name the price of ``linear``."""
    shade = SHADE * view.highest / 100
    return view.claim(view.own + (shade if view.player == SELLER else -shade)) if view.phase == "message" else linear(view, rng)


def credulous(view: TradeView, rng: random.Random) -> str:
    """Say the truth, and name the middle between it and what the other claims, where a trade at that is no loss; else the truth."""
    if view.phase == "message":
        return view.claim(view.own)
    other = claimed(view.heard, view.highest)
    gain = 0.0 if other is None else other - view.own
    return view.price(view.own + gain / 2 if gain * (1 if view.player == SELLER else -1) > 0 else view.own)


def greedy(view: TradeView, rng: random.Random) -> str:
    """Say nothing; ask for the highest price, bid nothing."""
    return view.message("") if view.phase == "message" else view.price(view.highest if view.player == SELLER else 0)


def any_price(view: TradeView, rng: random.Random) -> str:
    """Say nothing; any whole price, all equally likely."""
    return view.message("") if view.phase == "message" else view.price(rng.randint(0, view.highest))


TRADE: dict[str, Strategy] = {
    "truthful": truthful,
    "linear": linear,
    "credulous": credulous,
    "liar": liar,
    "greedy": greedy,
    "random": any_price,
}
