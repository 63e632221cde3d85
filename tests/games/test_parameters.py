"""Parameters of games that would keep anybody waiting for ever."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from detente.errors import UserError
from detente.games import GAMES, make

NEEDED = {"matrix": {"payoffs": [[[3, 3], [0, 5]], [[5, 0], [1, 1]]]}}
COUNTS = [
    (name, field.name)
    for name in GAMES
    for field in fields(make(name, **NEEDED.get(name, {})))  # type: ignore[arg-type]
    if type(getattr(make(name, **NEEDED.get(name, {})), field.name)) is int
]


@pytest.mark.parametrize(("game", "option"), COUNTS)
def test_every_number_of_things_has_an_upper_bound(game: str, option: str) -> None:
    with pytest.raises(UserError, match=re.escape("not 100000000000.")):
        make(game, **NEEDED.get(game, {}), **{option: 10**11})


@pytest.mark.parametrize(
    ("game", "option", "value", "shown"),
    [
        ("public_goods", "levels", [0, 50], "[0, 50]"),
        ("donor", "levels", [1, 2], "[1, 2]"),
        ("contract", "payments", [1, True], "[1, true]"),
        ("ipd", "noise", None, "null"),
        ("ipd", "labels", ["a"], "['a']"),
        ("trust_and_split", "items", ["hats", "books"], "['hats', 'books']"),
    ],
)
def test_a_wrong_value_is_shown_as_it_was_typed(game: str, option: str, value: object, shown: str) -> None:
    with pytest.raises(UserError, match=re.escape(f", not {shown}")):
        make(game, **{option: value})


def test_items_have_an_upper_bound() -> None:
    with pytest.raises(UserError, match="split 2 to 6 items"):
        make("split_no_comm", items=[word * n for word in "abcdef" for n in (1, 2, 3)])
