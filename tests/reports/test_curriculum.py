"""What the page of a run says of its curriculum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detente.family_file import Description
from detente.games import make
from detente.records import Completion, Episode, PolicyRef, Round, Turn, write_episodes
from detente.reports.curriculum import panels, tables
from detente.reports.run import Run
from detente.reports.study import Study

VARY: dict[str, Any] = {
    "rounds": {"choices": [2, 3], "stages": None, "range": None},
    "noise": {"range": [0, 0.2]},
    "wording": {"stages": [1]},
}
METRICS: dict[str, Any] = {
    "reward/main": 2.0,
    "vary/rounds": 2.5,
    "curriculum/regret": 1.0,
    "curriculum/fresh": 0.5,
    "curriculum/share/kept": 1.0,
    "curriculum/regret/kept": 1.0,
    "curriculum/trained/rounds": 2.0,
}


def episode(group: int, rounds: int, opposite: PolicyRef, trains: bool = True, **parameters: Any) -> Episode:
    game = make("ipd", rounds=rounds, **parameters)
    main = PolicyRef("adapter", "main", 3)
    turns = tuple(Turn(player, "", "C", True, Completion("", main)) for player in (0, 1))
    learners = ("main" if trains else None, None)
    played = (Round(turns, (1.0, 1.0), {}),) * rounds
    return Episode(game.parameters(), 0, (main, opposite), played, learners, 1, group, 2 * group)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    script, kept, now = PolicyRef("script", "random"), PolicyRef("adapter", "main", 1), PolicyRef("adapter", "main", 3)
    (tmp_path / "episodes").mkdir()
    first = [
        episode(0, 2, script, noise=0.06),
        episode(0, 2, script, noise=0.06),
        episode(1, 3, kept),
        episode(2, 3, kept, trains=False),
    ]
    write_episodes(tmp_path / "episodes" / "000001.jsonl.gz", first)
    write_episodes(tmp_path / "episodes" / "000002.jsonl.gz", [episode(0, 3, now), episode(1, 2, script, noise=0.05)])
    options = {"game": make("ipd").parameters(), "vary": VARY, "learners": {}}
    metrics = tuple({"iteration": number, **METRICS} for number in (1, 2))
    return Study((Run(tmp_path, "x", options, metrics, None, Description()),))


def test_what_was_trained_on_with_whom(study: Study) -> None:
    rounds, noise = tables(study)
    assert rounds.title == "x: share of the groups that were trained on, by co-player and rounds"
    assert rounds.columns == ("2", "3")
    assert rounds.rows == {"kept": (0, 0.25), "present": (0, 0.25), "random": (0.5, 0)}
    assert noise.columns == ("0 to 0.05", "0.05 to 0.1", "0.1 to 0.15", "0.15 to 0.2")
    assert noise.rows == {"kept": (0.25, 0, 0, 0), "present": (0.25, 0, 0, 0), "random": (0.25, 0.25, 0, 0)}


def test_curves_of_regret_shares_and_settings(study: Study) -> None:
    drawn = {panel.title: [line.series.values[0] for line in panel.lines] for panel in panels(study) if panel}
    assert drawn == {
        "regret, mean over groups": [1],
        "share of new settings": [0.5],
        "share: kept": [1],
        "regret: kept": [1],
        "rounds; dashed: trained on": [2.5, 2],
    }


@pytest.mark.parametrize(
    "vary", [None, 5, {}, {"rounds": None}, {"rounds": {"range": [1]}}, {"rounds": {"choices": [[*range(9)]] * 99}}]
)
def test_odd_options_make_no_table(study: Study, vary: Any) -> None:
    (run,) = study.runs
    assert tables(Study((Run(run.path, "x", {**run.options, "vary": vary}, run.metrics, None, run.known),))) == []
