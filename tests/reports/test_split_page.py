"""The page of a splitting game, and its transcripts in the terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import detente
from detente.games.splitting.notes import honest as is_honest
from detente.records import read_episodes
from detente.reports import render_text, report
from detente.reports.run import read_runs
from detente.reports.transcript import fitting, notes, page_data, sample
from tests.reports.make_run import HOSTILE
from tests.reports.make_split_run import make_split_run
from tests.reports.test_page import Page


@pytest.fixture(scope="module")
def episodes(split_runs: tuple[Path, Path]) -> list[Any]:
    return [episode for path in sorted((split_runs[0] / "episodes").glob("*.jsonl")) for episode in read_episodes(path)]


def test_the_page_has_the_chapters_of_the_family(split_comparison: Path) -> None:
    page = Page(split_comparison)
    assert {"outcome", "training", "reciprocity", "talk", "against", "opponents", "transcripts"} <= set(page.ids)
    assert "behaviour" not in page.ids
    assert len(page.ids) == len(set(page.ids))
    assert split_comparison.stat().st_size < 3_000_000


def test_the_numbers_are_those_of_the_files(split_comparison: Path, split_runs: tuple[Path, Path]) -> None:
    page = Page(split_comparison)
    for run, word in zip(split_runs, ("greedy", "cooperative and robust"), strict=True):
        main = json.loads((run / "summary.json").read_text())["learners"]["main"]
        row = page.row(run.name)
        facts = ("reward", "efficiency", "ask_higher", "ask_lower", "truthfulness")
        low, high = main["intervals"]["self_play"]["reward"]
        numbers = [f"{main['self_play'][name]:.2f}" for name in facts]
        assert row[1:7] == [word, f"{numbers[0]}[{low:.2f}, {high:.2f}]", *numbers[1:]]
        against = read_runs([run])[0].result("main").intervals
        assert against == {
            name: {key: tuple(ends) for key, ends in own.items()} for name, own in main["intervals"]["against"].items()
        }
        given = main["reciprocity"]
        assert row[-4:-2] == [f"{given[treated]['ask_lower']:.2f}" for treated in ("fair", "greedy")]
        assert row[-2:] == [
            f"{main['against'][name]['reward']:.2f}/ {main['against'][name]['opponent_reward']:.2f}" for name in main["against"]
        ]
    assert page.row("greedy")[1:5] == ["reference", "27.50", "0.55", "10.00"]
    assert page.row("welfare")[-2:] == ["25.00/ 52.50", "50.00/ 50.00"]


def test_the_reciprocity_and_belief_tables_stand_beside_the_scripts(split_comparison: Path) -> None:
    rows = [row for row in Page(split_comparison).rows if row and row[0] in ("welfare", "reciprocator")]
    assert rows[2:] == [
        ["welfare", "0.00", "0.00", "0.00", "10.00", "10.00", "10.00"],
        ["reciprocator", "0.00", "0.00", "10.00", "10.00", "10.00", "10.00"],
        ["welfare", "10.00", "0.00", "5.00"],
        ["reciprocator", "10.00", "0.00", "5.00"],
    ]


def test_a_sentence_says_what_happened_to_truthfulness(split_comparison: Path, split_runs: tuple[Path, Path]) -> None:
    html = Page(split_comparison).html
    for run, went in zip(split_runs, ("fell", "stayed near where it was"), strict=True):
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        first, last = (row["self_play/truthfulness/main"] for row in (rows[0], rows[-1]))
        assert (
            f"{run.name}: truthfulness in self-play {went}, from {first:.2f} in iteration 1 to {last:.2f} in iteration 8." in html
        )


def test_the_anchors_are_labelled(split_comparison: Path) -> None:
    html = Page(split_comparison).html
    for label in ("efficient 1", "both half 0.55", "efficient 50", "both half 27.5", "stock 10"):
        assert f">{label}<" in html


def test_what_a_model_said_stays_text(split_comparison: Path) -> None:
    page = Page(split_comparison)
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    assert HOSTILE in page.json.replace("\\u003c", "<").replace("\\u003e", ">").replace('\\"', '"').replace("\\u0027", "'")


def test_a_young_run_gives_a_page(tmp_path: Path) -> None:
    page = Page(report([make_split_run(tmp_path / "young", done=1, summary=False, against=[])]))
    assert "unfinished" in page.html
    assert {"training", "reciprocity", "talk"} <= set(page.ids)
    assert "talk" not in Page(report([make_split_run(tmp_path / "empty", done=0, summary=False)])).ids


def test_a_round_tells_hands_truth_asks_and_units(episodes: list[Any]) -> None:
    """Checked against the rules: the hands that beat each other, and the splitting rule."""
    data = page_data([("self_play", episode) for episode in episodes])
    assert len(data["rules"]) == 1  # the same for everybody, once
    beats = {("rock", "scissors"), ("paper", "rock"), ("scissors", "paper")}
    lies = 0
    for episode, shown in zip(episodes, data["episodes"], strict=True):
        for played, one in zip(episode.rounds, shown["rounds"], strict=True):
            hands = [text.split(",")[0] for text in one["held"]]
            upper = ["upper hand: coins 10" in text for text in one["held"]]
            assert (tuple(hands) in beats, tuple(hands[::-1]) in beats) == tuple(upper)
            *talk, asks = one["rows"]
            for (turn,) in talk:
                named = [hand for hand in ("rock", "paper", "scissors") if turn["valid"] and hand in turn["answer"]]
                claims = 0 < len(named) < 3
                assert turn["honest"] == (named == [hands[turn["player"]]] if claims else None)
                lies += turn["honest"] is False
            units = [turn["action"] or turn["answer"].removeprefix("asks ") for turn in asks]
            wanted = [int(text.removesuffix(" coins")) for text in units]
            assert [turn["received"] for turn in asks] == [f"{round(10 * x / max(10, sum(wanted)), 1):g} coins" for x in wanted]
            assert one["rewards"] == list(played.rewards)
    assert lies > 0


def test_long_chats_are_sampled_to_fit(split_runs: tuple[Path, Path]) -> None:
    everything = fitting(split_runs[0], 10**9)
    size = len(json.dumps(everything))
    less = fitting(split_runs[0], size // 2 + 5000)
    assert (len(everything["episodes"]), len(less["episodes"])) == (8 * 4, 8 * 2)
    assert len(json.dumps(less)) <= size // 2 + 5000
    assert len(fitting(split_runs[0], 1)["episodes"]) == 8


def test_silent_games_show_values(tmp_path: Path) -> None:
    folder = make_split_run(tmp_path / "items", game="split_no_comm", done=1, summary=False)
    ((_, episode), *_) = sample(folder)
    held = notes(episode, episode.rounds[0])
    assert held is not None
    assert held.stock == "10 hats, 10 books, 10 balls"
    assert all(text.startswith("values hats 1") for text in held.held)


def test_the_terminal_shows_the_same(episodes: list[Any]) -> None:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render_text(episodes[-1]))
    text = console.export_text()
    for part in ("told to everyone", "hand: coins 10", "✗ not true", "asks 10 coins → gets 5 coins", "mean points per round"):
        assert part in text
    assert "<<proposal_start>> 10" not in text


@pytest.mark.parametrize(
    ("message", "honest"),
    [
        ("I value hats most.", True),
        ("I value balls most.", False),
        ("Agreed.", None),  # claims nothing
        ("I take 1 books, 2 hats, 0 balls.", None),  # an offer names everything
    ],
)
def test_a_message_that_claims_nothing_is_no_lie(message: str, honest: bool | None) -> None:
    said = detente.play("deal_or_no_deal", ["fair_half", "fair_half"])[0].rounds[0].turns[0]
    truth, vocabulary = (frozenset({"hats"}), frozenset({"books"})), ("books", "hats", "balls")
    assert is_honest(truth, vocabulary, replace(said, player=0, action=message)) is honest
