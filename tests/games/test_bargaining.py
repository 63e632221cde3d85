"""Bargaining: exact anchors of truth and of the linear equilibrium, what is hidden, claims, measures, and what a report reads."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

import detente
from detente.errors import UserError
from detente.games import Observation, family_of, make
from detente.games.bilateral_trade.measures import slope
from detente.games.bilateral_trade.reading import surplus
from detente.games.bilateral_trade.words import claimed
from detente.games.contract import check_game
from detente.games.family import measured
from detente.games.roles import roles
from detente.games.summaries import summary
from detente.matches import play_scripts
from detente.records import Episode

PAIRS = [(cost, value) for cost in range(101) for value in range(101)]


def talk_or_trade(told: Observation, rng: random.Random) -> str:
    if told.phase == "message":
        return f"Message: {rng.choice(['', 'I pay 40.', 'No.', 'ключ 🗝'])}"
    return f"Price: {rng.choice(['0', '7.5', '100', '100.0', '99.9', '12'])}"


def named(name: str) -> dict[tuple[int, int], float]:
    """The price that a strategy names without a word said, by player and cost or value."""
    game: Any = make("bargaining", messages=0)
    script, state = family_of(game).strategies[name], game.reset(random.Random(0))
    prices = {}
    for worth in range(101):
        now = replace(state, worth=((worth, worth), *state.worth[1:]))
        for player in (0, 1):
            view = game.observe(now, player).view
            prices[player, worth] = game.parse(now, player, script(view, random.Random(0)))
    return prices


def points(name: str) -> list[tuple[float, float]]:
    """What seller and buyer get of every cost and value when both play by the strategy."""
    game: Any = make("bargaining", messages=0, rounds=1)
    state, prices = game.reset(random.Random(0)), named(name)
    return [
        game.step(replace(state, worth=((cost, value),)), {0: prices[0, cost], 1: prices[1, value]}).rewards
        for cost, value in PAIRS
    ]


def played(seller: str, buyer: str, seed: int = 0, **parameters: Any) -> Episode:
    (episode,) = detente.play(make("bargaining", **parameters), [seller, buyer], seed=seed)
    return episode


def test_truthful_players_trade_all_the_surplus_and_split_it_evenly() -> None:
    assert points("truthful") == [(max(0, value - cost) / 2,) * 2 for cost, value in PAIRS]
    assert surplus(100) == sum(max(0, value - cost) for cost, value in PAIRS) / 101**2


def test_the_linear_equilibrium_trades_where_the_value_is_25_above_the_cost() -> None:
    gains = [sum(both) for both in points("linear")]
    assert gains == pytest.approx([value - cost if value >= cost + 25 else 0 for cost, value in PAIRS])
    assert sum(gains) / 101**2 == pytest.approx(surplus(100, 25))
    seller, buyer = (sum(both[player] for both in points("linear")) for player in (0, 1))
    assert seller == pytest.approx(buyer)


def test_the_linear_equilibrium_gets_27_of_32_of_continuous_values() -> None:
    """The density of a gain d of two uniform values in [0, 1] is 1 - d; the finer the whole numbers, the nearer they are."""

    def expected(least: Fraction) -> Fraction:
        """The integral of d (1 - d) from least to 1."""
        return Fraction(1, 6) - (least**2 / 2 - least**3 / 3)

    assert expected(Fraction(1, 4)) / expected(Fraction(0)) == Fraction(27, 32)
    assert surplus(100, 25) / surplus(100) == pytest.approx(1463 / 1717)
    assert surplus(100_000, 25_000) / surplus(100_000) == pytest.approx(27 / 32, abs=1e-4)


@pytest.mark.parametrize("name", ["truthful", "linear"])
def test_nobody_gains_by_another_price_against_the_linear_equilibrium_but_the_truthful_can(name: str) -> None:
    """For a buyer of value 70, over all costs: the best whole price against the seller."""
    asks = named(name)

    def gain(price: float) -> float:
        return sum(70 - (price + asks[0, cost]) / 2 for cost in range(101) if price >= asks[0, cost])

    own = named(name)[1, 70]
    best = max(map(gain, range(101)))
    assert best > gain(own) + 100 if name == "truthful" else best <= gain(own) + 1


VARIANTS = [{}, {"messages": 0}, {"messages": 2}, {"revealed": False}, {"highest": 100, "continuation": 0.7, "max_rounds": 6}]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_contract(variant: dict[str, Any]) -> None:
    check_game(make("bargaining", **{"rounds": 4} | variant), episodes=4, sample=talk_or_trade)


def test_what_each_role_is_told() -> None:
    game: Any = make("bargaining")
    assert roles(game) == ("seller", "buyer")
    state = replace(game.reset(random.Random(0)), worth=((20, 70), (1, 2)), first=0)
    texts = [game.observe(state, player).text for player in (0, 1)]
    assert texts[0].endswith("The cost of this round is 20.\nYou speak first. Your message?")
    assert texts[1].endswith("The value of this round is 70.\nThe seller speaks first.")
    assert "You are the buyer." in texts[1]
    state = game.step(state, {0: "It cost me 60."}).state
    assert game.observe(state, 1).text == 'The seller says: "It cost me 60."\nYour message?'
    state = game.step(state, {1: ""}).state
    assert game.observe(state, 0).text == "The buyer says nothing.\nYour price?"
    step = game.step(state, {0: 40.0, 1: 50.0})
    assert (step.rewards, step.info) == ((25, 25), {"worth": [20, 70], "price": 45})
    news = "Last round the seller named 40, the buyer 50: sold for 45. The cost was 20, the value 70.\n"
    assert game.observe(step.state, 1).text.startswith(news)
    assert game.step(state, {0: 50.1, 1: 50.0}).rewards == (0, 0)
    assert game.step(state, {0: 0.0, 1: 0.0}).rewards == (-20, 70)
    secret: Any = make("bargaining", revealed=False)
    assert "The cost was" not in secret.observe(step.state, 1).text


@pytest.mark.parametrize("text", ["Price: 101", "Price: 100.1", "Price: 5.55", "Price: -1", "Price:5", "5", "Price: 05"])
def test_what_is_no_price(text: str) -> None:
    game: Any = make("bargaining", messages=0)
    assert game.parse(game.reset(random.Random(0)), 0, text) is None


@pytest.mark.parametrize(
    ("messages", "number"),
    [
        (["My cost is 40."], 40),
        (["40.5, no less"], 40.5),
        (["between 40 and 50"], None),
        (["40! I said 40"], 40),
        (["my hat"], None),
        (["500"], None),
        (["I have A4 paper", "ok"], None),
        (["It is 30", "no, 35"], 35),
        ([], None),
    ],
)
def test_what_a_message_claims(messages: list[str], number: float | None) -> None:
    assert claimed(messages, 100) == number


def test_measures_of_truth_and_lies() -> None:
    game = make("bargaining")

    def known(seller: str, buyer: str, player: int) -> Any:
        episodes = detente.play(game, [seller, buyer], episodes=30)
        return measured(game, [(episode, player) for episode in episodes])[0]

    true = known("truthful", "truthful", 0)
    assert (true["efficiency"], true["surplus_share"], true["honesty"], true["markup"], true["credulity"]) == (1, 0.5, 1, 0, 0)
    liar = known("liar", "credulous", 0)
    assert liar["honesty"] < 0.85
    assert liar["markup"] > 5
    assert liar["surplus_share"] > 0.5
    credulous = known("truthful", "credulous", 1)
    assert credulous["honesty"] == 1
    assert 0.1 < credulous["credulity"] < 0.5
    silent = known("linear", "linear", 0)
    assert (silent["honesty"], silent["credulity"]) == (None, None)


def test_a_slope_needs_two_different_claims() -> None:
    assert slope([]) is None
    assert slope([(1, 2), (1, 3)]) is None
    assert slope([(0, 1), (2, 5), (1, 3)]) == 2


def test_a_briefing_and_a_reading() -> None:
    game = make("bargaining")
    assert "a trade, you got" in summary("counts", game, [played("truthful", "truthful")], 0)
    known = family_of(game).reading(game, play_scripts)
    assert [anchor.value for anchor in known.anchors] == pytest.approx([8.416, 7.171], abs=0.001)
    assert not known.verdicts


def test_wrong_options() -> None:
    with pytest.raises(UserError, match="option highest is a whole number from 1 to 1000, not 0"):
        make("bargaining", highest=0)
