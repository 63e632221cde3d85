"""Measures that somebody wrote: everywhere where those of the package are, and one sentence where they are wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

import detente
from detente import config
from detente.errors import UserError
from detente.export import export
from detente.family_file import FILE
from detente.games import configured, make
from detente.games.family import family_of, measured, measures
from detente.games.own_measures import TAKEN
from detente.progress import Progress
from detente.reports import report

MEASURES = '''
from detente.games import Measure

def gap(game, sides):
    """How far apart the points of the players are, per round."""
    return sum(abs(e.mean_reward(0) - e.mean_reward(1)) for e, _ in sides) / len(sides)

def by_seat(game, sides):
    points = {name: [e.mean_reward(s) for e, s in sides if s == seat] for seat, name in enumerate(("first", "second"))}
    return {name: sum(each) / len(each) if each else None for name, each in points.items()}

TABLE = Measure("points_by_seat", "points per round on each seat", table={"first": "on 1", "second": ""}, function=by_seat)
NAMED = Measure("reward", "taken", function=gap)
SLASH = Measure("a", "", table={"a/b": ""}, function=gap)
cooperation_rate = gap
EMPTY = Measure("without", "a function")

def fails(game, sides): raise KeyError("x")
def words(game, sides): return "many"
def broken(game, sides): return float("nan")
HALF = Measure("half", "", table={"first": "", "third": ""}, function=by_seat)
number = 3
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_measure.py").write_text(MEASURES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_measure", raising=False)
    return "own_measure"


def test_they_stand_beside_those_of_the_family(module: str) -> None:
    game = configured({"name": "ipd", "rounds": 2}, [f"{module}:gap", f"{module}:TABLE"])
    assert game == make("ipd", rounds=2)
    (episode,) = detente.play("ipd", ["always_cooperate", "always_defect"], overrides=["game.rounds=2"])
    found = measures(game, [(episode, 0)])
    assert (found["gap"], found["points_by_seat/first"], found["points_by_seat/second"]) == (5, 0, None)
    assert found["cooperation_rate"] == 1
    assert measured(game, [])[1]["points_by_seat"] == {"first": None, "second": None}
    assert "gap" not in measures(make("ipd", rounds=2), [(episode, 0)])
    first, second = family_of(game).measures[-2:]
    assert (first.meaning, first.head) == ("How far apart the points of the players are, per round.", "gap")
    assert second.name == "points_by_seat"


def test_they_reach_everything_that_is_written(module: str, tiny_model: str, tmp_path: Path) -> None:
    options = (
        f"measures=[{module}:gap,{module}:TABLE] game.rounds=2 model={tiny_model} device=cpu iterations=1 episodes=2 group_size=2 "
        "lora.rank=2 evaluation.episodes=2 evaluation.against=[random] evaluation.every=1"
    )
    screen = Console(width=200, record=True, quiet=False, file=(tmp_path / "said").open("w"))
    run = detente.train(config.load("ipd", options.split()), tmp_path / "run", watchers=[Progress(screen)])
    row = json.loads((run / "metrics.jsonl").read_text())
    expected = {"gap/main", "self_play/gap/main", "points_by_seat/main/first", "eval/main/self_play/gap", "eval/main/vs/random/gap"}
    assert expected <= row.keys()
    ours = {key.partition("/")[0] for key in row} - {"gap", "points_by_seat", "cooperation_rate", "cooperate_given"}
    assert ours <= {*TAKEN}  # no measure can be called like another metric
    learner = json.loads((run / "summary.json").read_text())["learners"]["main"]
    assert learner["self_play"]["gap"] >= 0
    assert {*learner["points_by_seat"]} == {"first", "second"}
    assert " gap " in (tmp_path / "said").read_text()
    sys.modules.pop(module)
    assert "Gap in self-play" in report([run]).read_text()
    export([run])
    assert "self_play/gap/main" in pq.read_table(run / "export" / "metrics.parquet")["metric"].to_pylist()
    gaps = pq.read_table(run / "export" / "episodes.parquet")["gap"].to_pylist()
    assert sum(gaps) / len(gaps) == row["gap/main"]
    assert module not in sys.modules
    assert [measure["name"] for measure in json.loads((run / FILE).read_text())["measures"]][-2:] == ["gap", "points_by_seat"]


def test_what_is_saved_of_play_is_exported_with_them(module: str, tmp_path: Path) -> None:
    (episode,) = detente.play(
        "example_games:Trust",
        ["kind", "mean"],
        overrides=["game.rounds=2", f"measures=[{module}:gap,{module}:TABLE]"],
        save=tmp_path / "played.jsonl",
    )
    assert episode.measures == ({"kindness": 1, "gap": 6}, {"kindness": 0, "gap": 6})  # what is sent grows to 6, and is taken
    export([tmp_path / "played.jsonl"])
    table = pq.read_table(tmp_path / "episodes.parquet")
    assert table.column_names[-2:] == ["kindness", "gap"]  # after those of the package
    assert table["gap"].to_pylist() == [6.0, 6.0]
    assert table.schema.field("gap").metadata[b"description"] == b"How far apart the points of the players are, per round."


def test_a_measure_of_several_sides_leaves_an_episode_without_it(module: str) -> None:
    (episode,) = detente.play("ipd", ["random", "random"], overrides=["game.rounds=1", f"measures=[{module}:fails]"])
    assert episode.measures == ({"fails": None}, {"fails": None})


def test_games_of_the_package_leave_them_to_the_reader() -> None:
    (episode,) = detente.play("ipd", ["tit_for_tat", "random"], overrides=["game.rounds=1"])
    assert episode.measures == ()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("number", "'own_measure:number' does not name a measure: it is no function and no Measure with a function, but 3"),
        ("EMPTY", "'own_measure:EMPTY' does not name a measure: it is no function and no Measure with a function"),
        ("absent", "'own_measure:absent' does not name a measure that can be imported"),
        ("NAMED", "There is a number 'reward' already"),
        ("cooperation_rate", "There is a number 'cooperation_rate' already"),
        ("SLASH", "A condition of the measure 'own_measure:SLASH' is a few words without a slash, not 'a/b'"),
        ("fails", "The measure 'own_measure:fails' raised KeyError 'x'; --debug"),
        ("words", "The measure 'words' returned 'many'; it should be a finite number"),
        ("broken", "The measure 'broken' returned nan; it should be a finite number"),
        ("HALF", "The measure 'half' returned .*; it should be such a number for each of first, third"),
    ],
)
def test_a_measure_that_is_wrong(name: str, sentence: str, module: str) -> None:
    (episode,) = detente.play("ipd", ["random", "random"])
    with pytest.raises(UserError, match=f"^{sentence}"):
        measured(configured({"name": "ipd"}, [f"{module}:{name}"]), [(episode, 0)])


def test_a_measure_is_named_as_code_is(module: str) -> None:
    with pytest.raises(UserError, match=r"a measure of your own is module:attribute, such as my_measures:gini"):
        configured({"name": "ipd"}, ["gini"])
    with pytest.raises(UserError, match="There is a number 'gap' already"):
        configured({"name": "ipd"}, [f"{module}:gap", f"{module}:gap"])


def test_no_file_brings_a_measure_untold(module: str, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(f"game: ipd\nmeasures: ['{module}:gap']\n")
    with pytest.raises(UserError, match=r"one.yaml names the measure 'own_measure:gap', .*own_measure.py\).*--trust"):
        config.load(str(tmp_path / "one.yaml"))
    assert module not in sys.modules
