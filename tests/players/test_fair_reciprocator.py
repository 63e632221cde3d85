"""The reciprocators of the splitting games: who has them, and how much the best and the most harmful opponent get out of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import product
from statistics import fmean
from typing import Any

import pytest

from detente.errors import UserError
from detente.games import make
from detente.games.splitting.deals import Deal, Seen, SplitState, Values
from detente.games.splitting.strategies import SPLITTING
from detente.matches import play_scripts
from detente.players.scripted import checked

Points = tuple[Fraction, Fraction]  # the opponent's, the script's

COINS: Any = make("trust_and_split")
LOWER = COINS.observe(SplitState((Deal((10,), ((10,), (1,)), (("rock",), ("scissors",))),), 0), 1).view
DUE = Seen((10,), Values((10,), (1,)), (10,), (0,))


def mean_points(row: str, column: str, episodes: int) -> tuple[float, float]:
    """Points per round of 10, over so many episodes from either seat, which share their deals."""
    ahead, behind = (play_scripts(COINS, names, episodes) for names in ([row, column], [column, row]))
    own = [e.mean_reward(0) for e in ahead] + [e.mean_reward(1) for e in behind]
    others = [e.mean_reward(1) for e in ahead] + [e.mean_reward(0) for e in behind]
    return fmean(own), fmean(others)


@pytest.mark.parametrize(
    ("name", "reciprocator", "fair"),
    [
        ("half_lower", (51.67, 33.33), (31.6, 35.3)),
        ("liar_half", (42.08, 7.29), (29.7, 30.0)),
        ("liar", (28.79, 23.19), (28.8, 23.2)),
    ],
)
def test_who_is_had_by_what(name: str, reciprocator: tuple[float, float], fair: tuple[float, float]) -> None:
    for column, expect in (("reciprocator", reciprocator), ("fair_reciprocator", fair)):
        assert mean_points(name, column, 100) == pytest.approx(expect, abs=0.8), column


# ---- what it remembers, and when it forgives


def told_lower(*past: Seen) -> str:
    """What it does after these rounds, told that the other has the upper hand: W asks for nothing, G for everything."""
    view = replace(LOWER, phase="decision", heard=("My hand is rock.",), past=past)
    return {"0": "W", "10": "G"}[SPLITTING["fair_reciprocator"](view, random.Random(0)).split()[1]]


@pytest.mark.parametrize(
    ("own", "other"),
    [(10, 1), (10, 10), (0, 10), (0, 0), (5, 0)],  # it takes a little, or all; it lied, whether it takes or not; it said nothing
)
def test_it_forgives_once_it_got_its_due_twice_in_a_row(own: int, other: int) -> None:
    short = Seen((10,), Values((10,), (1,)), (own,), (other,))
    nothing_due = Seen((10,), Values((1,), (10,)), (10,), (10,))
    assert told_lower(DUE, nothing_due) == "W"
    assert told_lower(short) == told_lower(short, DUE) == told_lower(DUE, short, DUE) == "G"
    assert told_lower(short, DUE, nothing_due, nothing_due) == "G"
    assert told_lower(short, DUE, nothing_due, DUE) == "W"


def test_what_is_not_shown_is_not_held_against_anybody() -> None:
    assert told_lower(Seen((10,), None, (10,), (10,)), Seen((10,), Values((10,), (1,)), (0,), None)) == "W"


@pytest.mark.parametrize(
    ("own", "other", "asks"),
    [
        ((10, 0, 5), (0, 10, 5), "10 hats, 0 books, 5 balls"),
        ((10, 0, 5), (0, 10, 6), "10 hats, 10 books, 10 balls"),
        ((10, 10, 10), (0, 10, 5), "10 hats, 0 books, 5 balls"),
        ((10, 10, 10), (1, 10, 5), "10 hats, 10 books, 10 balls"),  # more points than it was due, and too few hats
    ],
)
def test_each_item_counts(own: tuple[int, ...], other: tuple[int, ...], asks: str) -> None:
    game: Any = make("split_no_comm")
    values = Values((10, 1, 1), (1, 10, 1))
    view = game.observe(SplitState((Deal((10,) * 3, (values.own, values.other)),), 0), 0).view
    after = replace(view, past=(Seen((10,) * 3, values, own, other),))
    assert SPLITTING["fair_reciprocator"](after, random.Random(0)) == f"Proposal: {asks}"


def test_nothing_is_due_where_points_need_an_agreement() -> None:
    with pytest.raises(UserError, match="'fair_reciprocator' cannot play deal_or_no_deal; those that can: greedy, fair_half"):
        checked("fair_reciprocator", make("deal_or_no_deal"))


# ---- exact values

# What a script that believes asks for while the opponent has the lower and the upper hand, for each thing that the opponent can
# say. One that speaks first can name its own hand, the one that beats it, the one that it beats, or none; one that speaks second
# knows both.
TOLD_FIRST = ((10, 0), (5, 10), (0, 5), (5, 5))
TOLD_SECOND = tuple(product((0, 5, 10), repeat=2))


def exact(wronged: Callable[[int, Fraction], bool], *, harm: bool) -> tuple[float, float]:
    """Points per round, over 10 rounds, of the opponent that gets the most (``harm``: leaves the least) and of the script.

    The script asks for everything if it was ``wronged``, given what the opponent asked for and the coins that it received itself,
    in one of the last two rounds in which it had the upper hand.
    """

    def order(points: Points) -> Points:
        return (-points[1], points[0]) if harm else points

    @cache
    def value(left: int, first: bool, window: tuple[bool, ...]) -> Points:
        """The sums over the rounds that are left, where the opponent speaks ``first`` in the next one."""
        if not left:
            return Fraction(0), Fraction(0)
        plans = [
            (hand(left, first, window, 1, lower), hand(left, first, window, 10, upper))
            for lower, upper in (TOLD_FIRST if first else TOLD_SECOND)
        ]
        return max((((low[0] + high[0]) / 2, (low[1] + high[1]) / 2) for low, high in plans), key=order)

    def hand(left: int, first: bool, window: tuple[bool, ...], worth: int, believing: int) -> Points:
        """The same once a coin is ``worth`` so much to the opponent and the script asks for so many if it is not greedy."""
        asks = 10 if any(window) else believing
        outcomes = []
        for asked in range(11):
            own, others = (Fraction(10 * units, max(10, asked + asks)) for units in (asked, asks))
            after = (*window, wronged(asked, others))[-2:] if worth == 1 else window
            later = value(left - 1, not first, after)
            outcomes.append((own * worth + later[0], others * (11 - worth) + later[1]))
        return max(outcomes, key=order)

    openings = [value(10, first, ()) for first in (True, False)]
    own, others = (float(sum(points) / 20) for points in zip(*openings, strict=True))
    return own, others


def test_best_response_and_floor_of_the_reciprocator() -> None:
    assert exact(lambda asked, received: asked > 5, harm=False) == pytest.approx((52.25, 27.5))
    assert exact(lambda asked, received: asked > 5, harm=True) == pytest.approx((44.42, 0.83), abs=0.005)


def test_best_response_and_floor_of_the_fair_reciprocator() -> None:
    # 50.375 is the least: whoever cooperates with itself can be had in the last round, for 5 points by a lie if that is the last
    # word, for 2.5 by greed if not, in place of 50.
    assert exact(lambda asked, received: received < 10, harm=False) == pytest.approx((50.375, 46.25))
    assert exact(lambda asked, received: received < 10, harm=True) == pytest.approx((31.33, 22.17), abs=0.005)
