"""The paper's experiments as a suite: commands that can be run, and a page that says what was not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detente.cli import main

ESTIMATE = {"mean": 2.5, "low": 2.0, "high": 3.0}


@pytest.fixture(scope="module")
def paper(script: Callable[[str], Any]) -> Any:
    return script("paper")


@pytest.mark.parametrize("scale", ["pocket", "smollm2", "7b"])
def test_every_sweep_can_be_trained(paper: Any, scale: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    what = paper.SCALES[scale]
    for game in what.presets:
        for figure in paper.figures(game, what, tmp_path / game):
            for command in figure.commands:
                if command[0] == "sweep":
                    assert main([*command, "--dry-run"]) == 0, capsys.readouterr().err
                    count = 3 * len(what.seeds.split(","))
                    said = " ".join("".join(capsys.readouterr()).split())
                    assert f"{count} runs, 0 done, {count} to train" in said


def test_the_page_shows_what_is_there_and_names_what_is_not(paper: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    response = tmp_path / "ipd" / "best_response" / "best_response.json"
    response.parent.mkdir(parents=True)
    response.write_text(json.dumps({"responder": {"reward": ESTIMATE, "agent_reward": ESTIMATE}, "cooperator": None}))
    monkeypatch.setattr(sys, "argv", ["paper.py", "--scale", "pocket", "--game", "ipd", "--runs", str(tmp_path), "--write"])
    assert paper.main() == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("<b>Here:</b> not run.") == 3
    assert "2.50 [2.00, 3.00]" in page
    assert "detente best-response ipd seed=0 --against" in page


def test_the_numbers_of_a_sweep(paper: Any, tmp_path: Path) -> None:
    setting = {"label": "naive", "measures": {"self_play/reward": ESTIMATE}, "verdicts": {"reciprocator": ESTIMATE | {"n": 3}}}
    path = tmp_path / "sweep.json"
    path.write_text(json.dumps({"measure": "self_play/reward", "settings": [setting]}))
    head, rows = paper.of_sweep(path)
    assert rows == [["naive", "2.50 [2.00, 3.00]", "reciprocator 2.50 [2.00, 3.00]"]]
    assert len(head) == 3


def test_nothing_of_the_largest_scale_is_run(paper: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise AssertionError

    monkeypatch.setattr(paper, "run", refuse)
    monkeypatch.setattr(sys, "argv", ["paper.py", "--scale", "7b", "--runs", str(tmp_path)])
    assert paper.main() == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("<b>Here:</b> not run.") == 12
    assert "Nothing of this scale was run here" in page
