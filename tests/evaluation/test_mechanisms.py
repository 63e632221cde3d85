"""The same agents under several mechanisms: options from text, who takes part, resume, tables, and the protocol of CoopEval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import detente
from detente import cli
from detente.errors import UserError
from detente.evaluation import coopeval
from detente.evaluation.mechanisms import NONE, settings, under
from detente.games import configured
from detente.records import read_episodes
from detente.reports.mechanisms import tables

IPD = {"name": "ipd", "rounds": 1}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("repetition", {}),
        ("repetition:look_back=1,rounds=5", {"look_back": 1, "rounds": 5}),
        ("repetition: look_back=1, rounds=5", {"look_back": 1, "rounds": 5}),
        ("reputation:told=joint,continuation=0.8", {"told": "joint", "continuation": 0.8}),
        ("contract:payments=[0,2.5]", {"payments": [0, 2.5]}),
    ],
)
def test_options_from_text(text: str, options: dict[str, Any]) -> None:
    assert under(IPD, text) == {"name": text.partition(":")[0], "of": IPD} | options
    configured(under(IPD, text))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("repetiton", "no mechanism 'repetiton'; there are: contract, .*; did you mean 'repetition'"),
        ("none:rounds=2", "no mechanism 'none'|did you mean"),
        ("repetition:", "should be repetition, or with options such as repetition:look_back=1"),
        ("repetition:look_back", "with options such as"),
        ("repetition:of=ipd", "stands around the game of the arena, so it takes no option 'of'"),
        ("repetition:rounds=1,rounds=2", "each of them once"),
        ("contract:payments=[0,", "is not valid YAML"),
        (
            "repetition:lookback=1",
            "The mechanism repetition has no option 'lookback'; there are: continuation, .*; did you mean 'look_back'",
        ),
        ("repetition:look_back=much", "option look_back of the mechanism repetition should be a whole number, not 'much'"),
        ("mediation:", "The mechanism mediation has no options; name it without the colon"),
        ("mediation:votes=2", "The mechanism mediation has no options"),
    ],
)
def test_one_sentence_for_a_wrong_mechanism(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        configured(under(IPD, text))


def test_scripts_of_mechanisms_take_part_where_there_is_one() -> None:
    agents = ["tit_for_tat", "reciprocal", "signer"]
    chosen = {setting.mechanism: setting.agents for setting in settings(IPD, ["repetition", "contract"], agents, "ipd")}
    assert chosen == {
        NONE: ("tit_for_tat",),
        "repetition": ("tit_for_tat", "reciprocal"),
        "contract": ("tit_for_tat", "signer"),
    }
    with pytest.raises(UserError, match="named twice"):
        settings(IPD, ["contract", "contract"], agents, "ipd")


def test_cells_beside_each_other_and_nothing_is_played_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["arena", "ipd", "game.rounds=1", "--agents", "always_defect,signer", "--episodes", "2", "--out", str(tmp_path / "a")]
    assert cli.main([*words, "--mechanism", "contract:payments=[0,2]"]) == 0
    content = json.loads((tmp_path / "a" / "mechanisms.json").read_text())
    (table,) = tables(content, {})
    assert table.mechanisms == (NONE, "contract:payments=[0,2]")
    rewards = {(row.agent, row.against): [cell and cell["reward"]["mean"] for cell in row.cells] for row in table.rows}
    assert rewards["signer", "signer"] == [None, 3]
    assert rewards["always_defect", "signer"] == [None, 1]
    assert rewards["always_defect", "always_defect"] == [1, 1]
    page = (tmp_path / "a" / "index.html").read_text(encoding="utf-8")
    assert [f"{quote(folder)}/index.html" in page for folder in table.folders] == [True, True]
    files = [*(tmp_path / "a").rglob("*.jsonl.gz")]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert cli.main([*words, "--mechanism", "contract:payments=[0,2]"]) == 0
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert "signer" in capsys.readouterr().out


def test_the_games_of_coopeval_have_the_published_payoffs() -> None:
    """Everybody cooperating gets what the paper says; every published number is of a game and a mechanism that are played."""
    for name, points in coopeval.ALL_COOPERATE.items():
        game = configured(coopeval.GAMES[name])
        (episode,) = detente.play(game, [coopeval.scripts(game)[0]] * game.num_players)
        assert episode.rounds[0].rewards == pytest.approx([points] * game.num_players)
        assert coopeval.PUBLISHED[name].keys() <= coopeval.MECHANISMS.keys()
    assert coopeval.PUBLISHED.keys() == coopeval.ALL_COOPERATE.keys() < coopeval.GAMES.keys()


def test_coopeval_by_one_command(tmp_path: Path) -> None:
    words = ["coopeval", "random", "--episodes", "1", "--out", str(tmp_path), "--games", "prisoners_dilemma,matching_pennies"]
    assert cli.main([*words, "--mechanisms", "none,contracting,mediation"]) == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "arXiv 2604.15267" in page
    assert "1.42 to 2.08" in page
    assert {entry["game"] for entry in json.loads((tmp_path / "mechanisms.json").read_text())["entries"]} == {
        "prisoners_dilemma",
        "matching_pennies",
    }


class Stopped:
    """A watch that hears how far a comparison is, and stops it when an arena of the number ``stop`` begins."""

    def __init__(self, stop: int) -> None:
        self.stop, self.arenas = stop, list[int]()

    def setting(self, number: int, count: int, setting: Any) -> None:
        if number == self.stop:
            raise KeyboardInterrupt

    def compared(self, content: Any) -> None:
        self.arenas.append(len(content["entries"]))

    def begin(self, seatings: int, finished: int, episodes: int) -> None: ...
    def seating(self, names: Any) -> None: ...
    def episode(self) -> None: ...


def test_a_comparison_that_is_stopped_shows_what_is_done(tmp_path: Path) -> None:
    options: dict[str, Any] = {"games": ["prisoners_dilemma"], "mechanisms": ["none", "mediation", "repetition"], "episodes": 1}
    page, file = tmp_path / "index.html", tmp_path / "mechanisms.json"
    with pytest.raises(KeyboardInterrupt):
        detente.coopeval(["random"], tmp_path, watch=Stopped(3), **options)
    assert "2 of 3 arenas are played so far" in page.read_text(encoding="utf-8")
    assert len(json.loads(file.read_text())["entries"]) == 2
    with pytest.raises(KeyboardInterrupt):  # what it did not come to again is still shown
        detente.coopeval(["random"], tmp_path, watch=Stopped(2), **options)
    assert len(json.loads(file.read_text())["entries"]) == 2
    watch = Stopped(0)
    content = detente.coopeval(["random"], tmp_path, watch=watch, **options)
    assert content == json.loads(file.read_text())
    assert watch.arenas == [1, 2, 3]
    assert "arenas are played so far" not in page.read_text(encoding="utf-8")


def test_where_seats_differ_the_mean_over_roles_stands_beside_the_published_number(tmp_path: Path) -> None:
    options: dict[str, Any] = {"games": ["trust_game"], "mechanisms": ["none", "reputation"], "episodes": 8}
    content = detente.coopeval(["random"], tmp_path, **options)
    (table,) = tables(content, coopeval.PUBLISHED)
    means = {row.against: cell for row in table.rows if row.agent == "random" for cell in row.cells[:1] if cell is not None}
    by_role = {(row.agent, row.against): row.cells[0] for row in table.rows if row.agent.startswith("random as")}
    assert table.rows[0].agent == "random"
    for against, mean in means.items():
        parts = [cell["reward"]["mean"] for (_, other), cell in by_role.items() if other == against and cell]
        assert len(parts) == 2
        assert mean["reward"]["mean"] == pytest.approx(sum(parts) / 2)
        assert mean["reward"]["low"] <= mean["reward"]["mean"] <= mean["reward"]["high"]
    assert {row.agent: row.cells[1] is None for row in table.rows if row.label == row.against == "random"} == {
        "random": False,  # whose partners change has all roles
        "random as investor": True,
        "random as trustee": True,
    }
    (arena,) = tmp_path.rglob("none/arena.json")
    random = [agent["label"] for agent in content["entries"][0]["agents"]].index("random")
    played = read_episodes(arena.parent / "episodes" / f"{random}-{random}.jsonl.gz")
    own = [sum(episode.rounds[0].rewards) / 2 for episode in played]
    assert means["random"]["reward"]["mean"] == pytest.approx(sum(own) / len(own))


def test_the_page_of_an_arena_under_a_mechanism_says_the_game_inside(tmp_path: Path) -> None:
    detente.arena("ipd", ["random"], tmp_path, episodes=1, mechanisms=["repetition:rounds=2"])
    (file,) = tmp_path.glob("ipd/repetition*/index.html")
    page = file.read_text(encoding="utf-8")
    assert "<h1>repetition around ipd" in page
    assert "<code>game.of.payoffs</code>" in page
    assert "[[[3.0, 3.0], [0.0, 5.0]], [[5.0, 0.0], [1.0, 1.0]]]" in page


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["random", "--games", "prisoner"], "CoopEval has no game 'prisoner'"),
        (["random", "--mechanisms", "contract"], "CoopEval has no mechanism 'contract'"),
        (["random", "--games", "stag_hunt,stag_hunt"], "game of CoopEval stag_hunt is named twice"),
        (["random", "--mechanisms", "none,none"], "mechanism of CoopEval none is named twice"),
        ([""], "needs at least one agent"),
        (["random", "game.rounds=3"], "takes no game.rounds=3"),
        (["nobody"], "no strategy 'nobody'"),
        (["runs/none"], "There is no run or adapter folder 'runs/none'"),
        (
            ["tit_for_tat"],
            "'tit_for_tat' cannot play public_goods, matching_pennies; name the games that it can with --games prisoners_dilemma,",
        ),
        (["signer", "--games", "stag_hunt", "--mechanisms", "none"], "signer uses a mechanism that is none of those named"),
    ],
)
def test_one_sentence_for_a_wrong_protocol(
    words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("detente.cli.terminal.PATIENCE_S", 600)
    assert cli.main(["coopeval", *words, "--out", str(tmp_path / "new")]) == 2
    said = capsys.readouterr()
    assert sentence in " ".join(said.err.split())
    assert said.out == ""
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("agents", "sentence"),
    [
        ("signer,reciprocal", "with the mechanism none; besides scripts of mechanisms (signer, reciprocal) name another agent"),
        ("random,delegator", "delegator uses a mechanism that is none of those named"),
        ("random,tit_for_tatt", "no strategy 'tit_for_tatt'"),
    ],
)
def test_who_would_not_play_is_told_before_anything_is_played(
    agents: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("detente.cli.terminal.PATIENCE_S", 600)
    words = ["arena", "ipd", "--agents", agents, "--mechanism", "repetition", "--mechanism", "contract"]
    assert cli.main([*words, "--out", str(tmp_path / "new")]) == 2
    said = capsys.readouterr()
    assert sentence in " ".join(said.err.split())
    assert said.out == ""
    assert not (tmp_path / "new").exists()


def test_a_single_arena_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["arena", "ipd", "game.rounds=1", "--agents", "tit_for_tat", "--episodes", "1"]
    assert cli.main(words) == 0
    page = Path("runs/arena/ipd/index.html").read_bytes()
    under_mechanisms = [*words, "--mechanism", "repetition:rounds=2"]
    assert cli.main(under_mechanisms) == 0
    assert Path("runs/mechanisms/ipd/mechanisms.json").exists()
    assert cli.main([*under_mechanisms, "--out", "runs/arena/ipd"]) == 2
    assert "is that of a single arena; give --out another folder" in " ".join(capsys.readouterr().err.split())
    assert Path("runs/arena/ipd/index.html").read_bytes() == page


def test_a_mechanism_that_cannot_stand_around_the_game_is_refused_before_anything_is_played(tmp_path: Path, capsys: Any) -> None:
    words = ["arena", "commons", "--agents", "greedy,sustainable", "--mechanism", "contract", "--out", str(tmp_path / "new")]
    assert cli.main(words) == 2
    assert "needs a game in which all choose from the same list" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "new").exists()
