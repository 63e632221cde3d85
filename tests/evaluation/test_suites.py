"""Suites: those of the package, files of one's own, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from detente.errors import UserError
from detente.evaluation.suites import game, load, suite_names
from detente.games.contract import check_game

ROWS = "rows: [{name: a, game: {name: ipd}}]"


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_of_the_package_is_sound(name: str) -> None:
    suite = load(name)
    assert suite.description
    assert all(row.partners for row in suite.rows)
    assert len({str(game(row)) for row in suite.rows}) >= len(suite.rows) - 1  # the game itself comes twice, with other partners


def test_the_matrix_games_of_the_suite_keep_the_contract() -> None:
    for row in load("ipd").rows:
        check_game(game(row), episodes=2)


def test_rows_have_the_partners_of_the_suite_or_their_own(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "partners: [random]\nrows:\n"
        "  - {name: a, game: {name: ipd}}\n"
        "  - {name: b, game: {name: chicken, rounds: 3}, partners: [tit_for_tat]}\n"
    )
    assert [row.partners for row in load(str(path)).rows] == [("random",), ("tit_for_tat",)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("rows: []", "rows"),
        ("[]", "no suite"),
        ("rows: [{name: a}]", r"rows.0.game: it is missing"),
        (f"{ROWS}\nepisodes: 1", "episodes"),
        (f"{ROWS}\npartner: [random]", "partner"),
        ("rows: [{name: a, game: {name: ipdd}}]", "row 'a' of the suite .*no game 'ipdd'"),
        ("rows: [{name: a, game: {nome: ipd}}]", "rows.0.game: a game is a mapping with a name"),
        ("rows: [{name: a, game: {name: ipd, noise: 2}}]", "row 'a' of the suite .*noise"),
        ("rows: [{name: a, game: {name: ipd}}, {name: a, game: {name: ipd}}]", "two rows with the name 'a'"),
        (f"{ROWS}\npartners: [greedy]", "row 'a' .*greedy"),
        (f"{ROWS}\npartners: [human]", "a person would be asked"),
        (f"{ROWS}\npartners: [random, random]", "names a partner twice"),
        ("rows: [{name: a, game: {name: matching_pennies}}]", "seats of matching_pennies differ"),
        ("rows: [{name: a, game: {name: 'evil:Game'}}]", "names the game 'evil:Game', which would run code of the module evil"),
        (f"{ROWS}\npartners: ['evil:strategy']", "names the partner 'evil:strategy', which would run code"),
        (f"{ROWS}\npartners: ['openai:x@https://example.org/v1']", "to another machine"),
        ("rows: [", "not valid YAML"),
    ],
)
def test_a_wrong_suite_is_one_sentence(text: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=fault):
        load(str(path))


def test_a_suite_that_does_not_exist_names_the_nearest() -> None:
    with pytest.raises(UserError, match="ipd"):
        load("idp")
    with pytest.raises(UserError, match=r"cannot be read"):
        load("none.yaml")


def test_a_trusted_suite_may_name_a_game_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("rows: [{name: a, game: {name: 'example_games:Punishment'}, partners: [random]}]")
    with pytest.raises(UserError, match="--trust"):
        load(str(path))
    assert load(str(path), trust=True).rows[0].partners == ("random",)
