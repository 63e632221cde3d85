"""Three items, in public and in silence or in private with talk: values, what players are told, and every option."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from detente.errors import UserError
from detente.games import make
from detente.games.base import Step
from detente.games.splitting import REVEAL
from detente.games.splitting.deals import Deal, SplitState, Values
from detente.games.splitting.item_split import value_pairs

PUBLIC: Any
PRIVATE: Any
PUBLIC, PRIVATE = make("split_no_comm"), make("trust_and_split_items")
OWN, OTHER = (10, 1, 1), (1, 10, 1)


def with_deal(
    game: Any, own: tuple[int, ...] = OWN, other: tuple[int, ...] = OTHER, rounds: int = 1, spoken: Any = None
) -> SplitState:
    """A state with these values in every round, when the asks are due unless ``spoken`` says otherwise."""
    truth = tuple(tuple(item for item, v in zip(game.items, values, strict=True) if v == game.high) for values in (own, other))
    deal = Deal((game.stock,) * len(own), (own, other), truth)
    return replace(game.reset(random.Random(0)), deals=(deal,) * rounds, first=0, spoken=("",) * 2 * game.messages)


def ask(game: Any, state: SplitState, own: tuple[int, ...], other: tuple[int, ...]) -> Step:
    return game.step(state, {p: dict(zip(game.items, asks, strict=True)) for p, asks in enumerate((own, other))})


# ---- values


def test_twelve_value_pairs() -> None:
    pairs = value_pairs(3, 1, 10)
    assert len(pairs) == len(set(pairs)) == 12
    assert Counter(own.count(10) for own, _ in pairs) == {1: 6, 2: 6}
    for own, other in pairs:
        assert own.count(10) == other.count(10)
        assert sum(a != b for a, b in zip(own, other, strict=True)) == 2  # two contested items, one tied


@pytest.mark.parametrize(("items", "pairs"), [(2, 2), (3, 12), (4, 54)])
def test_the_number_of_value_pairs(items: int, pairs: int) -> None:
    """sum over k of n(n - 1) with n = C(items, k): 2; 6 + 6; 12 + 30 + 12."""
    assert len(value_pairs(items, 1, 10)) == pairs


def test_value_pairs_are_drawn_uniformly() -> None:
    drawn = Counter(PUBLIC.draw(random.Random(seed), None).values for seed in range(2400))
    assert set(drawn) == set(value_pairs(3, 1, 10))
    assert all(count == pytest.approx(200, abs=60) for count in drawn.values())


@pytest.mark.parametrize("game", [PUBLIC, PRIVATE], ids=lambda game: game.name)
def test_the_rules_tell_the_true_ranges(game: Any) -> None:
    rules = game.rules()
    low, high = map(int, re.search(r"(\d+) or (\d+) points", rules).groups())
    deals = [game.draw(random.Random(seed), None) for seed in range(300)]
    assert {value for deal in deals for own in deal.values for value in own} == {low, high}
    assert "with the same sum for both of you and a difference somewhere" in rules
    assert all(sum(deal.values[0]) == sum(deal.values[1]) and deal.values[0] != deal.values[1] for deal in deals)
    assert "split 10 hats, 10 books, 10 balls" in rules
    assert {deal.stock for deal in deals} == {(10, 10, 10)}


# ---- points


@pytest.mark.parametrize(
    ("own", "other", "points"),
    [
        ((10, 0, 5), (0, 10, 5), (105, 105)),  # the best there is: 210 together
        ((10, 10, 10), (10, 10, 10), (60, 60)),
        ((10, 10, 10), (0, 10, 5), (100 + 5 + 20 / 3, 50 + 10 / 3)),
        ((10, 0, 0), (0, 10, 0), (100, 100)),  # the balls are lost
        ((0, 0, 0), (0, 0, 0), (0, 0)),
    ],
)
def test_points_by_hand(own: tuple[int, int, int], other: tuple[int, int, int], points: tuple[float, ...]) -> None:
    assert ask(PUBLIC, with_deal(PUBLIC), own, other).rewards == pytest.approx(points)
    assert ask(PRIVATE, with_deal(PRIVATE), own, other).rewards == pytest.approx(points)


def test_stock_low_high_and_items() -> None:
    game: Any = make("split_no_comm", stock=4, low=0, high=3, items=["gold", "silver"])
    assert game.reward_bounds == (0, 12)
    assert ask(game, with_deal(game, (3, 0), (0, 3)), (4, 4), (4, 4)).rewards == (6, 6)
    rules = game.rules()
    assert "0 or 3 points" in rules
    assert "split 4 gold, 4 silver" in rules
    assert "ask for 0 to 4 of every item" in rules


# ---- what players are told


def test_public_values_are_told_to_both() -> None:
    state = with_deal(PUBLIC)
    first, second = (PUBLIC.observe(state, player) for player in (0, 1))
    assert "\nYou value hats 10, books 1, balls 1; the other player values hats 1, books 10, balls 1.\n" in first.text
    assert "\nYou value hats 1, books 10, balls 1; the other player values hats 10, books 1, balls 1.\n" in second.text
    assert "You see both players' values." in first.text
    assert first.view.known.values == Values(OWN, OTHER)
    assert second.view.known.values == Values(OTHER, OWN)


def test_private_values_are_told_to_their_owner() -> None:
    state = replace(with_deal(PRIVATE), spoken=())
    told = PRIVATE.observe(state, 0)
    assert "\nYou value hats 10, books 1, balls 1.\n" in told.text
    assert "You see only your own values." in told.text
    assert (told.view.known.own, told.view.known.values) == (OWN, None)
    assert PRIVATE.observe(state, 1).view.known.own == OTHER


def test_a_true_claim_tells_the_values_of_the_other() -> None:
    if_named = PRIVATE.observe(with_deal(PRIVATE), 0).view.known.if_named
    assert if_named == {frozenset({"books"}): Values(OWN, (1, 10, 1)), frozenset({"balls"}): Values(OWN, (1, 1, 10))}
    if_named = PRIVATE.observe(with_deal(PRIVATE, (10, 10, 1), (10, 1, 10)), 1).view.known.if_named
    assert {words: values.other for words, values in if_named.items()} == {
        frozenset({"hats", "books"}): (10, 10, 1),
        frozenset({"books", "balls"}): (1, 10, 10),
    }


def test_an_honest_player_names_the_items_that_it_values_most() -> None:
    for seed in range(30):
        deal = PRIVATE.draw(random.Random(seed), None)
        for values, words in zip(deal.values, deal.truth, strict=True):
            assert words == tuple(item for item, value in zip(PRIVATE.items, values, strict=True) if value == 10)
            said = PRIVATE.claim.format(" and ".join(words))
            assert said == f"I value {' and '.join(words)} most."


@pytest.mark.parametrize("game", [PUBLIC, PRIVATE], ids=lambda game: game.name)
@pytest.mark.parametrize("reveal", [chosen for size in range(4) for chosen in combinations(REVEAL, size)])
def test_only_what_is_to_be_revealed_is_told_afterwards(game: Any, reveal: tuple[str, ...]) -> None:
    game = replace(game, reveal=reveal)
    told = game.observe(ask(game, with_deal(game, rounds=2), (10, 2, 5), (0, 10, 6)).state, 0)
    news = told.text.splitlines()[0]
    assert ("the other player valued hats 1, books 10, balls 1" in news) == ("values" in reveal)
    assert ("you asked for 10 hats, 2 books, 5 balls, the other player for 0 hats, 10 books, 6 balls" in news) == ("asks" in reveal)
    assert ("you got 106.2 points, the other player 88.8" in news) == ("points" in reveal)  # 100 + 20/12 + 50/11; 100/1.2 + 60/11
    assert (news == "A new round.") == (not reveal)
    (seen,) = told.view.past
    assert seen.own == (10, 2, 5)
    assert seen.other == ((0, 10, 6) if "asks" in reveal else None)
    assert (seen.values is not None) == ("values" in reveal or game.public)


def test_split_no_comm_is_silent_and_public() -> None:
    assert (PUBLIC.messages, PUBLIC.public, PUBLIC.tags) == (0, True, "line")
    assert PUBLIC.parse(with_deal(PUBLIC), 0, "Proposal: 10 hats, 0 books, 5 balls") == {"hats": 10, "books": 0, "balls": 5}
    assert "talk" not in PUBLIC.rules()
    assert (PRIVATE.messages, PRIVATE.public) == (1, False)


@pytest.mark.parametrize("name", ["split_no_comm", "trust_and_split_items"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stock": 0}, "stock is a whole number from 1 to [0-9_]+, not 0"),
        ({"low": -1}, "low is a whole number from 0 to"),
        ({"low": 10}, "10 is not above 10"),
        ({"public": 1}, "public is true or false, not 1"),
        ({"items": ["hats"]}, "2 to 6 items"),
    ],
    ids=str,
)
def test_wrong_options_get_one_sentence(name: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(name, **wrong)
