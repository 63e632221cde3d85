"""A game of four players and two decisions per round through the commands, and what is said of wrong input for games of many."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from detente import arena, best_response, config, fingerprint, play
from detente.cli import main
from detente.config import load_game
from detente.export import export
from detente.learning import loop
from detente.progress import _scores
from detente.records import read_episodes
from detente.reports.run import read_runs
from detente.reports.sections import transcripts
from detente.reports.study import Study
from detente.reports.transcript import page_data, render_text

GAME = "example_games:Punishment"
TINY = ["threads=1", "device=cpu", "lora.rank=2", "episodes=4", "group_size=4", "iterations=1", "evaluation.episodes=4"]


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Path:
    """Two learners on three of four seats, a strategy on the last one."""
    path = tmp_path_factory.mktemp("preset") / "four.yaml"
    options = {
        "game": {"name": GAME, "rounds": 2},
        "model": tiny_model,
        "seats": ["alice", "bob", "alice", "avenger"],
        "learners": {"alice": {}, "bob": {"algorithm": "sum_of_rewards"}},
        "evaluation": {"against": ["saint"]},
        "opponents": {"scripted": 0.5, "scripts": ["free_rider"]},
    }
    path.write_text(json.dumps(options), encoding="utf-8")  # which is YAML
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, preset: Path) -> Path:
    folder = tmp_path_factory.mktemp("run") / "four"
    return loop.train(config.load(str(preset), TINY, trust=True), folder)


def test_the_terminal_shows_both_decisions_side_by_side() -> None:
    (episode,) = play(GAME, ["saint", "free_rider", "avenger", "free_rider"])
    assert [played.rewards for played in episode.rounds] == [(4.0, 6.0, 3.0, 6.0)] * 2  # 2 givers; one punisher of two keepers
    shown = page_data([("other", episode)])["episodes"][0]
    assert [[len(row) for row in played["rows"]] for played in shown["rounds"]] == [[4, 4]] * 2
    drawn = Console(file=StringIO(), width=140)
    drawn.print(render_text(episode))
    lines = drawn.file.getvalue().splitlines()  # type: ignore[attr-defined]
    decisions = [re.findall(r"→ ([AB])", line) for line in lines if "→" in line]
    assert decisions == [["A", "B", "A", "B"], ["B", "B", "A", "B"]] * 2


def test_two_learners_train_on_three_of_four_seats(run: Path) -> None:
    episodes = read_episodes(run / "episodes" / "000001.jsonl.gz")
    assert all(episode.policies[3].name == "avenger" and episode.learners[3] is None for episode in episodes)
    alone = [episode for episode in episodes if any(policy.name == "free_rider" for policy in episode.policies)]
    assert len(alone) == 2
    assert all(len([name for name in episode.learners if name]) == 1 for episode in alone)
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    assert set(summary["learners"]["alice"]["partners"]) == {"alice", "bob", "avenger"}
    assert set(summary["learners"]["bob"]["partners"]) == {"alice", "avenger"}


def test_report_and_export_know_the_steps(run: Path, tmp_path: Path) -> None:
    study = Study(read_runs([run]))
    assert [curve.label for curve in study.curves] == ["four · alice", "four · bob"]
    assert set(study.entries[1].result.partners) == {"alice", "avenger"}
    shown = transcripts(study)
    assert shown is not None
    episodes = shown.data["payload"][0]["episodes"]
    assert {len(row) for episode in episodes for played in episode["rounds"] for row in played["rows"]} == {4}
    export([run], tmp_path / "data")
    turns = pq.read_table(tmp_path / "data" / "turns.parquet").to_pylist()
    first = [turn for turn in turns if (turn["episode"], turn["round"]) == (0, 0)]
    assert [(turn["player"], turn["step"]) for turn in first] == [(player, step) for step in (0, 1) for player in range(4)]
    assert [turn["learner"] for turn in first][3] is None


def test_an_agent_meets_others_and_itself_on_every_seat(run: Path, preset: Path, tmp_path: Path) -> None:
    names = [str(run / "adapters" / "bob" / "000001"), "saint"]
    options = config.load(str(preset), ["device=cpu"], trust=True)
    found = arena(options, names, tmp_path / "arena", episodes=1)
    tables = {path.name.partition(".")[0] for path in (tmp_path / "arena" / "episodes").iterdir()}
    alone = {"-".join("1" if seat == own else "0" for seat in range(4)) for own in range(4)}
    assert tables == {"0-0-0-0", "1-1-1-1", *alone, *(table.translate(str.maketrans("01", "10")) for table in alone)}
    assert [agent["label"] for agent in found["agents"]] == ["bob/000001", "saint"]


def test_one_responder_meets_three_of_the_agent(preset: Path, tmp_path: Path) -> None:
    found = best_response(str(preset), "free_rider", tmp_path / "run", TINY, trust=True)
    assert found["cooperator"]["name"] == "saint"
    assert (found["cooperator"]["reward"]["mean"], found["cooperator"]["agent_reward"]["mean"]) == (2, 5)
    assert (found["self_play"]["reward"]["mean"], found["exact"]) == (3, None)


def test_a_fingerprint_of_an_agent_among_three_at_random_and_of_each_role(tmp_path: Path) -> None:
    found = fingerprint(load_game(GAME), ["saint", "avenger"], tmp_path / "four", episodes=4)
    assert [agent["measures"]["kindness"] for agent in found["agents"]] == [0.5, 1]
    uneven = fingerprint(load_game("example_games:Trust"), ["kind", "taker"], tmp_path / "two", episodes=4)
    assert [agent["label"] for agent in uneven["agents"]] == ["kind as investor", "kind as trustee", "taker as trustee"]
    assert [agent["measures"]["kindness"] for agent in uneven["agents"]] == [1, 1, 0]


WRONG: list[tuple[list[str], str]] = [
    (["play", GAME, "--seats", "saint,saint"], f"The game {GAME} has 4 seats; 2 players were named: saint, saint."),
    (["play", GAME, "--seats", "saint,saint,saint,saint,saint"], "has 4 seats; 5 players were named"),
    (["play", GAME, "--seats", "saint,saint,saint,"], "A player has no name; separate names by single commas"),
    (["play", GAME, "game.players=3", "--seats", "saint,saint,saint,saint"], "has 3 seats; 4 players were named"),
    (["play", GAME, "--seats", "saint,saint,saint,tit_for_tat"], "The strategy 'tit_for_tat' cannot play example_games:Punishment"),
    (["train", "PRESET", "seats=[alice,bob]"], "has 4 seats; 2 players were named: alice, bob."),
    (["train", "PRESET", "game.players=3"], "has 3 seats; 4 players were named: alice, bob, alice, avenger."),
    (["train", "PRESET", "seats=[alice,bob,human,saint]"], "A person cannot sit in training"),
    (["train", "PRESET", "seats=[alice,alice,alice,alice]", "learners.bob.update_every=2"], "bob"),
    (["train", "PRESET", "opponents.scripts=[greedy]"], "greedy"),
    (["arena", "PRESET", "--agents", "saint,saint"], "The agent saint is named twice."),
    (["arena", "PRESET", "--agents", "saint,,avenger"], "An agent has no name"),
    (["arena", "PRESET", "--agents", "saint,human"], "A person cannot take part here"),
    (["arena", "PRESET", "--agents", "saint,greedy"], "greedy"),
    (["arena", "PRESET", "game.players=1", "--agents", "saint,avenger"], "has one player, who meets nobody."),
    (["best-response", "PRESET", "game.players=1", "--against", "saint"], "has one player, who meets nobody."),
    (["best-response", "PRESET", "--against", "human"], "A person would be asked thousands of times"),
    (["best-response", "PRESET", "--against", "saint", "seats=[main,saint]"], "leave out 'seats=[main,saint]'"),
    (["best-response", "PRESET", "--against", "saint", "--role", "seat 2"], "has no role 'seat 2', for its seats do not differ."),
    (["best-response", "PRESET", "--against", "saint", "--exact"], "Exact values need a matrix game"),
    (["best-response", "PRESET", "--against", "saints"], "saints"),
    (["fingerprint", "PRESET", "--agents", "saint,saint"], "The agent saint is named twice."),
    (["fingerprint", "PRESET", "--agents", "saints"], "saints"),
]


@pytest.mark.parametrize(("words", "sentence"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_wrong_input_gets_one_sentence(
    words: list[str],
    sentence: str,
    preset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    spoken = [str(preset) if word == "PRESET" else word for word in words]
    status = main([*spoken, *(["--trust"] if "PRESET" in words else [])])
    complaint = capsys.readouterr().err
    assert status == 2, complaint
    assert sentence in complaint
    assert complaint.count("\n") == 1
    assert "Traceback" not in complaint
    assert not list(tmp_path.iterdir())


def test_a_script_that_shares_its_name_with_a_partner_is_told_from_it() -> None:
    scores: dict[str, Any] = {
        "self_play": {"reward": 1.0},
        "partners": {"avenger": 2.0, "bob": 3.0},
        "against": {"avenger": {"reward": 4.0, "opponent_reward": 5.0}},
    }
    drawn = Console(file=StringIO(), width=100)
    drawn.print(_scores(scores, "alice", ()))
    rows = [line.split("  ")[0].strip() for line in drawn.file.getvalue().splitlines()[1:]]  # type: ignore[attr-defined]
    assert rows == ["avenger on its seat", "bob", "avenger"]
