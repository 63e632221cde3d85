"""The claim itself, on the pocket model: the same preset, the same seed, only the credit differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detente.config import load
from detente.learning.loop import train


def result(run: Path, *overrides: str) -> dict[str, Any]:
    options = ("threads=1", "evaluation.every=0", "evaluation.against=[always_defect,always_cooperate,tit_for_tat,random]")
    train(load("ipd", [*overrides, *options]), run)
    return json.loads((run / "summary.json").read_text())["learners"]["main"]


@pytest.mark.slow
def test_the_ordinary_learner_turns_to_mutual_defection(tmp_path: Path) -> None:
    found = result(tmp_path, "algorithm=reinforce", "iterations=40")
    assert found["self_play"]["reward"] <= 1.2
    assert found["against"]["always_cooperate"]["reward"] >= 4.5


@pytest.mark.slow
def test_advantage_alignment_becomes_a_reciprocator(tmp_path: Path) -> None:
    found = result(tmp_path, "algorithm=advantage_alignment")
    assert found["self_play"]["reward"] >= 2.8
    assert found["cooperate_given"]["CC"] >= 0.95
    assert found["cooperate_given"]["CD"] <= 0.2
    assert found["against"]["always_defect"]["reward"] >= 0.85
    assert found["against"]["always_defect"]["opponent_reward"] <= 1.5
    assert found["against"]["tit_for_tat"]["reward"] >= 2.9
