"""The page about games, families, strategies, rewards and measures of one's own: its files, numbers and commands."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from detente import cli
from detente.family_file import description

PAGE = (Path(__file__).parents[1] / "docs" / "use-your-own.md").read_text(encoding="utf-8")
SAVED = r"`([\w.]+)`[^`\n]*:\n\n```(?:python|yaml)\n(.*?)^```"  # "Save this as `NAME`:", and the block
FILES: dict[str, str] = dict(re.findall(SAVED, PAGE, flags=re.MULTILINE | re.DOTALL))
TRAINS = ("train", "best-response")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Iterator[Path]:
    """The page's files in a folder of somebody's, in which the test stands; a tiny model in place of the page's."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in FILES.items():
        (folder / name).write_text(text.replace("model: pocket", f"model: {tiny_model}"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [place for place in sys.path if place])
        yield folder
    for name in FILES:
        sys.modules.pop(name.partition(".")[0], None)


def run(section: str, tiny_model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command of a section."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()]
    assert lines
    for line in lines:
        words = shlex.split(line)[1:]
        model = [f"model={tiny_model}", "lora.rank=2", "device=cpu"] if words[0] in TRAINS else []
        quick = ["--no-report"] if words[0] == "train" else []
        assert cli.main([*words, *model, *quick]) == 0, (line, capsys.readouterr().err)


def test_the_page_has_its_files() -> None:
    scripts = {"punishment.py", "punishment_family.py", "trust.py", "my_rules.py", "my_measures.py", "my_rewards.py"}
    assert {*FILES} == scripts | {"punishment.yaml"}


def test_games_keep_their_promises_and_pay_what_a_pencil_says(folder: Path) -> None:
    from detente.games import make
    from detente.games.contract import check_game

    (code,) = re.findall(r"```python\n(from detente.games import make\n.*?)```", PAGE, flags=re.DOTALL)
    sys.path.append(str(folder))
    exec(compile(code, "docs/use-your-own.md", "exec"), {})
    check_game(make("trust:Trust", rounds=3))


def test_the_game_with_punishment(folder: Path, tiny_model: str, capsys: pytest.CaptureFixture[str]) -> None:
    run("Its family", tiny_model, capsys)
    known = description(folder / "runs" / "punishment", {})
    assert [line.value for line in known.reading.anchors] == [16, 10]
    assert known.references is not None
    punisher = next(script for script in known.references if script.learner == "punisher")
    assert punisher.against["free_rider"]["reward"] == 1  # 0.4 x 10 - 3
    page = (folder / "runs" / "punishment" / "report" / "index.html").read_text(encoding="utf-8")
    assert all(words in page for words in ("What it gives after what", "nobody gives", "punisher"))
    learner = json.loads((folder / "runs" / "punishment" / "summary.json").read_text())["learners"]["main"]
    assert {*learner["giving_after"]} == {"start", "generous", "stingy"}


def test_the_asymmetric_game(folder: Path, tiny_model: str, capsys: pytest.CaptureFixture[str]) -> None:
    run("An asymmetric game", tiny_model, capsys)
    assert {*json.loads((folder / "runs" / "trust" / "summary.json").read_text())["learners"]} == {"investor", "trustee"}


def test_the_strategies(folder: Path, tiny_model: str, capsys: pytest.CaptureFixture[str]) -> None:
    run("A strategy", tiny_model, capsys)
    cells = json.loads((folder / "runs" / "rules" / "arena.json").read_text())["cells"]
    assert cells[2]["reward"]["mean"] == pytest.approx(2 / 3)  # the grudger against a defector: 0, 1, 1


def test_the_measure_and_the_reward(folder: Path, tiny_model: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not (folder / "runs" / "punishment").exists():
        run("Its family", tiny_model, capsys)
    run("A reward", tiny_model, capsys)
    row = json.loads((folder / "runs" / "prosocial" / "metrics.jsonl").read_text())
    assert row["shaped_reward/main"] == pytest.approx(1.5 * row["reward/main"])  # all four seats are the learner's
    assert 0 <= row["gini/main"] <= 1
    from my_measures import of  # type: ignore[import-not-found]

    assert (of([1, 1, 1, 1]), of([4, 0, 0, 0]), of([3, 1]), of([0, 0])) == (0, 0.75, 0.25, 0)
