"""The claim itself, on the pocket model: the same preset, the same seed, only the credit differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detente.config import load
from detente.learning.loop import train

DILEMMA = ("ipd", "evaluation.against=[always_defect,always_cooperate,tit_for_tat,random]")


def result(run: Path, preset: str, *overrides: str) -> dict[str, Any]:
    train(load(preset, [*overrides, "threads=1", "evaluation.every=0"]), run)
    return json.loads((run / "summary.json").read_text())["learners"]["main"]


@pytest.mark.slow
def test_the_ordinary_learner_turns_to_mutual_defection(tmp_path: Path) -> None:
    found = result(tmp_path, *DILEMMA, "algorithm=reinforce", "iterations=40")
    assert found["self_play"]["reward"] <= 1.2
    assert found["against"]["always_cooperate"]["reward"] >= 4.5


@pytest.mark.slow
def test_advantage_alignment_becomes_a_reciprocator(tmp_path: Path) -> None:
    found = result(tmp_path, *DILEMMA, "algorithm=advantage_alignment")
    assert found["self_play"]["reward"] >= 2.8
    assert found["cooperate_given"]["CC"] >= 0.95
    assert found["cooperate_given"]["CD"] <= 0.2
    assert found["against"]["always_defect"]["reward"] >= 0.85
    assert found["against"]["always_defect"]["opponent_reward"] <= 1.5
    assert found["against"]["tit_for_tat"]["reward"] >= 2.9


@pytest.mark.slow
def test_advantage_alignment_learns_to_answer_greed_in_trust_and_split(tmp_path: Path) -> None:
    """The first 30 of the preset's 80 iterations, on its own schedule of beta (a scripted reciprocator: 50, 27.0 and 32.4).

    Without the scripts among its opponents, beside which learning to share takes longer.
    """
    shorter = ("iterations=30", "credit.beta_final=4.5", "opponents.scripted=0", "evaluation.against=[greedy,welfare]", "seed=42")
    found = result(tmp_path, "trust_and_split", *shorter)
    assert found["self_play"]["efficiency"] >= 0.85
    assert found["self_play"]["truthfulness"] >= 0.9
    assert found["against"]["greedy"]["reward"] >= 25
    assert found["against"]["greedy"]["opponent_reward"] <= 36  # pocket before training: 47
    assert found["against"]["welfare"]["reward"] >= 45
    assert found["reciprocity"]["greedy"]["ask_lower"] >= found["reciprocity"]["fair"]["ask_lower"] + 4
