"""Where seats differ they have roles, and some strategies can play only some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import example_games
from detente import play
from detente.config import build
from detente.errors import UserError
from detente.evaluation.best_response import sitting
from detente.games import make
from detente.games.contract import check_game
from detente.games.family import Family, can_face, family_of, seats_for
from detente.games.roles import in_role, prefix, roles, seat_name
from detente.learning.checks import check
from detente.matches import play_scripts

TRUST = {"name": "example_games:Trust"}


@dataclass(frozen=True)
class Stage:
    """As much of a game as roles ask for."""

    roles: Any
    name: str = "stage"
    num_players: int = 2
    symmetric: bool = False


MIDDLE = Family(
    name="three",
    strategies={"middle": lambda view, rng: "", "random": lambda view, rng: ""},
    seats=lambda game, name: (1,) if name == "middle" else (0, 1, 2),
)


@dataclass(frozen=True)
class Three(Stage):
    """A strategy of it can play the middle role alone."""

    roles: Any = ("first", "second", "third")
    num_players: int = 3
    family: Family = MIDDLE


@pytest.mark.parametrize("name", ["example_games:Trust", "example_games:Punishment"])
def test_the_games_of_these_tests_keep_the_contract(name: str) -> None:
    check_game(make(name))


def test_roles_are_those_of_the_game_else_the_seats() -> None:
    assert roles(make("ipd")) == roles(make("trust_and_split")) == roles(make("example_games:Punishment")) == roles(None) == ()
    assert roles(make("matching_pennies")) == ("seat 1", "seat 2")
    assert roles(make("example_games:Trust")) == ("investor", "trustee")
    assert roles(Stage(["row", "column"])) == ("row", "column")
    assert roles(Stage(("row", "column"), symmetric=True)) == ()
    assert (seat_name(make("ipd"), 1), seat_name(make("example_games:Trust"), 1)) == ("seat 2", "trustee")
    assert (in_role("main", "trustee"), in_role("main", ""), prefix("trustee"), prefix("")) == (
        "main as trustee",
        "main",
        "role/trustee/",
        "",
    )


@pytest.mark.parametrize("named", ["investor", ("investor",), ("a", "a"), ("a", "b", "c"), 7, ("a", 1, 1)])
def test_there_is_a_role_for_every_seat(named: object) -> None:
    with pytest.raises(UserError, match=r"^The game stage should have one role for each of its seats \(2\), not .*\.$"):
        roles(Stage(named))


@pytest.mark.parametrize("role", ["", " a", "a/b", "a\nb", 3, "x" * 41])
def test_a_role_is_a_few_words(role: object) -> None:
    with pytest.raises(UserError, match=r"^A role of the game stage is a few words without a slash, not .*\.$"):
        roles(Stage((role, "other")))


def test_the_contract_looks_at_roles() -> None:
    class Unnamed(example_games.Trust):  # type: ignore[misc]
        roles = ("investor", "investor")  # one for both

    with pytest.raises(AssertionError, match=r"^roles: The game example_games:Trust should have one role"):
        check_game(Unnamed())


def test_a_strategy_can_play_what_its_family_says() -> None:
    game = make("example_games:Trust")
    assert (seats_for(game, "sender"), seats_for(game, "kind"), seats_for(game, "random")) == ((0,), (0, 1), (0, 1))
    assert [can_face(game, name, 0) for name in ("sender", "sharer", "kind", "random")] == [False, True, True, True]
    with pytest.raises(UserError, match=r"^The strategy 'sender' cannot play trustee of example_games:Trust; it plays investor\.$"):
        play(game, ["sender", "sender"])
    assert [e.rounds[0].rewards for e in play(game, ["sender", "taker"])] == [(0.0, 6.0)]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seats": ["taker", "main"]}, "The strategy 'taker' cannot play investor of example_games:Trust; it plays trustee."),
        (
            {"seats": ["main", "sharer"], "evaluation": {"against": ["sender"]}},
            "evaluation.against names 'sender', which cannot take the seats opposite to any learner.",
        ),
        (
            {"seats": ["main", "main"], "opponents": {"scripted": 0.5, "scripts": ["sender"]}},
            "None of opponents.scripts can play trustee of example_games:Trust; add one that can.",
        ),
    ],
)
def test_a_run_that_seats_a_strategy_where_it_cannot_play(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        check(build({"game": TRUST} | options))
    assert str(caught.value) == sentence


def test_a_learner_with_the_name_of_a_strategy_sits_where_it_is_put() -> None:
    check(build({"game": TRUST, "seats": ["taker", "sharer"], "learners": {"taker": {}}}))


def test_points_of_one_seat_are_no_reference_for_another() -> None:
    """What a policy does after what is read on any seat; what it is worth there is another question on each."""
    uneven = make("matrix", payoffs=[[[13, 3], [10, 5]], [[15, 0], [11, 1]]], actions=["C", "D"], cooperative="C")
    known, even = (family_of(game).reading(game, play_scripts) for game in (uneven, make("ipd")))
    assert [chapter.columns for chapter in known.chapters] == [chapter.columns for chapter in even.chapters]
    assert (known.anchors, known.verdicts, known.note, known.marked) == ((), (), "", "")
    assert len(even.verdicts) == 5
    references = [family_of(game).references(game, play_scripts, ["always_defect"]) for game in (uneven, make("ipd"))]
    assert list(map(len, references)) == [0, 3]


def test_of_three_roles_the_responder_takes_those_that_are_left() -> None:
    three: Any = Three()
    assert sitting(three, "middle") == ["main", "middle", "main"]
    assert sitting(three, "random") == ["main", "random", "random"]
    assert sitting(three, "random", "third") == ["random", "random", "main"]
