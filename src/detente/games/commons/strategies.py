"""Strategies for the commons: the next message or ask as a pure function of what was seen."""

from __future__ import annotations

import random

from detente.games.commons.rules import CommonsView
from detente.games.family import Strategy


def sustainable(view: CommonsView, rng: random.Random) -> str:
    """Take an equal share of what can be taken so that the stock is full again next month."""
    return _propose(view) if view.phase == "message" else view.ask(view.share)


def greedy(view: CommonsView, rng: random.Random) -> str:
    """Say nothing and ask for everything."""
    return view.message("") if view.phase == "message" else view.ask(view.stock)


def threshold(view: CommonsView, rng: random.Random) -> str:
    """Take as ``sustainable`` does while the stock is at least half of its capacity, else ask for everything."""
    if view.phase == "message":
        return _propose(view)
    return view.ask(view.share if 2 * view.stock >= view.capacity else view.stock)


def any_ask(view: CommonsView, rng: random.Random) -> str:
    """Say nothing and ask for any amount, all equally likely."""
    return view.message("") if view.phase == "message" else view.ask(rng.randint(0, view.stock))


def _propose(view: CommonsView) -> str:
    return view.message(f"Let each of us catch at most {view.share} tons this month.")


COMMONS: dict[str, Strategy] = {"sustainable": sustainable, "threshold": threshold, "greedy": greedy, "random": any_ask}
