"""What the metrics of an iteration say of a learner against each scripted opponent."""

from __future__ import annotations

from dataclasses import replace

import pytest

import detente
from detente.games import make
from detente.learning.metrics import play_metrics
from detente.records import Episode, PolicyRef

MAIN = PolicyRef("adapter", "main", 2)


def met(own: str, script: str, seat: int = 0, rounds: int = 4) -> Episode:
    """An episode in which the learner on that seat did as ``own`` does, opposite to a script."""
    names = [own, script] if seat == 0 else [script, own]
    (episode,) = detente.play(make("ipd", rounds=rounds), names)
    policies = tuple(MAIN if place == seat else policy for place, policy in enumerate(episode.policies))
    return replace(episode, policies=policies, learners=tuple("main" if place == seat else None for place in (0, 1)))


def test_every_scripted_opponent_has_its_own_measures() -> None:
    episodes = [met("always_cooperate", "always_defect"), met("always_defect", "tit_for_tat"), met("tit_for_tat", "tit_for_tat", 1)]
    metrics = play_metrics(make("ipd", rounds=4), episodes, ["main"], {"main": MAIN})
    assert metrics["vs/always_defect/reward/main"] == 0
    assert metrics["vs/tit_for_tat/reward/main"] == pytest.approx(((5 + 1 + 1 + 1) / 4 + 3) / 2)
    assert metrics["vs/tit_for_tat/cooperation_rate/main"] == pytest.approx(0.5)
    assert metrics["reward/main"] == pytest.approx((0 + 2 + 3) / 3)
    assert not any(key.startswith(("vs/kept", "self_play")) for key in metrics)


def test_a_learner_is_told_its_own_opponents_alone() -> None:
    policies = (PolicyRef("adapter", "other"), PolicyRef("script", "extort"))
    alone = replace(met("random", "extort"), learners=("other", None), policies=policies)
    metrics = play_metrics(make("ipd", rounds=4), [alone, met("random", "random")], ["main", "other"], {"main": MAIN})
    assert [key for key in metrics if key.endswith("reward/main")] == ["reward/main", "vs/random/reward/main"]
    assert "vs/extort/reward/other" in metrics
