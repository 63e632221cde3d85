"""Parameters of a wrong type: one sentence that names the parameter, the value and what it should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

import pytest

from detente import cli
from detente.errors import UserError
from detente.games import GAMES, make
from detente.games.annotations import check_types, fits
from detente.presets import preset_names


@dataclass(frozen=True)
class Everything:
    whole: int = 1
    number: float = 1.0
    switch: bool = False
    text: str = ""
    choice: Literal["high", "low", 3] = "high"
    maybe: int | None = None
    perhaps: Optional[tuple[int, ...]] = None  # noqa: UP045 (both ways of writing it)
    pair: tuple[str, float] = ("a", 1.0)
    many: tuple[tuple[int, ...], ...] = ()
    names: list[str] | str = ""
    noted: Annotated[int, "of coins"] = 0
    by_name: Mapping[str, int] | None = None
    open: Any = None


@pytest.mark.parametrize(
    ("parameter", "value", "right"),
    [
        ("whole", "abc", "a whole number, not 'abc'"),
        ("whole", 1.5, "a whole number, not 1.5"),
        ("whole", True, "a whole number, not true"),
        ("whole", None, "a whole number, not null"),
        ("number", "1", "a number, not '1'"),
        ("number", False, "a number, not false"),
        ("switch", 1, "true or false, not 1"),
        ("text", 3, "text, not 3"),
        ("choice", "middle", "'high' or 'low' or 3, not 'middle'"),
        ("choice", "3", "'high' or 'low' or 3, not '3'"),
        ("maybe", "x", "a whole number or null, not 'x'"),
        ("perhaps", [1, "x"], r"a list of whole numbers or null, not \[1, 'x'\]"),
        ("pair", ["a"], r"a list of text and a number, not \['a'\]"),
        ("many", [[1], 2], r"a list of lists of whole numbers, not \[\[1\], 2\]"),
        ("many", "ab", "a list of lists of whole numbers, not 'ab'"),
        ("names", 3, "a list of texts or text, not 3"),
        ("noted", "x", "a whole number, not 'x'"),
        ("by_name", {"a": "x"}, "a mapping or null, not {a: 'x'}"),
    ],
)
def test_a_value_of_another_type(parameter: str, value: object, right: str) -> None:
    with pytest.raises(UserError, match=rf"^The parameter game\.{parameter} of mine:Game should be {right}\.$"):
        check_types(Everything, "mine:Game", {parameter: value})
    with pytest.raises(UserError):
        check_types(Everything(), "mine:Game", {parameter: value})


def test_values_as_yaml_and_python_write_them() -> None:
    right = {"whole": 2, "number": 2, "switch": True, "text": "x", "choice": 3, "maybe": None, "perhaps": [1], "pair": ["a", 2]}
    check_types(Everything, "mine:Game", right | {"many": [[1], (2, 3)], "names": ["x"], "by_name": {"a": 1}, "open": object()})
    assert fits((), tuple)
    assert fits("anything", "a name that nobody knows")


@pytest.mark.parametrize("name", GAMES)
def test_the_games_of_the_package_take_their_own_parameters(name: str) -> None:
    given = {"payoffs": [[[3, 3], [0, 5]], [[5, 0], [1, 1]]]} if name == "matrix" else {}
    game = make(name, **given)
    assert make(**game.parameters()) == game


@pytest.mark.parametrize("game", [f"game.name={name}" for name in ("example_games:Punishment", "example_games:Trust")])
def test_a_dry_run_names_the_parameter(game: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "ipd", "--dry-run", game, "game.rounds=abc"]) == 2
    name = game.partition("=")[2]
    right = f"The parameter game.rounds of {name} should be a whole number, not 'abc'."
    assert right in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_refuses_text_for_rounds(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", preset, "--dry-run", "game.rounds=abc"]) == 2
    assert "rounds" in capsys.readouterr().err
