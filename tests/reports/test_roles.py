"""A run of a game whose seats differ: a row, a card and a curve for each role of each learner."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from detente import config
from detente.reports import contrast_table, report
from detente.reports.run import read_runs
from detente.reports.study import Study
from detente.web.runs import run as overview_of

ROLES = {"seat 1": (0.5, "main as seat 2"), "seat 2": (-0.5, "main as seat 1")}


def make(folder: Path, *, finished: bool) -> Path:
    """One learner that plays both roles of matching pennies, winning on the first seat."""
    folder.mkdir(parents=True)
    options = {"game": "matching_pennies", "iterations": 2, "evaluation": {"every": 2}}
    (folder / "config.yaml").write_text(config.to_yaml(config.build(options)), encoding="utf-8")
    rows = []
    for iteration in (1, 2):
        row: dict[str, Any] = {"iteration": iteration, "reward/main": 0.0, "self_play/reward/main": 0.0, "loss/main": 0.25}
        for role, (own, _) in ROLES.items():
            row |= {f"role/{role}/reward/main": own, f"role/{role}/self_play/reward/main": own, f"role/{role}/invalid/main": 0.0}
            row |= {f"role/{role}/eval/main/vs/random/{key}": sign * own for key, sign in (("reward", 1), ("opponent_reward", -1))}
        rows.append(row)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    scores = {
        role: {
            "self_play": {"reward": own},
            "partners": {partner: -own},
            "against": {"random": {"reward": own, "opponent_reward": -own}},
        }
        for role, (own, partner) in ROLES.items()
    }
    summary = {"learners": {"main": {"algorithm": "reinforce", "self_play": {"reward": 0.0}, "against": {}, "roles": scores}}}
    if finished:
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


@pytest.fixture(params=[True, False], ids=["finished", "going on"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make(tmp_path / "pennies", finished=request.param)


def test_every_role_is_measured_with_its_partners_own_points(folder: Path) -> None:
    (run,) = read_runs([folder])
    assert run.measured == (("main", "seat 1"), ("main", "seat 2"))
    for role, (own, partner) in ROLES.items():
        result = run.result("main", role)
        assert (result.self_play["reward"], result.partners) == (own, {partner: -own})
        assert result.against == {"random": {"reward": own, "opponent_reward": -own}}


def test_every_role_has_its_curve_and_row(folder: Path) -> None:
    study = Study(read_runs([folder]))
    assert [curve.label for curve in study.curves] == ["pennies · main as seat 1", "pennies · main as seat 2"]
    assert [series.values for curve in study.curves if (series := curve.series("self_play/reward/LEARNER"))] == [
        (0.5, 0.5),
        (-0.5, -0.5),
    ]
    assert [curve.line("loss/LEARNER") is not None for curve in study.curves] == [True, False]  # of the learner in all of its roles
    assert not any(key.startswith("role/") for key in study.keys)
    page = report([folder]).read_text(encoding="utf-8")
    assert len(re.findall(r'<article class="card', page)) == 2
    assert "main as seat 2 gets there" in page.replace("<wbr>", "")
    assert "has the colour of the first" in page
    drawn = Console(file=StringIO(), width=120)
    drawn.print(contrast_table([folder]))
    table = drawn.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"pennies main as seat 1 .* 0\.50 / -0\.50 ", table)
    assert re.search(r"pennies main as seat 2 .* -0\.50 / 0\.50 ", table)


def test_the_overview_of_the_pages_has_a_reward_for_each_role(folder: Path) -> None:
    assert overview_of(folder.parent, folder).rewards == (("main as seat 1", 0.5), ("main as seat 2", -0.5))


def test_roles_that_a_summary_lacks_are_the_learner_as_a_whole(tmp_path: Path) -> None:
    (run,) = read_runs([make(tmp_path / "pennies", finished=True)])
    assert run.result("main", "seat 3").self_play == {"reward": 0.0}
