"""A library that is missing is one sentence, which says how to get it."""

from __future__ import annotations

import importlib
import random
import sys

import pytest

from detente.errors import UserError
from detente.games import make


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("detente.environments.pettingzoo", "gymnasium", "pettingzoo"),
        ("detente.environments.openenv", "openenv.core", "openenv"),
        ("detente.environments.verifiers", "verifiers.v1", "verifiers"),
        ("detente.inspect", "inspect_ai", "inspect"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(module: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"pip install 'detente\[{extra}\]'"):
        importlib.import_module(module)


def test_textarena_is_needed_when_one_of_its_games_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textarena", None)
    game = make("detente.environments.textarena:TextArena")
    with pytest.raises(UserError, match=r"pip install 'detente\[textarena\]'"):
        game.reset(random.Random(0))
