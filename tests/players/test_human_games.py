"""A person plays each of the splitting games through the command line."""

from __future__ import annotations

import io
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from detente import cli
from detente.records import read_episodes
from tests.keyboard import Terminal


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Play a game with these lines typed; the exit status and the episodes."""

    def run(game: str, seats: str, *lines: str) -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        saved = tmp_path / "played.jsonl"
        status = cli.main(["play", game, "--seats", seats, "--save", str(saved)])
        return status, read_episodes(saved) if saved.exists() else []

    return run


def actions(episode: Any, player: int, phase: str) -> list[Any]:
    return [turn.action for turn in episode.turns(player) if turn.phase == phase]


def test_hands_and_coins(play: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, (episode,) = play("trust_and_split", "human,welfare", *["Hello", "eleven", "11", "7"], *["", "3"] * 9)
    assert status == 0
    assert actions(episode, 0, "message") == ["Hello", *[""] * 9]
    assert actions(episode, 0, "decision") == [{"coins": 7}, *[{"coins": 3}] * 9]
    said = capsys.readouterr().out
    assert "Rock beats scissors" in said
    assert "'eleven' is not an answer here. Type how many coins you ask for" in said


def test_items_in_silence(play: Any) -> None:
    status, (episode,) = play("split_no_comm", "reciprocator,human", "10 0 5", "10, 0, 5", *["10 hats, 0 books, 5 balls"] * 8)
    assert status == 0
    assert actions(episode, 1, "decision") == [{"hats": 10, "books": 0, "balls": 5}] * 10


def test_items_with_talk(play: Any) -> None:
    status, (episode,) = play("trust_and_split_items", "human,silent", *["I value hats most.", "10 0 0"] * 10)
    assert status == 0
    assert actions(episode, 0, "message") == ["I value hats most."] * 10


def test_lines_from_a_pipe_are_written_behind_their_questions(play: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert play("trust_and_split", "human,greedy", "Hel\x1b[1mlo") == (2, [])
    said = capsys.readouterr().out
    assert "\nYour message: Hel\\x1b[1mlo\n" in said
    assert said.endswith("\nYour decision: \n")


def test_a_game_that_was_given_up_is_one_sentence(play: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert play("trust_and_split", "human,greedy", "Hello") == (2, [])
    assert capsys.readouterr().err == "The input ended before the game did, so the game was given up.\n"


@pytest.mark.parametrize(("game", "lines"), [("ipd", ["q"]), ("trust_and_split", ["Q"]), ("trust_and_split", ["Hello", "q"])])
def test_q_leaves_as_was_said_at_the_start(play: Any, game: str, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert play(game, "human,random", *lines) == (2, [])
    said = capsys.readouterr()
    assert "q, Ctrl-D or Ctrl-C leaves the game" in re.split("Your (decision|message):", said.out)[0]
    assert said.err == "You left the game before it was over, so it was given up.\n"


def test_the_score_runs_beside_a_person(play: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = play("ipd", "tit_for_tat,human", *["B"] * 10)
    said = re.findall(r"Points so far: [^\n]*\b\S+ \(\S+\)", capsys.readouterr().out)
    assert status == 0
    assert said[:2] == ["Points so far: player 1 0 (+0), you 5 (+5)", "Points so far: player 1 1 (+1), you 6 (+1)"]
    assert len(said) == 10


def test_a_strategy_of_another_family_is_named(play: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert play("trust_and_split", "human,tit_for_tat") == (2, [])
    assert "'tit_for_tat' cannot play trust_and_split; those that can: greedy, fair_half, welfare" in capsys.readouterr().err


@pytest.mark.parametrize(("sent", "status"), [("ctrl-c", 130), ("sigterm", 143)])
def test_whoever_stops_at_the_prompt_is_free_at_once(tmp_path: Path, sent: str, status: int) -> None:
    """The first episode is finished and kept, the second one is given up."""
    line = "play ipd game.rounds=1 --seats human,tit_for_tat --episodes 2 --save kept.jsonl"
    terminal = Terminal(*line.split(), folder=tmp_path)
    terminal.wait_for(b"Your decision:")
    terminal.type("a\n")
    terminal.wait_for(b"Your decision:", times=2)
    if sent == "ctrl-c":
        terminal.type("\x03")
    else:
        time.sleep(0.2)  # so that it waits for the line
        os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.status(seconds=10) == status
    assert b"Stopped" in terminal.said
    assert b"Traceback" not in terminal.said
    assert [len(episode.rounds) for episode in read_episodes(tmp_path / "kept.jsonl")] == [1]
