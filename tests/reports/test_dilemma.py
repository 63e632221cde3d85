from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from detente.games.matrix import ipd, matching_pennies
from detente.games.matrix.reading import anchors, pairing, reading, responses, thresholds, verdicts
from detente.games.reading import Result, verdict
from detente.matches import play_scripts

RECIPROCATOR = Result(
    learner="main",
    algorithm="advantage_alignment",
    final=True,
    self_play={"reward": 2.99},
    against={"always_defect": {"reward": 0.9, "opponent_reward": 1.4}},
    given={"cooperate_given/CC": 0.99, "cooperate_given/CD": 0.05},
    invalid=0.0,
)


def test_anchors_of_the_prisoners_dilemma() -> None:
    """As docs/games.md has them; tit-for-tat loses the first of ten rounds to a defector: (0 + 9 x 1) / 10 and (5 + 9 x 1) / 10."""
    known = anchors(play_scripts, ipd())
    assert (known.cooperation, known.defection, known.exploited) == (3, 1, 0)
    assert (known.reciprocity["reward"], known.reciprocity["opponent_reward"]) == pytest.approx((0.9, 1.4))
    assert pairing(play_scripts, ipd(), "tit_for_tat", "always_cooperate")["reward"] == 3
    assert pairing(play_scripts, ipd(), "tit_for_tat", "always_defect")["cooperation_rate"] == pytest.approx(0.1)


def test_anchors_follow_the_game() -> None:
    known = anchors(play_scripts, ipd(payoffs=[[[4, 4], [-1, 8]], [[8, -1], [2, 2]]], rounds=4))
    assert (known.cooperation, known.defection, known.exploited) == (4, 2, -1)
    assert (known.reciprocity["reward"], known.reciprocity["opponent_reward"]) == pytest.approx(((-1 + 3 * 2) / 4, (8 + 3 * 2) / 4))


def test_tit_for_tat_repeats_the_other_players_move() -> None:
    assert responses(ipd(), "tit_for_tat") == {"start": 1, "CC": 1, "CD": 0, "DC": 1, "DD": 0}
    assert responses(ipd(counterbalance=True), "win_stay_lose_shift") == {"start": 1, "CC": 1, "CD": 0, "DC": 0, "DD": 1}


def test_only_games_with_a_cooperative_action_are_judged() -> None:
    assert reading(ipd(), play_scripts).meanings
    assert not reading(matching_pennies(), play_scripts).meanings


def test_thresholds_are_the_acceptance_numbers() -> None:
    limits = thresholds(anchors(play_scripts, ipd()))
    found = (limits.defection, limits.cooperation, limits.holds, limits.yields, limits.exploited)
    assert found == pytest.approx((1.2, 2.8, 0.85, 1.5, 0.5))


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("reciprocator", {}),
        ("mutual defection", {"self_play": {"reward": 1.19}}),
        ("mixed", {"self_play": {"reward": 1.21}}),
        ("mixed", {"self_play": {"reward": 2.79}}),
        ("reciprocator", {"self_play": {"reward": 2.81}}),
        ("mixed", {"given": {"cooperate_given/CC": 0.94, "cooperate_given/CD": 0.05}}),
        ("mixed", {"given": {"cooperate_given/CC": 0.99, "cooperate_given/CD": 0.21}}),
        ("mixed", {"against": {"always_defect": {"reward": 0.84, "opponent_reward": 1.4}}}),
        ("mixed", {"against": {"always_defect": {"reward": 0.9, "opponent_reward": 1.51}}}),
        ("exploitable cooperator", {"against": {"always_defect": {"reward": 0.49, "opponent_reward": 3.0}}}),
        ("", {"against": {}}),
        ("", {"self_play": {}}),
    ],
)
def test_verdicts_change_at_the_thresholds(word: str, change: dict[str, Any]) -> None:
    assert verdict(replace(RECIPROCATOR, **change), verdicts(thresholds(anchors(play_scripts, ipd())))) == word
    assert not word or reading(ipd(), play_scripts).meanings[word]
