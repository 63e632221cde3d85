"""Deal or No Deal: what can be dealt, when there is a deal, and what players are told and can work out."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from itertools import product
from statistics import mean
from typing import Any

import pytest

from detente.errors import UserError
from detente.games import make
from detente.games.splitting import REVEAL
from detente.games.splitting.deal_or_no_deal import DealOrNoDeal, contexts, others, worths
from detente.games.splitting.deals import Deal, SplitState


def state_of(
    stock: tuple[int, int, int], values: tuple[tuple[int, int, int], tuple[int, int, int]], first: int = 0, **parameters: Any
) -> tuple[DealOrNoDeal, SplitState]:
    """A game of one round with this deal, when the asks are due."""
    game: Any = make("deal_or_no_deal", rounds=1, messages=0, **parameters)
    truth = tuple(tuple(item for item, v in zip(game.items, own, strict=True) if v == max(own)) for own in values)
    return game, replace(game.reset(random.Random(0)), deals=(Deal(stock, values, truth),), first=first)


def dot(units: Iterable[int], values: tuple[int, int, int]) -> int:
    return sum(u * v for u, v in zip(units, values, strict=True))


def rewards(
    stock: tuple[int, int, int],
    values: tuple[tuple[int, int, int], tuple[int, int, int]],
    row: tuple[int, int, int],
    column: tuple[int, int, int],
) -> tuple[float, ...] | None:
    game, state = state_of(stock, values)
    return game.step(state, {p: dict(zip(game.items, take, strict=True)) for p, take in enumerate((row, column))}).rewards


# ---- contexts


def test_every_context_keeps_the_rules() -> None:
    for stock, (own, other) in contexts():
        assert len(stock) == len(own) == len(other) == 3
        assert 5 <= sum(stock) <= 7
        assert min(stock) >= 1
        for values in (own, other):
            assert dot(stock, values) == 10
            assert min(values) >= 0
        assert all(mine or theirs for mine, theirs in zip(own, other, strict=True))
        assert any(mine and theirs for mine, theirs in zip(own, other, strict=True))


def test_no_context_is_missing() -> None:
    stocks = Counter(sum(stock) for stock in {stock for stock, _ in contexts()})
    assert stocks == {5: 6, 6: 10, 7: 15}  # compositions of n into three parts: (n - 1)(n - 2) / 2
    assert len(contexts()) == len(set(contexts()))
    assert {(stock, values[::-1]) for stock, values in contexts()} == set(contexts())


def test_the_contexts_of_one_stock_by_hand() -> None:
    """2 books, 2 hats, 3 balls: 2a + 2b + 3c = 10 has six solutions with c = 0 and three with c = 2."""
    both = {(5 - b, b, 0) for b in range(6)}
    assert set(worths((2, 2, 3))) == both | {(2, 0, 2), (1, 1, 2), (0, 2, 2)}
    assert set(others((2, 2, 3), (5, 0, 0))) == {(1, 1, 2)}  # somebody wants hats and balls, both want books
    assert set(others((2, 2, 3), (3, 2, 0))) == {(1, 1, 2), (2, 0, 2), (0, 2, 2)}
    assert set(others((2, 2, 3), (1, 1, 2))) == set(worths((2, 2, 3)))
    assert set(others((2, 2, 3), (0, 2, 2))) == {(4, 1, 0), (3, 2, 0), (2, 3, 0), (1, 4, 0), (2, 0, 2), (1, 1, 2)}
    assert sum(stock == (2, 2, 3) for stock, _ in contexts()) == 1 + 1 + 4 * 3 + 9 + 6 + 6


def test_both_can_never_have_everything_that_they_want() -> None:
    """Lewis et al. (2017) ask for the rules of the values because they make the negotiation competitive."""
    assert {Deal(stock, values).best for stock, values in contexts()} == set(range(10, 20))


def test_contexts_are_drawn_uniformly() -> None:
    game, rng, draws = make("deal_or_no_deal"), random.Random(0), 20_000
    deals = [game.draw(rng, None) for _ in range(draws)]  # type: ignore[attr-defined]
    dealt = Counter(sum(deal.stock) for deal in deals)
    expected = Counter(sum(stock) for stock, _ in contexts())
    for units in (5, 6, 7):
        assert dealt[units] / draws == pytest.approx(expected[units] / len(contexts()), abs=0.02)
    assert len(set(deals)) == pytest.approx(len(contexts()) * (1 - (1 - 1 / len(contexts())) ** draws), rel=0.02)


# ---- points

STOCK, VALUES = (3, 2, 1), ((1, 3, 1), (0, 2, 6))  # 3 + 6 + 1 and 0 + 4 + 6


@pytest.mark.parametrize(
    ("row", "column", "points"),
    [
        ((3, 2, 0), (0, 0, 1), (9, 6)),  # each kind to who values it most: the best joint points
        ((3, 1, 0), (0, 1, 1), (6, 8)),
        ((3, 2, 1), (0, 0, 0), (10, 0)),
        ((0, 0, 0), (3, 2, 1), (0, 10)),
        ((0, 2, 0), (3, 0, 1), (6, 6)),  # books are worth nothing to the second player, yet they must be divided
        ((3, 2, 1), (3, 2, 1), (0, 0)),  # both want everything
        ((3, 2, 1), (0, 0, 1), (0, 0)),  # one ball is claimed twice
        ((3, 2, 0), (0, 0, 0), (0, 0)),  # a ball is left over
        ((0, 2, 0), (2, 0, 1), (0, 0)),  # a book is left over, which is worth nothing to the second player
        ((2, 2, 1), (0, 1, 0), (0, 0)),  # as many units as there are, but one hat too many and one book left over
        ((0, 0, 0), (0, 0, 0), (0, 0)),
    ],
)
def test_points_by_hand(row: tuple[int, int, int], column: tuple[int, int, int], points: tuple[int, int]) -> None:
    assert rewards(STOCK, VALUES, row, column) == points
    assert rewards(STOCK, VALUES[::-1], column, row) == points[::-1]


def test_what_is_worth_nothing_pays_nothing() -> None:
    assert rewards((1, 1, 4), ((10, 0, 0), (1, 1, 2)), (0, 1, 4), (1, 0, 0)) == (0, 1)
    assert rewards((1, 1, 4), ((10, 0, 0), (1, 1, 2)), (1, 0, 0), (0, 1, 4)) == (10, 9)


def test_there_is_a_deal_only_if_the_two_divide_the_stock() -> None:
    everything = list(product(range(4), range(3), range(2)))
    for row, column in product(everything, repeat=2):
        earned = rewards(STOCK, VALUES, row, column)
        if all(a + b == q for a, b, q in zip(row, column, STOCK, strict=True)):
            assert earned == (dot(row, VALUES[0]), dot(column, VALUES[1]))
        else:
            assert earned == (0, 0)


def test_what_was_received_is_on_record() -> None:
    game, state = state_of(STOCK, VALUES)
    ask = dict(zip(game.items, (3, 2, 0), strict=True))
    rest = dict(zip(game.items, (0, 0, 1), strict=True))
    assert game.step(state, {0: ask, 1: rest}).info["received"] == [[3, 2, 0], [0, 0, 1]]
    assert game.step(state, {0: ask, 1: ask}).info["received"] == [[0, 0, 0], [0, 0, 0]]


def test_anchor_payoffs() -> None:
    """Means over all contexts of points per round, the ones of docs/games.md."""
    assert len(contexts()) == 5793
    best, poorer = Fraction(0), Fraction(0)
    for stock, values in contexts():
        divisions = [
            (dot(take, values[0]), dot((q - u for q, u in zip(stock, take, strict=True)), values[1]))  # type: ignore[arg-type]
            for take in product(*(range(q + 1) for q in stock))
        ]
        assert divisions[0] == (0, 10)
        assert divisions[-1] == (10, 0)
        assert max(map(sum, divisions)) == Deal(stock, values).best
        best += max(map(sum, divisions))
        poorer += max(map(min, divisions))
    assert round(float(best / len(contexts())), 2) == 15.06
    assert round(float(poorer / len(contexts())), 2) == 6.56
    assert round(float(mean(Fraction(10, Deal(*context).best) for context in contexts())), 3) == 0.679


# ---- what players are told


def test_the_rules_tell_the_true_ranges() -> None:
    game: Any = make("deal_or_no_deal")
    rules = game.observe(game.reset(random.Random(0)), 0).text
    low, high = map(int, re.search(r"(\d+) to (\d+) in all", rules).groups())
    assert {sum(stock) for stock, _ in contexts()} == set(range(low, high + 1))
    low, high = map(int, re.search(r"points from (\d+) to (\d+)\.", rules).groups())
    assert {value for _, values in contexts() for own in values for value in own} == set(range(low, high + 1))
    assert "at least one of each kind" in rules
    assert "worth 10 points to you and 10 points to the other player" in rules


def test_a_player_is_told_the_stock_and_its_own_values() -> None:
    game, state = state_of(STOCK, VALUES)
    for player, values in enumerate(("books 1, hats 3, balls 1", "books 0, hats 2, balls 6")):
        told = game.observe(state, player).text
        assert told.endswith(f"\nThere are 3 books, 2 hats, 1 balls. You value {values}.\nYour proposal?")


@pytest.mark.parametrize("chosen", list(product((False, True), repeat=3)))
def test_only_what_is_to_be_revealed_is_told_afterwards(chosen: tuple[bool, bool, bool]) -> None:
    reveal = tuple(word for word, wanted in zip(REVEAL, chosen, strict=True) if wanted)
    game: Any = make("deal_or_no_deal", rounds=2, messages=0, reveal=reveal)
    state = game.reset(random.Random(0))
    state = replace(state, deals=(Deal(STOCK, VALUES, (("hats",), ("balls",))), state.deals[1]))
    asks = [dict(zip(game.items, take, strict=True)) for take in ((3, 2, 0), (0, 0, 1))]
    told = game.observe(game.step(state, dict(enumerate(asks))).state, 0)
    line = told.text.splitlines()[0]
    assert ("valued books 0, hats 2, balls 6" in line) == ("values" in reveal)
    assert ("take 3 books, 2 hats, 0 balls, the other player 0 books, 0 hats, 1 balls" in line) == ("asks" in reveal)
    assert ("you got 9 points, the other player 6" in line) == ("points" in reveal)
    assert (line == "A new round.") == (not reveal)
    (seen,) = told.view.past
    assert (seen.values is not None) == ("values" in reveal)
    assert (seen.other is not None) == ("asks" in reveal)


def test_an_honest_player_names_the_kinds_that_it_values_most_per_unit() -> None:
    game: Any = make("deal_or_no_deal")
    rng = random.Random(0)
    for deal in (game.draw(rng, None) for _ in range(200)):
        for values, words in zip(deal.values, deal.truth, strict=True):
            assert words == tuple(item for item, value in zip(game.items, values, strict=True) if value == max(values))


def test_a_true_claim_tells_the_values_only_where_nothing_else_fits() -> None:
    def learnt(own: tuple[int, int, int], other: tuple[int, int, int]) -> dict[str, tuple[int, int, int]]:
        game, state = state_of((2, 2, 3), (own, other))
        if_named = game.observe(state, 0).view.known.if_named
        assert {values.own for values in if_named.values()} == {own}
        return {" ".join(sorted(words)): values.other for words, values in if_named.items()}

    # the other has one of (1, 1, 2), (2, 0, 2) and (0, 2, 2)
    assert learnt((3, 2, 0), (1, 1, 2)) == {"balls": (1, 1, 2), "balls books": (2, 0, 2), "balls hats": (0, 2, 2)}
    # "books" fits (4, 1, 0) and (3, 2, 0), "hats" fits (2, 3, 0) and (1, 4, 0)
    assert learnt((0, 2, 2), (4, 1, 0)) == {"balls": (1, 1, 2), "balls books": (2, 0, 2)}


def test_no_kind_can_be_asked_for_beyond_its_stock() -> None:
    game, state = state_of(STOCK, VALUES)
    form = game.observe(state, 0).form
    assert game.parse(state, 0, form.format(3, 2, 1)) == {"books": 3, "hats": 2, "balls": 1}
    for ask in ((4, 0, 0), (0, 3, 0), (0, 0, 2)):
        assert game.parse(state, 0, form.format(*ask)) is None


def test_options() -> None:
    assert make("deal_or_no_deal").messages == 2  # type: ignore[attr-defined]
    fruit = make("deal_or_no_deal", items=["apples", "pears", "plums"])
    assert "divide apples, pears and plums." in fruit.observe(fruit.reset(random.Random(0)), 0).text
    with pytest.raises(UserError, match="divides 3 kinds of items, not \\['books', 'hats'\\]"):
        make("deal_or_no_deal", items=["books", "hats"])
