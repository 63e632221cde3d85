"""Counted nouns in sentences and on pages."""

from __future__ import annotations

import pytest

from detente.errors import counted
from detente.reports.page import environment


@pytest.mark.parametrize(("number", "words"), [(0, "0 games"), (1, "1 game"), (1500, "1,500 games")])
def test_a_noun_agrees_with_its_number(number: int, words: str) -> None:
    assert counted(number, "game") == words
    assert environment().from_string("{{ n | counted('game') }}").render(n=number) == words
