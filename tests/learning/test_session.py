"""What a run opens, serves and scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from detente import adapters
from detente.errors import UserError
from detente.records import PolicyRef


def test_present_policies_by_seat(open_run: Callable[..., Any]) -> None:
    run = open_run(seats=["main", "tit_for_tat"])
    assert run.session.present == {"main": PolicyRef("adapter", "main", 0), "tit_for_tat": PolicyRef("script", "tit_for_tat")}
    assert run.session.frozen == {"tit_for_tat": PolicyRef("script", "tit_for_tat")}


def test_a_frozen_seat_may_be_the_base_model(open_run: Callable[..., Any], lively_model: str) -> None:
    run = open_run(seats=["main", f"model:{lively_model}"]).shake()
    (episode, *_) = run.play()
    assert [policy.kind for policy in episode.policies] == ["adapter", "base"]
    assert episode.learners == ("main", None)


def test_the_seed_decides_the_first_weights(open_run: Callable[..., Any]) -> None:
    one, same, other = (open_run(seed=seed).learners["main"].weights() for seed in (3, 3, 4))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_the_present_weights_are_served_and_nothing_older(open_run: Callable[..., Any], tmp_path: Path) -> None:
    run = open_run()
    run.session.publish()
    for version in range(1, 5):
        run.shake(seed=version)
        run.learners["main"].version = version
        run.session.publish()
        run.session.serve_kept(tmp_path, [])
        (served,) = run.engine.policies
        assert served == PolicyRef("adapter", "main", version)
        ours = run.learners["main"].weights()
        assert all(torch.equal(w, ours[key]) for key, w in run.engine.adapters.weights(served).items())
    assert len([name for name in run.model.peft_config if name.startswith("served")]) == 2  # which the versions share


def test_kept_versions_are_loaded_once(open_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run()
    loads, load = [], adapters.load
    monkeypatch.setattr(adapters, "load", lambda folder, base: loads.append(folder.name) or load(folder, base))
    for version in (3, 4):
        folder = adapters.version_folder(tmp_path, "main", version)
        adapters.save(folder, run.learners["main"].weights(), run.model.peft_config["main"], run.base)
    wanted = [PolicyRef("adapter", "main", 3), PolicyRef("script", "tit_for_tat"), PolicyRef("adapter", "main", 4)]
    run.session.publish()
    run.session.serve_kept(tmp_path, [*wanted, run.learners["main"].policy])
    run.session.serve_kept(tmp_path, wanted)
    assert loads == ["000003", "000004"]
    assert set(run.engine.policies) == {wanted[0], wanted[2], run.learners["main"].policy}
    run.learners["main"].version = 5
    run.session.publish()
    run.session.serve_kept(tmp_path, [wanted[2]])
    assert set(run.engine.policies) == {wanted[2], run.learners["main"].policy}
    run.session.serve_kept(tmp_path, wanted)
    assert loads == ["000003", "000004", "000003"]


def test_a_version_that_just_was_the_present_one_is_not_read(open_run: Callable[..., Any], tmp_path: Path) -> None:
    """What is served is what was kept: there is no file here to read."""
    run = open_run().shake(seed=1)
    run.session.publish()
    before = {key: weight.clone() for key, weight in run.learners["main"].weights().items()}
    kept = run.learners["main"].policy
    run.shake(seed=2).learners["main"].version = 1
    run.session.publish()
    run.session.serve_kept(tmp_path, [kept, run.learners["main"].policy])
    assert all(torch.equal(weight, before[key]) for key, weight in run.engine.adapters.weights(kept).items())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seats": ["main"]}, "has 2 seats; 1 player was named: main"),
        ({"seats": ["tit_for_tat", "always_defect"]}, "No seat learns"),
        ({"seats": ["layers", "main"], "learners": {"layers": {}}}, "cannot be named 'layers'"),
        ({"seats": ["served0", "main"], "learners": {"served0": {}}}, "cannot be named 'served0'"),
        ({"evaluation": {"against": ["tit_for_tatt"]}}, "did you mean 'tit_for_tat'"),
        ({"opponents": {"scripted": 0.5, "scripts": ["grim"]}}, "grim"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(open_run: Callable[..., Any], options: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        open_run(**options)


def test_a_frozen_seat_may_be_on_another_base_model(open_run: Callable[..., Any], tiny_model: str, tmp_path: Path) -> None:
    run = open_run(seats=["main", f"model:{tiny_model}"])
    run.session.publish()
    (episode, *_) = run.play()
    other = episode.policies[1]
    assert run.session.policies.home(other).base.fingerprint != run.base.fingerprint
    assert all(turn.completion.tokens for turn in episode.turns(1))
    assert other not in run.session.sources(run.host, tmp_path, set(episode.policies))


def test_a_learner_that_would_never_be_updated_is_refused(open_run: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match=r"'main' would never be updated: with iterations=3, update_every=4"):
        open_run(iterations=3, learners={"main": {"update_every": 4}})
