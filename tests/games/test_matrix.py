"""Matrix games: payoffs as docs/games.md has them, prompts, labels, horizon, and wrong parameters."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from typing import Any

import pytest

import detente
from detente.errors import UserError
from detente.games import family_of, make
from detente.games.roles import roles
from detente.matches import play_scripts

RPS = [[[0, 0], [-1, 1], [1, -1]], [[1, -1], [0, 0], [-1, 1]], [[-1, 1], [1, -1], [0, 0]]]


def play(game: Any, rows: str, columns: str, seed: int = 0) -> list[tuple[float, float]]:
    """The rewards of each round when the players follow these actions."""
    state, rewards = game.reset(random.Random(seed)), []
    for row, column in zip(rows, columns, strict=True):
        step = game.step(state, {0: row, 1: column})
        state = step.state
        rewards.append(step.rewards)
    assert step.done
    return rewards


@pytest.mark.parametrize(
    ("name", "expect"),
    [
        ("ipd", {"CC": (3, 3), "CD": (0, 5), "DC": (5, 0), "DD": (1, 1)}),
        ("stag_hunt", {"CC": (4, 4), "CD": (0, 3), "DC": (3, 0), "DD": (2, 2)}),
        ("chicken", {"CC": (3, 3), "CD": (1, 4), "DC": (4, 1), "DD": (0, 0)}),
        ("trust_game", {"CC": (10, 10), "CD": (0, 20), "DC": (6, 2), "DD": (4, 4)}),
        ("travelers_dilemma", {"55": (5, 5), "22": (2, 2), "54": (2, 6), "25": (4, 0), "34": (5, 1)}),
        ("matching_pennies", {"HH": (1, -1), "HT": (-1, 1), "TH": (-1, 1), "TT": (1, -1)}),
    ],
)
def test_payoffs(name: str, expect: dict[str, tuple[int, int]]) -> None:
    game: Any = make(name, rounds=1)
    assert {joint: play(game, *joint)[0] for joint in expect} == expect


def test_games_have_the_order_of_payoffs_that_their_names_promise() -> None:
    def table(name: str) -> tuple[float, float, float, float]:
        (r, s), (t, p) = [[cell[0] for cell in row] for row in make(name).payoffs]  # type: ignore[attr-defined]
        return t, r, p, s

    t, r, p, s = table("ipd")
    assert t > r > p > s
    assert 2 * r > t + s
    t, r, p, s = table("stag_hunt")
    assert r > t > p > s
    t, r, p, s = table("chicken")
    assert t > r > s > p


def test_ten_rounds_by_default_and_the_prompt_never_tells() -> None:
    game: Any = make("ipd")
    state = game.reset(random.Random(0))
    texts = []
    for t in range(10):
        assert game.to_act(state) == (0, 1)
        texts += [game.observe(state, player).text for player in (0, 1)]
        step = game.step(state, {0: "C", 1: "D"})
        assert step.done == (t == 9)
        state = step.state
    assert game.to_act(state) == ()
    assert not any(re.search(r"\b(10|ten)\b|rounds left|last round", text) for text in texts)


def test_the_table_in_the_prompt_is_the_players_own() -> None:
    game: Any = make("matrix", payoffs=[[[1, 10], [2, 20]], [[3, 30], [4, 40]]])
    row, column = (game.observe(game.reset(random.Random(0)), player).text for player in (0, 1))
    assert "You <A>, they <B>: you get 2, they get 20." in row
    assert "You <A>, they <B>: you get 30, they get 3." in column


def test_a_player_is_told_the_others_last_move() -> None:
    game: Any = make("ipd")
    state = game.step(game.reset(random.Random(0)), {0: "C", 1: "D"}).state
    assert "<B>" in game.observe(state, 0).text
    assert "<A>" not in game.observe(state, 0).text
    assert "<A>" in game.observe(state, 1).text
    view = game.observe(state, 1).view
    assert (view.own, view.other) == (("D",), ("C",))


def test_no_prompt_names_the_dilemma() -> None:
    for name in ("ipd", "stag_hunt", "chicken", "matching_pennies", "matrix"):
        for seed in range(10):
            game = make(name, counterbalance=True, **({"payoffs": RPS} if name == "matrix" else {}))
            rng = random.Random(seed)
            state, done = game.reset(rng), False
            while not done:
                for player in (0, 1):
                    assert not re.search("prison|dilemma|coop|defect|betray", game.observe(state, player).text, re.IGNORECASE)
                step = game.step(state, {player: rng.choice(game.actions) for player in (0, 1)})  # type: ignore[attr-defined]
                state, done = step.state, step.done


def test_only_exactly_one_label_is_an_answer() -> None:
    game: Any = make("ipd")
    state = game.reset(random.Random(0))
    assert (game.parse(state, 0, "<A>"), game.parse(state, 0, "<B>\n")) == ("C", "D")
    for text in ("A", "<a>", "<A> <B>", "I choose <A>", "<C>", "", "<A"):
        assert game.parse(state, 0, text) is None


def test_labels_are_counterbalanced_within_a_group_and_over_seeds() -> None:
    game: Any = make("ipd", counterbalance=True)
    meaning: Counter[Any] = Counter()
    first: Counter[Any] = Counter()
    for seed in range(2000):
        one, other = game.reset(random.Random(seed)), game.reset(random.Random(seed))
        assert one == other
        seen = [game.observe(one, player) for player in (0, 1)]
        assert seen[0].view.answers == seen[1].view.answers
        label = seen[0].view.answers[0]
        assert game.parse(one, 1, label) == "C"
        meaning[label] += 1
        first[game.parse(one, 0, re.search("<.>", seen[0].text).group())] += 1
    assert set(meaning) == {"<A>", "<B>"}
    assert set(first) == {"C", "D"}
    for count in (meaning["<A>"], first["C"]):  # four standard deviations of a fair coin thrown 2000 times
        assert abs(count - 1000) < 4 * (2000 / 4) ** 0.5


def test_without_counterbalancing_a_is_cooperate() -> None:
    assert {make("ipd").reset(random.Random(seed)).labels for seed in range(20)} == {("A", "B")}


@pytest.mark.parametrize("continuation", [0.0, 0.5, 0.9])
def test_random_horizon_is_geometric_and_capped(continuation: float) -> None:
    cap, n = 12, 4000
    game: Any = make("ipd", continuation=continuation, max_rounds=cap)
    horizons = Counter(game.reset(random.Random(seed)).horizon for seed in range(n))
    assert min(horizons) >= 1
    assert max(horizons) <= cap
    for t in range(1, cap + 1):
        p = continuation ** (t - 1) * (1 - continuation) if t < cap else continuation ** (cap - 1)
        assert abs(horizons[t] - n * p) <= 4.5 * (n * p * (1 - p)) ** 0.5


def test_an_episode_lasts_as_long_as_the_seed_says() -> None:
    game: Any = make("ipd", continuation=0.8)
    for seed in range(20):
        horizon = game.reset(random.Random(seed)).horizon
        assert len(play(game, "C" * horizon, "D" * horizon, seed)) == horizon


def test_make_again_from_json() -> None:
    for game in (make("chicken", rounds=3, labels=["X", "Y"]), make("matrix", payoffs=RPS), make("ipd", continuation=0.5)):
        assert make(**json.loads(json.dumps(game.parameters()))) == game


def test_symmetry_is_read_off_the_table() -> None:
    assert make("ipd").symmetric  # type: ignore[attr-defined]
    assert make("matrix", payoffs=RPS).symmetric  # type: ignore[attr-defined]
    assert not make("matching_pennies").symmetric  # type: ignore[attr-defined]


def test_negative_and_fractional_payoffs() -> None:
    game: Any = make("matrix", payoffs=[[[-1, -1], [-3, 0]], [[0, -3], [-2, -2.5]]], rounds=1)
    assert play(game, "D", "D") == [(-2, -2.5)]
    assert game.reward_bounds == (-3, 0)
    assert "you get -3, they get 0" in game.observe(game.reset(random.Random(0)), 0).text


@pytest.mark.parametrize(
    "payoffs",
    [
        [[[1e308, 1e308], [0, 5]], [[5, 0], [1, 1]]],  # whose sum over rounds no number holds
        [[["3", 3], [0, 5]], [[5, 0], [1, 1]]],
        [[[True, 3], [0, 5]], [[5, 0], [1, 1]]],
        [[[None, 3], [0, 5]], [[5, 0], [1, 1]]],
        [[[float("nan"), 3], [0, 5]], [[5, 0], [1, 1]]],
        [[[float("inf"), 3], [0, 5]], [[5, 0], [1, 1]]],
        [[[3, 3, 3], [0, 5]], [[5, 0], [1, 1]]],
        [[[3, 3]], [[5, 0], [1, 1]]],
        [[3, 0], [5, 1]],
        "3,0,5,1",
        7,
        [],
        None,
    ],
)
def test_a_payoff_table_that_is_none(payoffs: Any) -> None:
    with pytest.raises(UserError, match="payoff table"):
        make("matrix", payoffs=payoffs)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"labels": ["A", "A"]}, "different labels"),
        ({"labels": ["A"]}, "different labels"),
        ({"labels": ["<A>", "B"]}, "letters and digits"),
        ({"cooperative": "D"}, "the first of"),
        ({"rounds": 0}, "whole number"),
        ({"rounds": "ten"}, "whole number"),
        ({"rounds": 2.5}, "whole number"),
        ({"max_rounds": 0}, "whole number"),
        ({"continuation": 1.0}, "continuation probability"),
        ({"continuation": "often"}, "continuation probability"),
        ({"round": 3}, "did you mean 'game.rounds'"),
    ],
)
def test_wrong_parameters(parameters: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make("ipd", **parameters)


def test_wrong_names() -> None:
    with pytest.raises(UserError, match=r"no game 'ipdd'; did you mean 'ipd'\?"):
        make("ipdd")
    with pytest.raises(UserError, match="needs a payoff table"):
        make("matrix")
    for path in ("no_such_module:Game", "detente.games:nothing", ":x"):
        with pytest.raises(UserError, match="does not name a game"):
            make(path)


def test_in_the_travelers_dilemma_who_claims_less_is_told_so_and_defection_is_the_lowest_claim() -> None:
    """Undercutting by one always pays, down to 2; two who claim 2 get 2, where 5 was to be had."""
    game: Any = make("travelers_dilemma")
    assert game.symmetric
    assert all(game.payoffs[claim + 1][claim][0] > game.payoffs[claim][claim][0] for claim in range(3))
    (episode,) = detente.play(game, ["always_defect", "tit_for_tat"])
    assert [episode.rounds[t].rewards for t in (0, 1)] == [(4, 0), (2, 2)]
    reading = family_of(game).reading(game, play_scripts)
    assert [anchor.value for anchor in reading.anchors] == pytest.approx([5, 2, 1.8])


def test_roles_of_a_table_are_for_seats_that_differ() -> None:
    game: Any = make("trust_game")
    assert roles(game) == ("investor", "trustee")
    assert [anchor.value for anchor in family_of(game).reading(game, play_scripts).anchors] == [10, 4]
    assert roles(make("matrix", payoffs=[[[3, 1], [0, 5]], [[5, 0], [1, 1]]], roles=["boss", "clerk"])) == ("boss", "clerk")
    for wrong in (["boss"], "boss", 3):
        with pytest.raises(UserError, match="should have one role for each of its seats"):
            make("trust_game", roles=wrong)
