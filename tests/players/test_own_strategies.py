"""A strategy of somebody's own, named as module:attribute."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import detente
from detente import cli, config
from detente.errors import UserError
from detente.web.names import opponent_name

STRATEGIES = """
def grudger(view, rng):
    return (0, 1) if "D" in view.other else (1, 0)

def defector(view, rng):
    return view.answers[1]

def fails(view, rng):
    raise KeyError("x")

def nothing(view, rng):
    return None

def three(view, rng):
    return (1, 2, 3)

def zeros(view, rng):
    return [0.0, 0.0]

def negative(view, rng):
    return (-1, 2)

def halves(view, rng):
    return (0.25, 0.25)

rule = 7
"""


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with strategies in the current folder, which is not on Python's path."""
    (tmp_path / "own_rules.py").write_text(STRATEGIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    monkeypatch.delitem(sys.modules, "own_rules", raising=False)
    return "own_rules"


def test_a_strategy_of_ones_own_plays_under_its_name(rules: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["play", "ipd", "--seats", f"{rules}:grudger,{rules}:defector", "game.rounds=3"]) == 0
    (episode,) = detente.play("ipd", [f"{rules}:grudger", f"{rules}:defector"], overrides=["game.rounds=3"])
    assert [turn.action for turn in episode.turns(0)] == ["C", "D", "D"]
    assert str(episode.policies[0]) == "own_rules:grudger"
    assert next(episode.turns(0)).completion.probabilities == (1, 0)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("fails", "The strategy 'own_rules:fails' raised KeyError 'x'; --debug shows where."),
        ("nothing", "The strategy 'own_rules:nothing' returned None; it should return an answer, a text or 2 probabilities"),
        ("three", r"The strategy 'own_rules:three' returned \(1, 2, 3\); it should return an answer"),
        ("zeros", r"The strategy 'own_rules:zeros' returned \[0.0, 0.0\]; it should return an answer"),
        ("negative", r"The strategy 'own_rules:negative' returned \(-1, 2\); it should return an answer"),
        ("halves", r"The strategy 'own_rules:halves' returned \(0.25, 0.25\); .* 2 probabilities that sum to 1, of <A>, <B>"),
        ("rule", "'own_rules:rule' does not name a strategy: rule is no class or function, but int"),
        ("absent", "'own_rules:absent' does not name a strategy that can be imported: AttributeError"),
    ],
)
def test_a_strategy_that_is_wrong(rules: str, name: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["play", "ipd", "--seats", f"{rules}:{name},tit_for_tat"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    with pytest.raises(UserError, match=f"^{sentence}"):
        detente.play("ipd", [f"{rules}:{name}", "tit_for_tat"])


@pytest.mark.parametrize(
    "text", ["seats: [main, 'own_rules:fails']", "opponents: {scripts: ['own_rules:x']}", "evaluation: {against: ['own_rules:x']}"]
)
def test_no_file_brings_a_strategy_untold(text: str, rules: str, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(f"game: ipd\n{text}\n")
    with pytest.raises(UserError, match=r"one.yaml names the strategy 'own_rules:\w+', which would run .*own_rules.py\).*--trust"):
        config.load("one.yaml")
    assert config.load("one.yaml", trust=True)
    assert rules not in sys.modules


def test_no_page_runs_one(rules: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names code, which no page runs"):
        opponent_name(tmp_path, "own_rules:defector")
    assert rules not in sys.modules


def test_names_that_are_no_code() -> None:
    seats = ["main", "axelrod:Alternator"]
    assert config.build({"game": "ipd", "seats": seats}).seats == tuple(seats)
    with pytest.raises(UserError, match="There is no strategy 'my-rules:x'"):
        detente.play("ipd", ["my-rules:x", "tit_for_tat"])
