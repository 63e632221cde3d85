"""Numbers that are not finite stop a run, by one sentence and before anything is written about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from detente import config
from detente.errors import UserError
from detente.learning import checkpoint, loop
from detente.learning.health import NotFiniteError, failure

QUICK = (
    "device=cpu game.rounds=2 iterations=3 episodes=4 group_size=4 lora.rank=2 opponents.kept=0 "
    "evaluation.episodes=1 evaluation.against=[tit_for_tat]"
)


@pytest.fixture
def start(tiny_model: str, tmp_path: Path) -> Any:
    """``start("optimizer.lr=1e20")`` trains in the folder ``tmp_path / "run"``."""

    def train(*overrides: Any) -> Any:
        return loop.train(config.load("ipd", [f"model={tiny_model}", *QUICK.split(), *overrides]), tmp_path / "run")

    return train


EXPLOSIONS = {
    "optimizer.lr=1e10": "optimizer.lr=1e+10",
    "optimizer.lr=1e30": "optimizer.lr=1e+30",
    "optimizer.lr_final=1e30": "optimizer.lr_final=1e+30",
    "lora.alpha=1e18": "lora.alpha=1e+18",
    "credit.beta=1e300": "credit.beta=1e+300",
    "credit.beta_final=-1e300": "credit.beta_final=-1e+300",
    "credit.reward_divisor=1e-300": "credit.reward_divisor=1e-300",
    "credit.first_round_bonus=1e200": "credit.first_round_bonus=1e+200",
    "loss.kl=1e300": "loss.kl=1e+300",
    "loss.entropy=1e300": "loss.entropy=1e+300",
    "loss.entropy_final=1e300": "loss.entropy_final=1e+300",
}


@pytest.mark.parametrize("option", EXPLOSIONS)
def test_a_run_that_explodes_stops_and_stays_healthy(option: Any, start: Any, tmp_path: Path) -> None:
    run, sentences = tmp_path / "run", []
    for _ in range(2):  # the same command again says the same
        with pytest.raises(UserError, match="not finite") as caught:
            start(option)
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1]
    assert "\n" not in sentences[0]
    assert all(part in sentences[0] for part in ("'main'", EXPLOSIONS[option], str(run), "--run another folder"))
    saved = checkpoint.newest(run / "checkpoint")
    assert f"in iteration {saved + 1}" in sentences[0]
    assert ("holds no iteration yet" if saved == 0 else f"healthy up to iteration {saved}") in sentences[0]
    state = checkpoint.read_newest(run / "checkpoint")
    assert state is None or state.state.iteration == saved
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == list(range(1, saved + 1))
    assert not (run / "summary.json").exists()


@pytest.mark.parametrize("option", ["loss.critic=1e300", "optimizer.lr=1e20"])
def test_a_critic_that_explodes_stops_too(option: str, start: Any) -> None:
    with pytest.raises(UserError, match="'main' (is|are) not finite.*" + option.partition("=")[0]):
        start("credit.baseline=critic", option)


def test_scores_that_are_lost_in_the_last_iteration_are_not_evaluated(start: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"iteration 1: the scores of 'main' are not finite.*optimizer\.lr=1e\+20"):
        start("iterations=1", "optimizer.lr=1e20")
    assert {p.name for p in (tmp_path / "run").iterdir()} == {".lock", "config.yaml", "family.json", "metrics.jsonl"}


def test_with_rare_checkpoints_the_sentence_names_the_one_there_is(
    start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    update = loop.update

    def poisoned(session: Any, state: Any, episodes: Any) -> Any:
        if state.iteration == 3:
            raise NotFiniteError("the loss of 'main' is not finite")
        return update(session, state, episodes)

    monkeypatch.setattr(loop, "update", poisoned)
    with pytest.raises(UserError, match=r"in iteration 4: .*healthy up to iteration 2 but"):
        start("iterations=5", "record.checkpoint_every=2")
    monkeypatch.undo()
    start("iterations=5", "record.checkpoint_every=2")
    assert (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize(
    "option", ["optimizer.lr=1e38", "optimizer.lr_final=1e300", "loss.importance_cap=1e300", "optimizer.max_grad_norm=1e19"]
)
def test_what_float32_cannot_multiply_is_no_option(option: str) -> None:
    with pytest.raises(UserError, match=f"option {option.partition('=')[0]} is wrong"):
        config.load("ipd", [option])


# ---- the checks of an update, one by one


def spoiled(tensor: Any) -> None:
    with torch.no_grad():
        tensor.view(-1)[-1] = float("nan")


@pytest.mark.parametrize("what", ["credit", "loss", "gradient", "optimizer", "critic"])
def test_an_update_stops_at_what_is_not_finite(what: str, open_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(credit={"baseline": "critic"}).shake()
    learner, found = run.learners["main"], run.trajectories(run.play())
    learner.update(found, 0.0)
    before = [p.detach().clone() for p in learner.parameters]
    if what == "credit":
        found[0].rewards[-1, found[0].seat] = float("nan")
    elif what == "loss":
        found[0].logprobs[:] = float("nan")
    elif what == "gradient":
        accumulate = learner._accumulate
        monkeypatch.setattr(learner, "_accumulate", lambda *a: [accumulate(*a), spoiled(learner.parameters[0].grad)][0])
    elif what == "critic":
        spoiled(learner.critic.head.weight)
    else:
        spoiled(learner.optimizer.state[learner.critic.parameters[-1]]["exp_avg_sq"])
    expected = {"optimizer": "weights", "critic": "credit"}.get(what, what)
    with pytest.raises(NotFiniteError, match=f"the {expected} of 'main'"):
        learner.update(found, 0.0)
    assert learner.version == 1
    same = [torch.equal(p, old) for p, old in zip(learner.parameters, before, strict=True)]
    assert all(same) == (what != "optimizer")  # which is checked after the step


def test_the_sentence_names_what_is_most_unusual() -> None:
    options = {"optimizer": {"lr": 1e-3, "lr_final": None}, "loss": {"kl": 1e9}, "credit": {"beta": 2.0, "reward_divisor": 1e-6}}
    said = str(failure("loss", "main", options))
    assert said.endswith("because of loss.kl=1e+09 or credit.reward_divisor=1e-06 or optimizer.lr=0.001")
