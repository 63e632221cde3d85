"""The game that a file names: one that this version has, or none; a file never decides which code is run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import detente
from detente.export import export
from detente.family_file import Description, description
from detente.games import GAMES, make, recorded
from detente.records import Episode, write_episodes
from detente.reports.transcript import notes, opening, page_data, render_text

FOREIGN = "foreign_game:Game"  # as a game of somebody's own is named
READERS: dict[str, Callable[[Episode, Path], object]] = {
    "a transcript": lambda episode, folder: Console(quiet=True).print(render_text(episode)),
    "a page": lambda episode, folder: page_data([("self_play", episode)]),
    "a reading": lambda episode, folder: description(folder, episode.game),
    "an export": lambda episode, folder: export([folder / "crafted.jsonl"]),
}


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that could be imported, and says so in a file when it is."""
    said = tmp_path / "imported"
    (tmp_path / "foreign_game.py").write_text(f"open({str(said)!r}, 'w').close()\nfrom detente.games.matrix import ipd as Game\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "foreign_game", raising=False)
    return said


@pytest.mark.parametrize("reader", READERS)
def test_who_reads_an_episode_imports_nothing_that_it_names(reader: str, foreign: Path, tmp_path: Path) -> None:
    (played,) = detente.play("trust_and_split", ["greedy", "welfare"])
    episode = replace(played, game=played.game | {"name": FOREIGN})
    write_episodes(tmp_path / "crafted.jsonl", [episode])
    READERS[reader](episode, tmp_path)
    assert not foreign.exists()
    sys.modules.pop("foreign_game", None)
    make(FOREIGN)  # who trains or plays asks for it
    assert foreign.exists()


@pytest.mark.parametrize("name", GAMES)
def test_the_games_that_there_are(name: str) -> None:
    game: Any = make(name, **({"payoffs": [[[3, 3], [0, 5]], [[5, 0], [1, 1]]]} if name == "matrix" else {}))
    assert recorded(game.parameters()) == game


@pytest.mark.parametrize(
    "parameters",
    [{"name": FOREIGN}, {"name": "chess"}, {"name": ["ipd"]}, {"name": "ipd", "colour": 3}, {"name": "ipd", "rounds": 0}, {}],
)
def test_what_is_no_game_of_ours_is_none(parameters: Any, foreign: Path, tmp_path: Path) -> None:
    assert recorded(parameters) is None
    assert description(tmp_path, parameters) == Description()
    assert not foreign.exists()


def test_an_episode_that_claims_to_be_of_another_game() -> None:
    (played,) = detente.play("trust_and_split", ["greedy", "welfare"])
    claimed = replace(played, game=make("ipd").parameters())
    assert notes(played, played.rounds[0]) is not None
    assert notes(claimed, claimed.rounds[0]) is None
    assert opening(played, 0) == make("trust_and_split").rules()  # type: ignore[attr-defined]
    assert opening(claimed, 0) == next(claimed.turns(0)).prompt
