"""A file that names code as its game: nothing is run unless whoever gives the command says so."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import detente
from detente import cli, config, foreign, web
from detente.errors import UserError

GAME = "from detente.games.matrix import ipd as Game\n"


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The file that the modules ``somebody`` and ``parcel.inner`` make when they are imported; the test stands in its folder."""
    marker = tmp_path / "ran"
    (tmp_path / "parcel").mkdir()
    leave = f"open({str(marker)!r}, 'a').close()\n"
    for module in ("somebody.py", "parcel/__init__.py", "parcel/inner.py"):
        (tmp_path / module).write_text(leave + GAME)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield marker
    for module in ("somebody", "parcel", "parcel.inner"):
        sys.modules.pop(module, None)


def write(path: Any, text: Any) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


FILES = {
    "a preset": {"one.yaml": "game: {name: 'GAME', rounds: 2}"},
    "a preset that names nothing but the game": {"one.yaml": "game: 'GAME'"},
    "one that extends another": {"one.yaml": "extends: two.yaml", "two.yaml": "game: {name: 'GAME'}"},
    "a preset with a game in a mechanism": {"one.yaml": "game: {name: repetition, of: {name: 'GAME'}, rounds: 2}"},
    "one whose algorithm brings it": {"one.yaml": "game: ipd\nalgorithms: {reinforce: {game: {name: 'GAME'}}}"},
    "an arena of somebody's": {"one.yaml": "game: {name: 'GAME'}\nseats: [tit_for_tat, main]"},
}
COMMANDS = {
    "a dry run": ["train", "one.yaml", "--dry-run"],
    "training": ["train", "one.yaml", "--run", "new"],
    "with other options": ["train", "one.yaml", "game.rounds=3", "--dry-run"],
    "play": ["play", "one.yaml", "--seats", "tit_for_tat,random"],
    "arena": ["arena", "one.yaml", "--agents", "tit_for_tat,random", "--out", "new"],
    "best response": ["best-response", "one.yaml", "--against", "tit_for_tat", "--run", "new"],
    "exact best response": ["best-response", "one.yaml", "--against", "tit_for_tat", "--exact"],
    "fingerprint": ["fingerprint", "one.yaml", "--agents", "tit_for_tat", "--out", "new"],
}


