"""The commons: exact payoffs, growth, extinction, noise and talk, measures, and what a report reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

import detente
from detente.errors import UserError
from detente.games import family_of, make
from detente.games.commons import Commons
from detente.games.contract import check_game
from detente.games.family import measured, measures
from detente.games.sides import gini
from detente.matches import play_scripts
from detente.records import Episode
from tests.games.test_contract import talk_or_fish


def played(*names: str, seed: int = 0, **parameters: Any) -> Episode:
    (episode,) = detente.play(make("commons", players=len(names), **parameters), list(names), seed=seed)
    return episode


def stocks(episode: Episode) -> list[int]:
    return [round_.info["stock"] for round_ in episode.rounds]


def month(asks: Sequence[int], **parameters: Any) -> tuple[tuple[float, ...], int]:
    """The rewards of the first month and the stock of the second."""
    game: Any = make("commons", players=len(asks), **parameters)
    step = game.step(game.reset(random.Random(0)), dict(enumerate(asks)))
    return step.rewards, step.state.stock


def test_ten_each_can_be_taken_for_ever_and_everything_once() -> None:
    kept, taken = played(*["sustainable"] * 5), played(*["greedy"] * 5)
    assert stocks(kept) == [100] * 12
    assert [sum(kept.rewards(player)) for player in range(5)] == [120] * 5
    assert stocks(taken) == [100] + [0] * 11
    assert [taken.rewards(player) for player in range(5)] == [[20.0] + [0.0] * 11] * 5


@pytest.mark.parametrize(
    ("asks", "rewards", "stock"),
    [
        ((10, 10, 10, 10, 10), (10, 10, 10, 10, 10), 100),
        ((100, 50, 50, 0, 0), (50, 25, 25, 0, 0), 0),  # scaled down in proportion
        ((19, 19, 19, 19, 19), (19, 19, 19, 19, 19), 10),  # 5 are left and double
        ((20, 19, 19, 19, 19), (20, 19, 19, 19, 19), 0),  # 4 are left: too few
        ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), 100),  # and never more
    ],
)
def test_a_month(asks: Sequence[int], rewards: Sequence[float], stock: int) -> None:
    assert month(asks) == (rewards, stock)


def test_growth_and_the_minimum_are_options() -> None:
    assert month((3, 4), capacity=10, growth=1.5, minimum=3) == ((3, 4), 4)
    assert month((3, 5), capacity=10, growth=1.5, minimum=3) == ((3, 5), 0)
    game: Any = make("commons", capacity=90, growth=3, players=4)
    assert game.sustainable(90) == 60
    assert game.sustainable(25) == 0


def test_threshold_gives_up_once_less_than_half_is_there() -> None:
    episode = played("threshold", "sustainable")
    assert stocks(episode) == [100] * 12
    game: Any = make("commons")
    view = game.observe(replace(game.reset(random.Random(0)), stock=49), 0).view
    assert family_of(game).strategies["threshold"](view, random.Random(0)) == "Ask: 49"
    assert family_of(game).strategies["sustainable"](view, random.Random(0)) == "Ask: 0"


@pytest.mark.parametrize(
    "variant", [{}, {"messages": 2}, {"noise": 0.3}, {"continuation": 0.8, "max_rounds": 6}, {"players": 2}, {"rounds": 1}]
)
def test_the_contract(variant: dict[str, Any]) -> None:
    check_game(make("commons", **{"rounds": 5} | variant), episodes=3, sample=talk_or_fish)


def test_noise_replaces_an_ask_by_any_other_one() -> None:
    game: Any = make("commons", noise=1.0, rounds=400, capacity=4, minimum=1, growth=100, players=2)
    state, seen = game.reset(random.Random(0)), []
    for _ in range(400):
        step = game.step(replace(state, stock=4), {0: 2, 1: 0})
        seen.append(step.info["played"])
        state = step.state
    assert {own for own, _ in seen} == {0, 1, 3, 4}
    assert {other for _, other in seen} == {1, 2, 3, 4}
    assert "played" not in played("greedy", "greedy").rounds[0].info


def test_players_hear_what_all_others_say_and_see_what_all_took() -> None:
    game: Any = make("commons", messages=1, players=3)
    state = game.step(game.reset(random.Random(0)), {0: 'I say "ten".', 1: "", 2: "Ten."}).state
    assert game.observe(state, 1).text == 'Player 1 says: "I say \'ten\'."\nPlayer 3 says: "Ten."\nYour ask?'
    assert "Player 2 says nothing." in game.observe(state, 0).text
    news = game.observe(game.step(state, {0: 10, 1: 20, 2: 5}).state, 1).text
    assert news.startswith(
        "Last month you caught 20 tons; player 1 10, player 3 5. 65 tons were left. The lake holds 100 tons now."
    )


def test_nobody_talks_about_fish_that_are_gone() -> None:
    game: Any = make("commons", messages=1, players=2)
    state = replace(game.reset(random.Random(0)), stock=0, past=())
    assert game.observe(state, 0).pattern == "Ask: (0)"


def test_measures_of_extremes() -> None:
    def known(*names: str) -> Any:
        episode = played(*names)
        return measured(make("commons"), [(episode, 0)])

    kept, _ = known(*["sustainable"] * 5)
    assert (kept["survival"], kept["efficiency"], kept["equality"], kept["overuse"]) == (12, 1, 1, 0)
    taken, given = known(*["greedy"] * 5)
    assert (taken["survival"], taken["equality"], taken["overuse"]) == (1, 1, 1)
    assert taken["efficiency"] == pytest.approx(20 / 120)
    assert given["overuse_given"] == {"start": 1, "kept": None, "overused": None}
    mixed, _ = known("sustainable", *["greedy"] * 4)
    assert mixed["equality"] == pytest.approx(1 - gini([100 / 41] + [1000 / 41] * 4))  # type: ignore[operator]


def test_gini() -> None:
    assert gini([1, 1, 1]) == 0
    assert gini([0, 0, 0, 4]) == 0.75
    assert gini([0, 0]) is None


def test_the_reading_has_anchors_and_verdicts() -> None:
    game = make("commons")
    known = family_of(game).reading(game, play_scripts)
    assert [anchor.value for anchor in known.anchors] == [10, pytest.approx(20 / 12)]
    results = family_of(game).references(game, play_scripts, ["greedy", "tit_for_tat"])
    assert [known.verdict(result) for result in results] == ["sustains the stock", "sustains the stock", "exhausts the stock"]
    assert {*results[0].against} == {"greedy"}
    assert measures(game, []) == {}


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"players": 1}, "option players is a whole number from 2 to 20, not 1"),
        ({"growth": 0.5}, "growth is a number from 1 to 100, not 0.5"),
        ({"growth": "2"}, "growth is a number from 1 to 100, not '2'"),
        ({"minimum": 200}, "option minimum is a whole number from 1 to 100, not 200"),
        ({"noise": 2}, "noise is a probability"),
        ({"fish": 2}, "no option 'game.fish'"),
    ],
)
def test_wrong_options(option: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make("commons", **option)


def test_it_is_a_value() -> None:
    assert make("commons", noise=0.1) == Commons(noise=0.1)
