"""docs/environments.md: every block and command runs, in the order of the page."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from detente import cli
from detente.records import read_episodes

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text(encoding="utf-8")


def blocks(section: str) -> list[str]:
    """The Python blocks of a section that belong to no file."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"(?<!`:\n\n)```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def test_two_iterations_of_a_learner_in_our_game(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pettingzoo", reason="pettingzoo is not installed: pip install 'detente[pettingzoo]'")
    names: dict[str, object] = {}
    for code in blocks("A game as a PettingZoo environment"):
        exec(compile(code, "docs/environments.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in printed[-2:]] == ["0", "1"]
    assert printed[-1] != "1 [[0.0, 0.0], [0.0, 0.0]]"


SAVED = r"`([\w.]+)`:\n\n```(?:python|yaml)\n(.*?)^```"  # "Save this as `NAME`:", and the block
FILES: dict[str, str] = dict(re.findall(SAVED, PAGE, flags=re.MULTILINE | re.DOTALL))

QUICK = ("lora.rank=2", "device=cpu", "episodes=4", "group_size=2", "evaluation.episodes=2")


@pytest.fixture
def folder(tmp_path: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's files in a folder of somebody's, in which the test stands; a tiny model in place of the page's."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text.replace("model: pocket", f"model: {tiny_model}"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    yield tmp_path
    sys.modules.pop("crossing", None)


def commands(section: str) -> list[list[str]]:
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines]


def test_two_iterations_in_a_pettingzoo_environment(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pettingzoo", reason="pettingzoo is not installed: pip install 'detente[pettingzoo]'")
    play, train = commands("A PettingZoo environment as a game")
    assert cli.main(play) == 0
    assert cli.main([*train, *QUICK]) == 0, capsys.readouterr().err
    from detente.games import make
    from detente.games.contract import check_game

    check_game(make("crossing:game", length=3), 3)
    lines = (folder / "runs" / "crossing" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2]
    turns = [
        turn for file in (folder / "runs" / "crossing" / "episodes").iterdir() for e in read_episodes(file) for turn in e.turns()
    ]
    assert {(turn.valid, turn.action) for turn in turns} == {
        (True, "<A>"),
        (True, "<B>"),
    }  # the grammar holds answers to the actions


def test_two_iterations_in_a_game_of_textarena(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("textarena", reason="textarena is not installed: pip install 'detente[textarena]'")
    (play,) = commands("A TextArena game as a game")
    assert cli.main(play) == 0
    name, choices = play[1], play[4]
    preset = (
        (folder / "crossing.yaml").read_text(encoding="utf-8").replace('{name: "crossing:game", length: 5}', f'{{name: "{name}"}}')
    )
    (folder / "arena.yaml").write_text(preset, encoding="utf-8")
    train = ["train", "arena.yaml", "--trust", "--run", "runs/arena", choices, 'game.options={"num_rounds": 1}', *QUICK]
    assert cli.main(train) == 0, capsys.readouterr().err
    assert len((folder / "runs" / "arena" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 2
