"""The investor game: exact points, what each role is told, scripts, measures, and what a report reads."""

from __future__ import annotations

import random
from typing import Any

import pytest

import detente
from detente.errors import UserError
from detente.games import family_of, make
from detente.games.contract import check_game
from detente.games.family import measured
from detente.games.roles import roles
from detente.games.summaries import summary
from detente.matches import play_scripts
from detente.records import Episode
from tests.games.test_contract import by_script


def played(investor: str, trustee: str, **parameters: Any) -> Episode:
    (episode,) = detente.play(make("investor", **{"rounds": 3} | parameters), [investor, trustee])
    return episode


def rewards(episode: Episode) -> list[tuple[float, ...]]:
    return [round_.rewards for round_ in episode.rounds]


@pytest.mark.parametrize(
    ("investor", "trustee", "points"),
    [
        ("fair", "fair", (15, 15)),
        ("fair", "selfish", (0, 30)),
        ("fair", "repayer", (10, 20)),
        ("selfish", "fair", (10, 0)),
        ("repayer", "repayer", (10, 10)),
    ],
)
def test_anchors(investor: str, trustee: str, points: tuple[float, float]) -> None:
    assert rewards(played(investor, trustee)) == [points] * 3


def test_a_reciprocal_investor_trusts_as_far_as_it_was_paid_and_looks_again() -> None:
    assert rewards(played("reciprocal", "reciprocal")) == [(15, 15)] * 3
    assert [round_.info["invested"] for round_ in played("reciprocal", "selfish").rounds] == [10, 1, 1]
    assert [round_.info for round_ in played("repayer", "reciprocal").rounds] == [{"invested": 5, "returned": 4}] * 3
    assert played("repayer", "reciprocal", endowment=4).rounds[0].info == {"invested": 2, "returned": 2}


@pytest.mark.parametrize("variant", [{}, {"continuation": 0.7, "max_rounds": 6}, {"endowment": 1, "multiplier": 1}, {"rounds": 1}])
def test_the_contract(variant: dict[str, Any]) -> None:
    game = make("investor", **variant)
    check_game(game, episodes=5, sample=by_script(family_of(game)))


def test_each_role_is_told_what_it_needs_once() -> None:
    game: Any = make("investor")
    assert roles(game) == ("investor", "trustee")
    state = game.reset(random.Random(0))
    first, waiting = (game.observe(state, player).text for player in (0, 1))
    assert "Write an investment as Invest: 5, and what you return as Return: 5" in waiting
    assert first.endswith("You are the investor.\nHow much do you invest?")
    assert waiting.endswith("You are the trustee.")
    asked = game.step(state, {0: 4}).state
    assert game.observe(asked, 0).text == ""
    assert game.observe(asked, 1).text == "The investor invested 4 points, and you received 12. How much do you return?"
    after = game.step(asked, {1: 7}).state
    assert game.observe(after, 0).text == "Last round you invested 4, and 7 of 12 points came back.\nHow much do you invest?"
    assert game.observe(after, 1).text == ""
    assert game.parse(asked, 1, "Return: 13") is None
    nothing = game.step(after, {0: 0})
    assert nothing.rewards == (10, 0)
    assert game.observe(nothing.state, 1).text == "Last round the investor invested nothing."


def test_measures() -> None:
    episode = played("reciprocal", "selfish")
    own, tables = measured(make("investor"), [(episode, 0)])
    assert own["invested"] == pytest.approx(0.4)
    assert own["returned"] is None
    assert own["efficiency"] == pytest.approx((30 + 12 + 12) / 90)
    assert tables["invested_given"] == {"start": 1.0, "paid": None, "lost": 0.1}
    theirs, _ = measured(make("investor"), [(episode, 1)])
    assert (theirs["invested"], theirs["returned"]) == (None, 0.0)


def test_a_briefing_and_a_reading() -> None:
    game = make("investor")
    told = [summary("last", game, [played("fair", "repayer")], seat) for seat in (0, 1)]
    assert told[0].endswith("you invested 10, they returned 10.")
    assert told[1].endswith("they invested 10, you returned 10.")
    known = family_of(game).reading(game, play_scripts)
    assert [anchor.value for anchor in known.anchors] == [15]


def test_wrong_options() -> None:
    with pytest.raises(UserError, match="option multiplier is a whole number from 1 to 10, not 0"):
        make("investor", multiplier=0)
