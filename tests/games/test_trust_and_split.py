"""Trust-and-Split: hands, what players are told, and every option."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import pytest

from detente.errors import UserError
from detente.games import make
from detente.games.base import Step
from detente.games.splitting import REVEAL, TAGS
from detente.games.splitting.deals import Deal, SplitState, Values

HANDS = ("rock", "paper", "scissors")
WINS = {("rock", "scissors"), ("paper", "rock"), ("scissors", "paper")}  # (upper, lower)
GAME: Any = make("trust_and_split")


def dealt(game: Any, seeds: range = range(300)) -> list[Deal]:
    return [game.draw(random.Random(seed), None) for seed in seeds]


def asking(game: Any, hands: tuple[str, str], rounds: int = 1) -> SplitState:
    """A state with these hands in every round, when the asks are due."""
    values = ((game.upper,), (game.lower,)) if hands in WINS else ((game.lower,), (game.upper,))
    deal = Deal((game.coins,), values, ((hands[0],), (hands[1],)))
    return replace(game.reset(random.Random(0)), deals=(deal,) * rounds, spoken=("",) * 2 * game.messages, first=0)


def ask(game: Any, state: SplitState, own: int, other: int) -> Step:
    return game.step(state, {0: {"coins": own}, 1: {"coins": other}})


# ---- hands


def test_hands_differ_and_the_winning_one_makes_coins_worth_more() -> None:
    deals = Counter(dealt(GAME, range(1200)))
    seen = {(deal.truth[0][0], deal.truth[1][0]): deal.values for deal in deals}
    assert set(seen) == {(a, b) for a in HANDS for b in HANDS if a != b}
    for hands, values in seen.items():
        assert values == (((10,), (1,)) if hands in WINS else ((1,), (10,)))
    assert all(count == pytest.approx(200, abs=60) for count in deals.values())


def test_a_hand_alone_says_nothing_about_its_worth() -> None:
    worth = Counter((deal.truth[0][0], deal.values[0][0]) for deal in dealt(GAME, range(1200)))
    assert all(worth[hand, value] == pytest.approx(200, abs=60) for hand in HANDS for value in (10, 1))


def test_alternating_hands_swap_winner_and_loser_every_round() -> None:
    game: Any = make("trust_and_split", alternating_hands=True, rounds=12)
    for seed in range(10):
        winners = [deal.values.index((10,)) for deal in game.reset(random.Random(seed)).deals]
        assert winners in ([0, 1] * 6, [1, 0] * 6)
    assert "Who has the upper hand changes every round." in game.rules()
    assert "changes every round" not in GAME.rules()
    assert len({deal.truth for deal in game.reset(random.Random(0)).deals}) > 2  # which hands they are stays random


def test_without_alternating_hands_the_winner_is_independent_of_the_last_one() -> None:
    pairs: Any = Counter()
    for seed in range(100):
        winners = [deal.values.index((10,)) for deal in make("trust_and_split", rounds=11).reset(random.Random(seed)).deals]
        pairs.update(pairwise(winners))
    assert all(pairs[a, b] == pytest.approx(250, abs=60) for a in (0, 1) for b in (0, 1))


# ---- points


@pytest.mark.parametrize(
    ("own", "other", "points"),
    [
        (10, 10, (50, 5)),
        (10, 0, (100, 0)),
        (0, 10, (0, 10)),
        (5, 5, (50, 5)),
        (10, 5, (200 / 3, 10 / 3)),
        (3, 4, (30, 4)),
        (0, 0, (0, 0)),
    ],
)
def test_points_by_hand(own: int, other: int, points: tuple[float, ...]) -> None:
    state = asking(GAME, ("paper", "rock"))
    assert ask(GAME, state, own, other).rewards == pytest.approx(points)
    swapped = asking(GAME, ("rock", "paper"))
    assert ask(GAME, swapped, other, own).rewards == pytest.approx(points[::-1])


def test_coins_upper_and_lower() -> None:
    game: Any = make("trust_and_split", coins=8, upper=5, lower=0)
    state = asking(game, ("rock", "scissors"))
    assert ask(game, state, 8, 8).rewards == (20, 0)
    assert game.reward_bounds == (0, 40)
    rules = game.rules()
    assert "split 8 coins" in rules
    assert "worth 5 points to the player whose hand wins (the upper hand) and 0 to the other" in rules
    assert "ask for 0 to 8 coins" in rules
    assert "add up to 8 or less" in rules


# ---- what players are told


def test_the_rules_tell_the_true_ranges() -> None:
    rules = GAME.rules()
    assert {value for deal in dealt(GAME) for own in deal.values for value in own} == {10, 1}
    assert "worth 10 points to the player whose hand wins (the upper hand) and 1 to the other (the lower hand)" in rules
    assert {deal.stock for deal in dealt(GAME)} == {(10,)}
    assert "split 10 coins" in rules
    for beats in ("Rock beats scissors", "scissors beats paper", "paper beats rock"):
        assert beats in rules


@pytest.mark.parametrize("hands", sorted(WINS | {(b, a) for a, b in WINS}))
def test_a_player_is_told_its_own_hand_only(hands: tuple[str, str]) -> None:
    state = replace(asking(GAME, hands), spoken=())
    for player, hand in enumerate(hands):
        told = GAME.observe(state, player)
        assert told.text.splitlines()[-2] == f"Your hand is {hand}."
        assert told.view.truth == (hand,)
        assert (told.view.known.own, told.view.known.values) == (None, None)


@pytest.mark.parametrize("own", HANDS)
def test_the_hand_that_the_other_names_tells_both_values(own: str) -> None:
    beaten, beating = [b for a, b in WINS if a == own], [a for a, b in WINS if b == own]
    if_named = GAME.known(Deal((10,), ((10,), (1,)), ((own,), (beaten[0],))), 0).if_named
    assert if_named == {frozenset(beaten): Values((10,), (1,)), frozenset(beating): Values((1,), (10,))}


@pytest.mark.parametrize("reveal", [chosen for size in range(4) for chosen in combinations(REVEAL, size)])
def test_only_what_is_to_be_revealed_is_told_afterwards(reveal: tuple[str, ...]) -> None:
    game: Any = make("trust_and_split", reveal=reveal, messages=0)
    after = ask(game, asking(game, ("paper", "rock"), rounds=2), 7, 4).state
    for player, hand, asked, own, other in ((0, "lower", 4, 63.6, 3.6), (1, "upper", 7, 3.6, 63.6)):
        told = game.observe(after, player)
        news = told.text.splitlines()[0]
        assert (f"had the {hand} hand" in news) == ("values" in reveal)
        assert (f"asked for {asked} coins" in news) == ("asks" in reveal)
        assert (f"You got {own} points, the other player {other}." in news) == ("points" in reveal)
        assert (news == "A new round.") == (not reveal)
        (seen,) = told.view.past
        assert seen.own == ((7,) if player == 0 else (4,))
        assert seen.other == ((asked,) if "asks" in reveal else None)
        assert (seen.values is not None) == ("values" in reveal)


def test_by_default_the_hand_and_the_ask_of_the_other_are_told() -> None:
    after = ask(GAME, asking(GAME, ("paper", "rock"), rounds=2), 7, 4).state
    assert GAME.observe(after, 0).text.splitlines()[0] == "Last round the other player had the lower hand and asked for 4 coins."


def test_without_messages_nobody_talks() -> None:
    game: Any = make("trust_and_split", messages=0)
    state = game.reset(random.Random(0))
    assert game.to_act(state) == (0, 1)
    told = game.observe(state, 0)
    assert "talk" not in told.text
    assert told.text.endswith("Your proposal?")


@pytest.mark.parametrize(("messages", "times"), [(1, "once"), (2, "twice"), (3, "3 times")])
def test_the_rules_tell_how_often_one_may_talk(messages: int, times: str) -> None:
    assert (
        f"you may talk: in turn, {times} each, at most 500 characters a message"
        in make("trust_and_split", messages=messages).rules()  # type: ignore[attr-defined]
    )


@pytest.mark.parametrize("tags", TAGS)
def test_tags(tags: str) -> None:
    game: Any = make("trust_and_split", tags=tags)
    before, after = TAGS[tags]["proposal"]
    state = asking(game, ("rock", "paper"))
    assert game.parse(state, 0, f"{before} 7 {after}") == {"coins": 7}
    for other in TAGS.keys() - {tags}:
        before, after = TAGS[other]["proposal"]
        assert game.parse(state, 0, f"{before} 7 {after}") is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"coins": 0}, "coins is a whole number from 1 to [0-9_]+, not 0"),
        ({"coins": 2.5}, "coins is a whole number"),
        ({"upper": 1}, "1 is not above 1"),
        ({"lower": -1}, "lower is a whole number from 0 to"),
        ({"alternating_hands": "yes"}, "alternating_hands is true or false, not 'yes'"),
        ({"items": ["coins", "gems"]}, "splits one item, .* see trust_and_split_items"),
    ],
    ids=str,
)
def test_wrong_options_get_one_sentence(wrong: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make("trust_and_split", **wrong)