@pytest.mark.parametrize("files", FILES)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("game", ["somebody:Game", "parcel.inner:Game"])
def test_no_command_runs_what_a_preset_file_names(
    files: Any, command: Callable[..., Any], game: str, marker: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in FILES[files].items():
        write(tmp_path / name, text.replace("GAME", game))
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(COMMANDS[command]) == 2  # type: ignore[index]
    said = capsys.readouterr().err
    module = game.partition(":")[0]
    assert f"one.yaml names the game '{game}', which would run code of the module {module} " in said.replace("\n", " ")
    assert str(tmp_path / f"{module.replace('.', '/')}.py") in said
    assert "--trust" in said
    assert said.count("\n") == 1
    assert not marker.exists()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("words", [["--dry-run"], [], ["iterations=9"]])
def test_no_run_folder_runs_what_it_names(
    words: list[Any], marker: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "run" / "config.yaml", "game: {name: 'somebody:Game'}\niterations: 2\n")
    assert cli.main(["train", "run", *words]) == 2
    assert "run/config.yaml names the game 'somebody:Game'" in capsys.readouterr().err
    assert not marker.exists()


def test_nobody_who_reads_a_received_run_folder_runs_what_it_names(
    small_run: Path, marker: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(small_run, tmp_path / "runs" / "received")
    stored = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(stored.replace("name: ipd", "name: somebody:Game"))
    assert "somebody:Game" in (run / "config.yaml").read_text()
    for file in (run / "episodes").iterdir():
        lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
        file.write_bytes(
            gzip.compress("".join(json.dumps(line | {"game": {"name": "somebody:Game"}}) + "\n" for line in lines).encode())
        )
    commands = [
        ["report", "runs/received"],
        ["export", "runs/received"],
        ["play", "ipd", "--seats", "runs/received,tit_for_tat", "game.rounds=2"],
        ["arena", "ipd", "--agents", "runs/received,tit_for_tat", "game.rounds=2", "--episodes", "2", "--out", "met"],
        ["fingerprint", "ipd", "--agents", "runs/received", "game.rounds=2", "--out", "print"],
        ["best-response", "ipd", "--against", "runs/received", "game.rounds=2", "--exact"],
    ]
    for words in commands:
        assert cli.main(words) == 0, (words, capsys.readouterr().err)
    with TestClient(web.build(tmp_path / "runs"), base_url="http://localhost") as client:
        for address in ("/", "/play", "/run?run=received", "/transcripts?in=received", "/part?run=received&name=outcome"):
            assert client.get(address).status_code == 200
    assert not marker.exists()


def test_the_command_of_the_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "one.yaml", f'game: {{name: "os:system", command: "id > {tmp_path}/P"}}')
    for words in (["train", "one.yaml", "--dry-run"], ["arena", "one.yaml", "--agents", "tit_for_tat,random"]):
        assert cli.main(words) == 2
        assert "'os:system'" in capsys.readouterr().err
    assert not (tmp_path / "P").exists()


@pytest.mark.parametrize(
    "words", [["--trust"], ["game.name=somebody:Game"], ["game=somebody:Game"], ["game={name: 'somebody:Game'}"]]
)
def test_who_says_so_runs_it(words: list[str], marker: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "one.yaml", "game: {name: 'somebody:Game', rounds: 2}")
    assert cli.main(["train", "one.yaml", "--dry-run", *words]) == 0, capsys.readouterr().err
    assert marker.exists()


def test_another_name_on_the_command_line_does_not_count_for_the_files(
    marker: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "one.yaml", "game: {name: 'somebody:Game'}")
    assert cli.main(["train", "one.yaml", "game.rounds=2", "--dry-run"]) == 2
    assert cli.main(["train", "one.yaml", "game.name=ipd", "--dry-run"]) == 0
    assert not marker.exists()


def test_play_by_name_needs_no_more_words(marker: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["play", "somebody:Game", "--seats", "tit_for_tat,random"]) == 0, capsys.readouterr().err
    assert marker.exists()


def test_from_python(marker: Any, tmp_path: Path) -> None:
    preset = write(tmp_path / "one.yaml", "game: {name: 'somebody:Game', rounds: 2}")
    calls = [
        lambda **trust: detente.load(preset, **trust),
        lambda **trust: detente.play(preset, ["tit_for_tat", "random"], **trust),
        lambda **trust: detente.arena(preset, ["tit_for_tat", "random"], tmp_path / "arena", episodes=1, **trust),
        lambda **trust: detente.fingerprint(preset, ["tit_for_tat"], tmp_path / "print", **trust),
        lambda **trust: detente.best_response(preset, "tit_for_tat", tmp_path / "run", **trust),
    ]
    for call in calls:
        with pytest.raises(UserError, match=re.escape("trust=True")):
            call()
    assert not marker.exists()
    assert detente.load(preset, ["game.name=somebody:Game"]).game["name"] == "somebody:Game"
    for call in calls[:3]:
        call(trust=True)
    assert marker.exists()


def test_own_code_may_name_it(marker: Any) -> None:
    assert len(detente.play("somebody:Game", ["tit_for_tat", "random"])) == 1
    assert config.build({"game": {"name": "somebody:Game"}}).game["name"] == "somebody:Game"


def test_where_modules_lie(marker: Any, tmp_path: Path) -> None:
    assert foreign.whereabouts("somebody") == str(tmp_path / "somebody.py")
    assert foreign.whereabouts("parcel.inner") == str(tmp_path / "parcel" / "inner.py")
    assert foreign.whereabouts("sys") == "a part of Python itself"
    assert foreign.whereabouts("os").endswith("os.py")
    for nowhere in ("no_such_module", "parcel.nothing", "sys.path", "", ".", "a..b", "\0"):
        assert foreign.whereabouts(nowhere) == "which Python does not find"
    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("..:x", r"a game of your own is module:attribute"),
        (":x", r"a game of your own is module:attribute"),
        ("os:", r"a game of your own is module:attribute"),
        ("a b:c", r"a game of your own is module:attribute"),
        ("x:y:z", r"a game of your own is module:attribute"),
        ("no_such_module:Game", r"can be imported: ModuleNotFoundError"),
        ("detente.games:nothing", r"can be imported: AttributeError"),
        ("faulty:Game", r"can be imported: ZeroDivisionError"),
        ("unfinished:Game", r"can be imported: SyntaxError"),
        ("os:name", r"name is no class or function, but str"),
        ("builtins:dict", r"makes no game: dict has no name, num_players"),
        ("builtins:print", r"does not take these parameters: TypeError"),
        ("raising:Game", r"does not take these parameters: ValueError too many rounds"),
    ],
)
def test_code_that_is_no_game(name: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "faulty.py", "1 / 0")
    write(tmp_path / "unfinished.py", "def")
    write(tmp_path / "raising.py", "def Game(rounds):\n    raise ValueError('too many rounds')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=sentence):
        detente.make(name, **({} if name == "builtins:dict" else {"rounds": 3}))


AWAY = ["openai:some/model@https://example.invalid/v1", "openai:some-model", "openai:m@http://127.0.0.1.example.invalid/v1"]


@pytest.mark.parametrize("seat", AWAY)
@pytest.mark.parametrize("words", [["one.yaml", "--dry-run"], ["run", "--dry-run"], ["one.yaml", "--run", "new"]])
def test_no_file_seats_a_model_on_another_machine(
    seat: Any, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    for path in ("one.yaml", "run/config.yaml"):
        write(tmp_path / path, f"game: ipd\nseats: [main, '{seat}']\n")
    assert cli.main(["train", *words]) == 2
    said = capsys.readouterr().err
    assert f"seats '{seat}', which would send requests and your key to another machine" in said
    assert not (tmp_path / "new").exists()
    assert config.load("one.yaml", trust=True).seats == ("main", seat)
    assert config.load("one.yaml", [f"seats=[main,'{seat}']"]).seats == ("main", seat)


@pytest.mark.parametrize(
    "seat", ["openai:m@http://127.0.0.1:8000/v1", "openai:m@http://localhost:8000/v1", "openai:m@http://[::1]:8000/v1"]
)
def test_a_file_may_seat_a_model_on_this_machine(seat: str, tmp_path: Path) -> None:
    assert config.load(write(tmp_path / "one.yaml", f"game: ipd\nseats: [main, '{seat}']\n")).seats == ("main", seat)


def test_every_option_that_names_code() -> None:
    options = {
        "game": {"name": "somebody:Game", "rounds": 3},
        "algorithm": "reinforce",
        "learners": {"alice": {"algorithm": "somebody:kind"}, "bob": {"update_every": 2}, "carol": None},
    }
    assert list(foreign.named(options)) == [
        ("game.name", "somebody:Game", "game"),
        ("learners.alice.algorithm", "somebody:kind", "algorithm"),
    ]
    assert list(foreign.named({"game": "somebody:Game", "algorithm": "a:b"})) == [
        ("game", "somebody:Game", "game"),
        ("algorithm", "a:b", "algorithm"),
    ]
    assert list(foreign.named({"game": 3, "algorithm": ["a:b"], "learners": "a:b"})) == []


def test_what_is_named_by_hand_is_trusted_in_that_option_alone() -> None:
    options = {"algorithm": "mine:kind", "learners": {"alice": {"algorithm": "mine:cruel"}}}
    foreign.check_trusted("one.yaml", options, {}, trusted=True)
    foreign.check_trusted("one.yaml", options, options, trusted=False)
    with pytest.raises(
        UserError,
        match=r"one.yaml names the algorithm 'mine:cruel'.*or name the algorithm yourself: learners.alice.algorithm=mine:cruel.",
    ):
        foreign.check_trusted("one.yaml", options, {"algorithm": "mine:kind"}, trusted=False)
    with pytest.raises(UserError, match="names the algorithm 'mine:kind'"):
        foreign.check_trusted("one.yaml", options, {"game": "mine:kind", "algorithm": "other:kind"}, trusted=False)
