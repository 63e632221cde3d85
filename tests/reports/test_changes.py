"""Learning rates that changed while a run was trained, on its page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from detente.errors import UserError
from detente.reports import report
from detente.reports.run import arms, read_runs


def test_the_page_says_from_which_iteration_on_a_rate_holds(small_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    changes = [
        {"iteration": 2, "option": "optimizer.lr", "before": 0.05, "after": 3e-06},
        {"iteration": 2, "option": "optimizer.lr_final", "before": None, "after": 0},
    ]
    (run / "changes.json").write_text(json.dumps(changes))
    page = report([run]).read_text(encoding="utf-8")
    assert "optimizer.lr 0.05 → 3e-06 from iteration 2" in page
    assert "optimizer.lr_final unset → 0 from iteration 2" in page
    assert "→" not in re.sub(r"(?s)<(style|script).*?</\1>", "", report([small_run], tmp_path / "plain.html").read_text())
    assert len(arms(read_runs([run, small_run]))) == 2


@pytest.mark.parametrize("content", ["{}", "[3]", '[{"iteration": 2, "option": "optimizer.lr", "before": "x", "after": 1}]'])
def test_damaged_changes_are_one_sentence(content: str, small_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    (run / "changes.json").write_text(content)
    with pytest.raises(UserError, match=r"changes.json cannot be read as the changes of a run's learning rates: .*\.$"):
        report([run])
