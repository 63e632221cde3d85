"""Public goods: every point by hand, what players are told and asked, and the scripted strategies."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

import detente
from detente.errors import UserError
from detente.games import make
from detente.games.base import Observation
from detente.games.public_goods.rounds import FREE, SANCTIONING, GroupView, Row, Seen
from detente.games.public_goods.strategies import PUNISHMENTS, STRATEGIES
from detente.players.human import answered
from detente.records import Episode, Round

STANDARD: Any = make("public_goods")
SMALL: Any = make("public_goods", players=3, institutions=False, multiplier=1.8, levels=[0, 10, 20])


def first_round(*names: str, **parameters: Any) -> Round:
    (episode,) = detente.play(make("public_goods", players=len(names), rounds=1, **parameters), [*names])
    return episode.rounds[0]


def points(game: Any, institutions: str, given: list[int], tokens: dict[tuple[int, int], int] | None = None) -> list[float]:
    """Points of a round: S for who is in the institution with sanctions; tokens by who sends them to whom."""
    where = [SANCTIONING if letter == "S" else FREE for letter in institutions]
    sent = [[(tokens or {}).get((p, q), 0) for q in range(len(given))] for p in range(len(given))]
    stages = zip(game.stakes.first(where, given), game.stakes.second(sent), strict=True)
    return [first + second for first, second in stages]


def test_points_of_the_standard_game() -> None:
    assert points(STANDARD, "S" * 7, [20] * 7) == pytest.approx([52] * 7)
    assert points(STANDARD, "FFFSSSS", [0] * 7) == [40] * 7
    assert points(STANDARD, "S" * 7, [0] + [20] * 6) == pytest.approx([67.43] + [47.43] * 6, abs=0.005)
    assert points(STANDARD, "SFFFFFF", [20] + [0] * 6) == [52] + [40] * 6


def test_points_without_institutions() -> None:
    assert points(SMALL, "FFF", [20] * 3) == pytest.approx([36] * 3)
    assert points(SMALL, "FFF", [0] * 3) == [20] * 3
    assert first_round("giver", "giver", "giver", institutions=False, multiplier=1.8).rewards == pytest.approx([36] * 3)
    assert first_round(*["free_rider"] * 3, institutions=False, multiplier=1.8).rewards == (20,) * 3


def test_a_token_costs_one_takes_three_and_brings_one() -> None:
    plain = points(STANDARD, "S" * 7, [0] + [20] * 6)
    sent = points(STANDARD, "S" * 7, [0] + [20] * 6, {(1, 0): -2, (2, 0): 3, (0, 6): 5})
    assert [round(after - before, 9) for after, before in zip(sent, plain, strict=True)] == [-2 * 3 + 3 - 5, -2, -3, 0, 0, 0, 5]


def test_the_sum_of_points() -> None:
    """40 for each player and 0.6 for each coin given, less 4 for each negative token; positive ones cancel."""
    for episode in detente.play(STANDARD, ["random"] * 7, episodes=3):
        for played in episode.rounds:
            negative = -sum(token for row in played.info["tokens"] for token in row if token < 0)
            assert sum(played.rewards) == pytest.approx(40 * 7 + 0.6 * sum(played.info["contributions"]) - 4 * negative)


def test_six_negative_tokens_make_free_riding_dear() -> None:
    """One of seven who keeps its coins saves 15.43 points, so that six tokens outweigh it and five do not."""
    saved = points(STANDARD, "S" * 7, [0] + [20] * 6)[0] - points(STANDARD, "S" * 7, [20] * 7)[0]
    assert saved == pytest.approx(15.43, abs=0.005)
    assert 5 * STANDARD.punish < saved < 6 * STANDARD.punish


@pytest.mark.parametrize("size", range(1, 8))
def test_the_bounds_are_reached(size: int) -> None:
    game = make("public_goods", players=size) if size > 1 else STANDARD
    others = range(1, size)
    low = points(game, "S" * size, [20] + [0] * (size - 1), {(0, 1): 20} | {(p, 0): -20 for p in others}) if size > 1 else [40]
    high = points(game, "S" * size, [0] + [20] * (size - 1), {(p, 0): 20 for p in others})
    assert game.reward_bounds[0] <= low[0] <= high[0] <= game.reward_bounds[1]
    if size == 7:
        assert game.reward_bounds == (low[0], high[0])


def test_what_players_are_told() -> None:
    (episode,) = detente.play(STANDARD, ["giver", "sanctioner_3", "free_rider", *["free_rider"] * 4], episodes=1)
    first, second = (turn for turn in episode.turns(0)), episode.rounds[1].turns[0]
    texts = [turn.prompt for turn, _ in zip(first, range(3), strict=False)]
    assert "<A> or <B>" in texts[0]
    assert texts[1:] == ["<A> has 2 players, <B> 5. Your contribution?", "The other players in <A> gave 20. Your tokens?"]
    assert second.prompt.startswith("Last round you gave 20 in <A> and got 32 points, then 20.\nThe others: ")
    assert second.prompt.count("<B> gave 0 got 40") == 5
    assert second.prompt.count("<A> gave 20 got 52") == 1
    waiting = [turn.topic for turn in episode.turns(2)]
    assert waiting[:4] == ["institution", "contribution"] * 2


def test_the_rounds_before_the_last_are_shown_in_a_line() -> None:
    names = ["giver", "free_rider", "free_rider"]
    shown: dict[int, Episode] = {
        window: detente.play(make("public_goods", players=3, window=window), names)[0] for window in (1, 3)
    }
    assert "Before that" not in shown[1].rounds[5].turns[0].prompt
    line = "Before that, players and what they gave on average: <A> 1 gave 20, <B> 2 gave 0; <A> 1 gave 20, <B> 2 gave 0."
    assert line in shown[3].rounds[5].turns[0].prompt


def test_the_others_trade_places_every_round() -> None:
    orders = STANDARD.reset(random.Random(3)).orders
    assert len(orders) == 15
    assert len({*orders}) > 10
    assert all(sorted(order) == [*range(7)] for order in orders)


def test_labels_and_their_order_are_counterbalanced() -> None:
    game: Any = make("public_goods", counterbalance=True)
    states = [game.reset(random.Random(seed)) for seed in range(40)]
    assert {(state.labels, state.listing) for state in states} == {
        (labels, listing) for labels in (("A", "B"), ("B", "A")) for listing in ((0, 1), (1, 0))
    }
    turned = next(state for state in states if state.labels == ("B", "A"))
    assert game.parse(turned, 0, "<B>") == SANCTIONING


def test_invalid_answers_join_no_sanctions_give_nothing_and_send_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def spender(view: GroupView, rng: random.Random) -> str:
        return {"institution": view.answers[0], "contribution": "Contribution: 20"}.get(view.topic, "Tokens: -20, -1")

    monkeypatch.setitem(STRATEGIES, "spender", spender)
    monkeypatch.setitem(STRATEGIES, "mute", lambda view, rng: "I would rather not say.")
    (episode,) = detente.play(make("public_goods", players=4, rounds=1), ["spender", "giver", "giver", "mute"])
    played = episode.rounds[0]
    assert played.info["institutions"] == [SANCTIONING] * 3 + [FREE]
    assert played.info["contributions"] == [20, 20, 20, 0]
    assert played.info["tokens"] == [[0] * 4] * 4
    assert [(turn.player, turn.topic) for turn in played.turns if not turn.valid] == [
        (3, "institution"),
        (3, "contribution"),
        (0, "sanctions"),
    ]


def observed(*institutions: str, given: list[int], player: int = 0, **parameters: Any) -> tuple[Observation, Any, Any]:
    """What a player is asked before sanctions."""
    game: Any = make("public_goods", players=len(given), **parameters)
    state = game.step(game.reset(random.Random(1)), dict(enumerate(institutions))).state
    state = game.step(state, dict(enumerate(given))).state
    return game.observe(state, player), game, state


def test_a_person_is_told_of_tokens_beyond_the_budget() -> None:
    asked, game, state = observed(*[SANCTIONING] * 3, given=[20, 10, 0])
    assert {*asked.view.given} == {10, 0}
    assert answered("-3 17", asked) == "Tokens: -3, 17"
    assert answered("-4, 17", asked) is None
    assert game.parse(state, 0, "Tokens: -3, 17") == [-3, 17]
    for wrong in ("Tokens: -4, 17", "Tokens: -3", "Tokens: 1, 2, 3", "Tokens: 21, 0", "Tokens: -0, 1", "-3, 17"):
        assert game.parse(state, 0, wrong) is None
    assert "at most 20" in asked.help


def test_nobody_is_asked_for_tokens_who_is_alone_or_elsewhere() -> None:
    _, game, state = observed(SANCTIONING, SANCTIONING, FREE, given=[0, 0, 20])
    assert game.to_act(state) == (0, 1)
    assert game.observe(state, 2).text == ""
    alone = first_round("giver", "free_rider")
    assert [turn.topic for turn in alone.turns] == ["institution", "institution", "contribution", "contribution"]
    assert alone.rewards == (52, 40)


def test_noise_replaces_contributions_and_the_record_has_what_was_played() -> None:
    episodes = detente.play(make("public_goods", players=3, noise=0.25, levels=[0, 10, 20]), ["giver"] * 3, episodes=200)
    played = [level for episode in episodes for r in episode.rounds for level in r.info["contributions"]]
    assert played.count(20) / len(played) == pytest.approx(0.75 + 0.25 / 3, abs=0.02)
    assert all(r.info["played"] == {"contribution": r.info["contributions"]} for e in episodes for r in e.rounds)
    assert all(turn.action == 20 for e in episodes for turn in e.turns() if turn.topic == "contribution")


def test_a_person_picks_from_few_levels_and_names_one_of_many() -> None:
    few, many = (game.observe(game.reset(random.Random(0)), 0) for game in (SMALL, make("public_goods", institutions=False)))
    assert few.choices == ("Contribution: 0", "Contribution: 10", "Contribution: 20")
    assert many.choices == ()
    assert answered("7", many) == "Contribution: 7"
    assert answered("21", many) is None


# ---- strategies

LITTLE = Row(FREE, 4, 0, 0, 0.0, 20.0)
MUCH = Row(SANCTIONING, 18, 0, 0, 0.0, 20.0)


def view(topic: str, given: tuple[int, ...] = (), past: tuple[Seen, ...] = ()) -> GroupView:
    return GroupView(topic, ("<A>", "<B>"), tuple(range(21)), 20, given, past)


def test_conditional_gives_what_the_others_gave() -> None:
    def gives(past: tuple[Seen, ...]) -> Any:
        return STRATEGIES["conditional"](view("contribution", past=past), random.Random(0))

    assert gives(()) == "Contribution: 20"
    assert gives((Seen(MUCH, (MUCH, LITTLE)),)) == "Contribution: 11"


@pytest.mark.parametrize("tokens", PUNISHMENTS)
def test_sanctioners_punish_those_below_fifteen(tokens: int) -> None:
    def sends(*given: int) -> Any:
        return STRATEGIES[f"sanctioner_{tokens}"](view("sanctions", given), random.Random(0))

    assert sends(14, 15, 20) == f"Tokens: -{tokens}, 0, 0"
    assert sends(15, 20) == "Tokens: 0, 0"
    many = min(tokens, 20 // 6)
    assert sends(*[0] * 6) == "Tokens: " + ", ".join([f"-{many}"] * 6)


def test_six_sanctioners_with_a_token_each_bring_one_in_line() -> None:
    """Against six who send a token each, a member who keeps its coins gets less than one who gives them."""
    keeper = points(STANDARD, "S" * 7, [0] + [20] * 6, {(p, 0): -1 for p in range(1, 7)})[0]
    assert keeper < points(STANDARD, "S" * 7, [20] * 7)[0]


def test_nobody_punishes_where_there_are_no_sanctions() -> None:
    with pytest.raises(UserError, match=r"'sanctioner_3' cannot play public_goods; those that can: free_rider, giver"):
        detente.play(SMALL, ["sanctioner_3", "giver", "giver"])


# ---- wrong input


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"players": 1}, "The option players is a whole number from 2 to 30, not 1."),
        ({"levels": [0]}, "The levels are 0 and other whole numbers up to the endowment, 20, in rising order, not [0]."),
        ({"levels": [0, 21]}, "in rising order, not [0, 21]."),
        ({"levels": [5, 10]}, "in rising order, not [5, 10]."),
        ({"levels": [0, 10, 10]}, "in rising order, not [0, 10, 10]."),
        ({"levels": "0, 20"}, "in rising order, not '0, 20'."),
        ({"multiplier": -1}, "The option multiplier is a number from 0 to 1000, not -1."),
        ({"punish": float("nan")}, "The option punish is a number from 0 to 1000, not nan."),
        ({"labels": ["A", "A"]}, "The labels are two different words of letters and digits, not ['A', 'A']."),
        ({"labels": [["A"], "B"]}, "The labels are two different words of letters and digits, not [['A'], 'B']."),
        ({"noise": 2}, "The option noise is a probability, a number from 0 to 1, not 2."),
        ({"institutions": "yes"}, "The option institutions is true or false, not 'yes'."),
        ({"player": 7}, "There is no option 'game.player'; did you mean 'game.players'?"),
    ],
    ids=str,
)
def test_wrong_parameters(parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        make("public_goods", **parameters)
