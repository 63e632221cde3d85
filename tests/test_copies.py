"""Learners that share a name."""

from __future__ import annotations

from typing import Any

from detente.config import Config, build
from detente.copies import all_learners, averaged, shared_names, with_shared_names
from detente.records import Episode, PolicyRef, Round


def config(**learners: Any) -> Config:
    return build({"game": {"name": "ipd"}, "seats": ["main", "rival"], "learners": {"rival": {}} | learners})


def test_one_alone_keeps_its_name() -> None:
    assert all_learners(config()) == ("main", "rival")
    metrics = {"loss/rival": 1.0, "loss/main": None}
    assert averaged(config(), metrics) == metrics
    episodes: list[Episode] = []
    assert with_shared_names(config(), episodes) is episodes


def test_copies_are_numbered_and_seen_under_their_name() -> None:
    options = config(rival={"copies": 2})
    assert shared_names(options) == {"main": "main", "rival_0": "rival", "rival_1": "rival"}
    metrics = {"loss/rival_0": 1.0, "loss/rival_1": 2.0, "loss/main": 5.0, "kl/rival_0": None, "kl/rival_1": 4.0}
    assert averaged(options, metrics) == {"loss/rival": 1.5, "loss/main": 5.0, "kl/rival": 4.0}
    episode = Episode({}, 0, (PolicyRef("adapter", "main"),) * 2, (Round((), (0, 0), {}),), (None, "rival_1"))
    assert with_shared_names(options, [episode])[0].learners == (None, "rival")
