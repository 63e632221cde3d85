"""A rollout beside each update: it is played with the weights from before, audited under them, and told to the next update."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from detente import config
from detente.engines.transformers import TransformersEngine
from detente.errors import UserError
from detente.learning import checkpoint, loop
from detente.learning.learner import Learner
from detente.learning.watchers import Watcher
from detente.records import Episode, read_episodes

OPTIONS = (
    "device=cpu overlap=1 game.rounds=3 iterations=4 episodes=8 group_size=4 lora.rank=4 optimizer.lr=0.01 opponents.kept=0.5 "
    "opponents.keep_every=1 evaluation.episodes=0 algorithm=advantage_alignment record.audit_turns=64 record.episodes_every=1"
)


def started(model: str, folder: Path, *more: str) -> Path:
    return loop.train(config.load("ipd", [f"model={model}", *OPTIONS.split(), *more]), folder)


def played(run: Path) -> list[list[Episode]]:
    return [list(read_episodes(file)) for file in sorted((run / "episodes").iterdir()) if file.name.endswith(".gz")]


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_rollout_plays_with_weights_that_are_one_update_old(tiny_model: str, tmp_path: Path) -> None:
    run = started(tiny_model, tmp_path / "run")
    newest = [max(policy.version for episode in episodes for policy in episode.policies) for episodes in played(run)]
    assert newest == [0, 0, 1, 2]
    lines = metrics(run)
    assert [line["ratio/main"] == pytest.approx(1, abs=1e-6) for line in lines] == [True, False, False, False]
    assert all(line["audit/gap"] < 1e-5 for line in lines)
    assert lines[1]["mismatch/max_abs"] > 1e-3  # the importance ratio has something to correct
    assert not list((run / "checkpoint").glob("*/ahead.jsonl.gz"))  # nothing is played after the last update


def test_the_rollout_runs_while_the_update_does(tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both, once = threading.Barrier(2, timeout=60), {"update": 0, "play": 0}

    def meet(what: str) -> None:
        once[what] += 1
        if once[what] == 1:
            both.wait()  # neither goes on before the other has begun

    update, step = Learner.update, TransformersEngine._deliver
    monkeypatch.setattr(Learner, "update", lambda *given: (meet("update"), update(*given))[1])

    def delivering(*given: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            meet("play")
        return step(*given)

    monkeypatch.setattr(TransformersEngine, "_deliver", delivering)
    started(tiny_model, tmp_path / "run", "iterations=2")
    assert once["update"] == 2
    assert once["play"] > 1


def test_wrong_weights_are_found_out_beside_an_update_too(tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve = TransformersEngine.serve

    def noisy(self: TransformersEngine, policy: Any, weights: Any, shape: Any) -> None:
        change = 0.5 if policy.version == 1 else 0.0
        serve(self, policy, {key: tensor + change * torch.ones_like(tensor) for key, tensor in weights.items()}, shape)

    monkeypatch.setattr(TransformersEngine, "serve", noisy)
    with pytest.raises(UserError, match=r"main@1 do not fit it .* the engine served the wrong weights"):
        started(tiny_model, tmp_path / "run")


@pytest.mark.parametrize("failing", ["rollout", "update"])
def test_what_fails_beside_the_other_ends_the_run(
    failing: str, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if failing == "update":
        monkeypatch.setattr(Learner, "update", lambda *given: (_ for _ in ()).throw(UserError("The update failed.")))
    else:
        generate = TransformersEngine.generate

        async def broken(self: TransformersEngine, request: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                raise UserError("The rollout failed.")
            return await generate(self, request)

        monkeypatch.setattr(TransformersEngine, "generate", broken)
    with pytest.raises(UserError, match=f"The {failing} failed"):
        started(tiny_model, tmp_path / "run")
    assert not [thread for thread in threading.enumerate() if thread.name == "detente" and thread.is_alive()]


def test_a_checkpoint_holds_the_rollout_that_is_played_already(tiny_model: str, tmp_path: Path) -> None:
    class Stop(Watcher):
        def should_stop(self, metrics: dict[str, Any]) -> bool:
            return bool(metrics["iteration"] == 2)

    options = config.load("ipd", [f"model={tiny_model}", *OPTIONS.split()])
    loop.train(options, tmp_path / "run", watchers=[Stop()])
    saved = checkpoint.read_newest(tmp_path / "run" / "checkpoint")
    assert saved is not None
    assert saved.state.ahead is not None
    assert {episode.iteration for episode in saved.state.ahead.episodes} == {3}
    assert saved.state.ahead.audit["audit/gap"] < 1e-5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["learners.main.lifetime=2", "opponents.kept=0"], "lifetime"),
        (["learners.main.briefing=counts", "learners.main.update_every=2", "opponents.kept=0"], "briefing"),
    ],
)
def test_what_the_next_rollout_would_need_first_is_refused(
    changes: list[str], reason: str, tiny_model: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"overlap=1 .*{reason}"):
        started(tiny_model, tmp_path / "run", *changes)
