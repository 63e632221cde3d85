"""What the overview knows of a run: every learner, with its points in the latest iteration in which it played."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detente import config, stored, web
from detente.web.runs import overview, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of two learners; ``bob`` played in the first iteration only."""
    options = config.build(
        {"game": "ipd", "seats": ["alice", "bob"], "learners": {"alice": {}, "bob": {"algorithm": "sum_of_rewards"}}}
    )
    made = tmp_path / "pair"
    made.mkdir()
    (made / "config.yaml").write_text(config.to_yaml(options))
    rows = [{"iteration": 1, "reward/alice": 1.0, "reward/bob": 2.0}, {"iteration": 2, "reward/alice": 3.0}]
    (made / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


def test_a_learner_without_an_episode_in_the_last_iteration_is_shown(folder: Path) -> None:
    seen = run(folder.parent, folder)
    assert (seen.done, seen.rewards) == (2, (("alice", 3.0), ("bob", 2.0)))
    assert seen.algorithm == "alice: reinforce, bob: sum_of_rewards"


def test_learners_of_a_run_that_has_just_begun_are_named(folder: Path) -> None:
    (folder / "metrics.jsonl").unlink()
    assert run(folder.parent, folder).rewards == (("alice", None), ("bob", None))
    page = web.build(folder.parent).state.environment.get_template("overview_rows.html")
    assert '<span class="muted">bob</span> –' in page.render(overview=overview(folder.parent), root="runs")


def test_only_the_end_of_long_metrics_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "TAIL", 60)  # the last line, and a part of the one before
    assert run(folder.parent, folder).rewards == (("alice", 3.0), ("bob", None))
