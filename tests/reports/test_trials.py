"""The tables of a run in trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detente.family_file import Description
from detente.games import make
from detente.games.family import family_of
from detente.matches import play_scripts
from detente.records import Completion, Episode, PolicyRef, Round, Turn, write_episodes
from detente.reports.run import Run
from detente.reports.trials import length, tables

GAME = make("ipd", rounds=2)
SHAPED = {"learners": {"main": {"update_every": 2, "collect": "trial"}, "rival": {"lifetime": 2}}}


def episode(*joint: str) -> Episode:
    someone = PolicyRef("script", "x")
    rounds = [Round(tuple(Turn(p, "", m[p], True, Completion("", someone)) for p in (0, 1)), (0.0, 0.0), {}) for m in joint]
    return Episode(GAME.parameters(), 0, (someone, someone), tuple(rounds))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Five iterations: two trials of two episodes, and half of one."""
    metrics: list[dict[str, Any]] = [
        {"iteration": i, "reward/main": 1.0 * i, "reward/rival": 3.0, "cooperate_given/rival/CC": None if i == 2 else 0.25 * i}
        for i in range(1, 6)
    ]
    (tmp_path / "episodes").mkdir()
    for i, joint in enumerate((["CC", "CD"], ["DD", "DD"], ["CC", "CC"], ["DC", "DD"]), 1):
        write_episodes(tmp_path / "episodes" / f"{i:06d}.jsonl.gz", [episode(*joint)])
    family = family_of(GAME)
    known = Description(measures=family.measures, reading=family.reading(GAME, play_scripts))
    return Run(tmp_path, "x", SHAPED | {"game": GAME.parameters()}, tuple(metrics), None, known)


def test_points_moves_and_answers_episode_by_episode(run: Run) -> None:
    points, visits, rival = tables(run)
    assert points.periods == ("first trial", "last trial")
    assert (points.parts, visits.parts) == (2, 2)
    assert points.rows == {"main": (1.0, 2.0, 3.0, 4.0), "rival": (3.0, 3.0, 3.0, 3.0)}
    assert visits.rows == {"C C": (0.5, 0, 1, 0), "C D": (0.5, 0, 0, 0), "D C": (0, 0, 0, 0.5), "D D": (0, 1, 0, 0.5)}
    assert rival.title == "x: what rival did after each last move"
    assert rival.rows == {"CC": (0.25, None, 0.75, 1.0)}


def test_without_recorded_episodes_there_are_no_joint_moves(run: Run) -> None:
    (run.path / "episodes" / "000003.jsonl.gz").unlink()
    assert [table.head for table in tables(run)] == ["learner", "last move"]


def test_a_run_without_a_whole_trial_has_no_tables(run: Run) -> None:
    assert tables(Run(run.path, "x", run.options, run.metrics[:1], None, run.known)) == ()
    assert tables(Run(run.path, "x", {"game": GAME.parameters()}, run.metrics, None, run.known)) == ()


@pytest.mark.parametrize(
    ("learners", "expected"),
    [
        ({}, None),
        (None, None),
        ({"main": {"update_every": 5, "collect": "all"}}, None),
        ({"main": {"update_every": 5, "collect": "trial"}}, 5),
        ({"main": {"update_every": 1}, "rival": {"lifetime": 4}}, 4),
        ({"rival": {"lifetime": "many"}}, None),
        ({"rival": None}, None),
    ],
)
def test_how_long_a_trial_is(learners: Any, expected: int | None) -> None:
    assert length({"learners": learners}) == expected
