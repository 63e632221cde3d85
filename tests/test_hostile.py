"""Names of folders, answers of models and words of servers reach no terminal raw, whatever the command; nor do they break it."""

from __future__ import annotations

import io
import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detente import api, cli
from detente.config import build
from detente.games import make
from detente.players.human import Human
from detente.players.scripted import scripted
from detente.progress import Progress
from detente.reports.transcript import render_text
from detente.rollout import Match, play_matches
from detente.screen import Screen

EVIL = "\x1b]0;taken\x07\x1b[2J\x9b1m\u202e\u2066[/red]:smile:, x"
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
ENDLESS = "device=cpu game.rounds=1 iterations=1 episodes=2 group_size=2 lora.rank=1 evaluation.episodes=0"


def harmless(text: str) -> bool:
    return not RAW.search(text)


@pytest.fixture(params=[EVIL, "caf\udce9", "a\u202eb\u200b"], ids=["control characters", "not UTF-8", "not to be seen"])
def evil(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A hostile name; the test stands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return request.param


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize(
    "words",
    [
        ["train", "{}"],
        ["train", "{}.yaml"],
        ["train", "runs/{}"],
        ["train", "ipd", "{}"],
        ["train", "ipd", "model={}", "--dry-run"],
        ["train", "ipd", "description={}", "--dry-run"],
        ["train", "ipd", "algorithm={}"],
        ["train", "ipd", "seats=[main,'{}']", "--dry-run"],
        ["train", "ipd", "game.name={}"],
        ["play", "{}", "--seats", "tit_for_tat,random"],
        ["play", "ipd", "--seats", "tit_for_tat,{q}"],
        ["play", "ipd", "--seats", "tit_for_tat,openai:{q}"],
        ["arena", "ipd", "--agents", "tit_for_tat,{q}", "--episodes", "1"],
        ["best-response", "ipd", "--against", "{}", "--exact"],
        ["fingerprint", "ipd", "--agents", "{q}"],
        ["report", "{}"],
        ["export", "{}"],
        ["serve", "{}"],
        ["list", "{}"],
        ["{}"],
        ["play", "--{}"],
    ],
    ids=" ".join,
)
def test_a_hostile_name_ends_in_a_harmless_sentence(words: list[str], evil: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main([word.format(evil, q=quoted(evil)) for word in words])
    said = capsys.readouterr()
    assert status == 2 or "--dry-run" in words
    assert said.err.count("\n") == (status == 2)
    assert "fault of ours" not in said.err
    assert harmless(said.out + said.err)


def test_a_hostile_run_folder_is_trained_reported_and_played(
    evil: Any, capsys: pytest.CaptureFixture[str], tiny_model: str
) -> None:
    """``--run '/tmp/[/red]x'`` was an error of markup; a name that is no UTF-8 reaches pages, pictures and tables."""
    assert cli.main(["train", "ipd", f"model={tiny_model}", *ENDLESS.split(), "--run", evil]) == 0
    shutil.copytree(evil, "other")
    for words in (["report", evil, "other"], ["export", evil], ["train", evil, "iterations=2"]):
        assert cli.main(words) == 0, capsys.readouterr().err
    agents = f"tit_for_tat,{quoted(evil)}"
    for words in (
        ["play", "ipd", "game.rounds=1", "--seats", agents, "--save", "x.jsonl"],
        ["arena", "ipd", "game.rounds=1", "--agents", agents, "--episodes", "1"],
        ["fingerprint", "ipd", "game.rounds=1", "--agents", agents],
    ):
        status = cli.main(words)
        said = capsys.readouterr()
        assert status == (2 if "\udce9" in evil else 0), said.err
        assert harmless(said.out + said.err)
    assert harmless(capsys.readouterr().out)


def printed(*things: Any) -> str:
    screen = Screen(file=io.StringIO(), width=200)
    for thing in things:
        screen.print(thing)
    return screen.file.getvalue()  # type: ignore[attr-defined]


def test_answers_reach_transcripts_written_out() -> None:
    (episode,) = api.play("ipd", ["tit_for_tat", "random"], overrides=["game.rounds=1"])
    (played,) = episode.rounds
    turns = tuple(replace(turn, prompt=EVIL, valid=False, completion=replace(turn.completion, text=EVIL)) for turn in played.turns)
    said = printed(render_text(replace(episode, rounds=(replace(played, turns=turns),), game=episode.game | {"name": EVIL})))
    assert harmless(said)
    assert "\\x1b]0;taken" in said
    assert ":smile:" in said
    assert "[/red]" in said


def test_a_person_is_told_hostile_words_written_out() -> None:
    lines = iter(["\x1b[2J", "<A>"])
    human = Human(read=lambda prompt: next(lines), console=Screen(file=io.StringIO(), width=200))

    class Hostile:
        def __getattr__(self, name: Any) -> Any:
            return getattr(game, name)

        def observe(self, state: Any, player: Any) -> Any:
            return replace(game.observe(state, player), text=EVIL, help=EVIL)

    game = make("ipd", rounds=1)
    play_matches([Match(Hostile(), 0, [human, scripted("random", 0, game)])])
    assert harmless(human.console.file.getvalue())  # type: ignore[attr-defined]


def test_the_progress_shows_hostile_names_written_out() -> None:
    config = build({"game": "ipd", "preset": "ipd", "model": EVIL, "iterations": 2})
    for terminal in (False, True):
        file = io.StringIO()
        with Progress(Screen(file=file, force_terminal=terminal, width=200)) as progress:
            progress.start(config, Path(EVIL), 1)
            progress.evaluating(EVIL)
            progress.iteration({"reward/main": 1.0})
            learner = {"algorithm": EVIL, "self_play": {"reward": 1.0}, "partners": {EVIL: 1.0}, "against": {}}
            progress.finish({"learners": {"main": learner}})
        own = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue()).replace("\r", "")  # rich's own
        assert harmless(own)
        assert "taken" in own


def test_notices_of_the_library_are_lines_of_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "algorithms"]) == 0
    logging.getLogger("detente.anywhere").warning("Loading %r, or %s.", EVIL, EVIL)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert harmless(said)


def test_tracebacks_show_hostile_words_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["play", EVIL, "--seats", "a,b", "--debug"]) == 2
    assert harmless(capsys.readouterr().err)
