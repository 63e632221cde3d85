"""The engine of vLLM servers with vLLM itself; ``make test-vllm`` runs these."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detente import adapters, matches, models
from detente.engines.base import Request, Sampling
from detente.errors import UserError
from detente.learning.metrics import largest_mismatch
from detente.learning.session import check_served
from detente.options import AnswerOptions, RemoteOptions
from detente.policies import Policies
from detente.records import PolicyRef, Seating

pytestmark = pytest.mark.vllm

BASE = PolicyRef("base", "the base model")
GAMES = {"ipd": {"name": "ipd", "rounds": 3}, "trust_and_split": {"name": "trust_and_split", "rounds": 2}}


def told(record: Callable[[str, object], None], **figures: float) -> None:
    """Figures for the closing line of a run."""
    for name, value in figures.items():
        record(name, value)
    print("  ".join(f"{name} {value:.2g}" for name, value in figures.items()))


@pytest.mark.parametrize("game", GAMES)
def test_mixed_versions_answer_as_the_learner_would(
    game: str,
    vllm: Callable[..., Any],
    pocket32: str,
    on_vllm: Callable[..., Any],
    open_run: Callable[..., Any],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    run = on_vllm([vllm("right", pocket32)], game=GAMES[game])
    learner = run.learners["main"]
    run.session.publish()
    older = learner.policy
    adapters.save(adapters.version_folder(tmp_path, "main", 0), learner.weights(), learner.lora, run.base)
    learner.version = 1
    run.shake(seed=2, size=0.02).session.publish()
    run.session.policies.homes[BASE] = run.host
    seatings = [[Seating((learner.policy, other), ("main", None))] * 2 for other in (learner.policy, older, BASE)]
    episodes = run.play(tables=seatings, publish=False)
    assert all(turn.valid for episode in episodes for turn in episode.turns())
    metrics = check_served(run.session, tmp_path, episodes, 0)
    here = open_run(model=pocket32, lora={"rank": 8, "alpha": 16}).shake(size=0.02).shake(seed=2, size=0.02)
    here.learners["main"].version = 1
    here.session.publish()
    gap = 0.0
    for episode in episodes[:2]:
        chat: tuple[int, ...] = ()
        for turn in episode.turns(0):
            said = turn.completion
            chat += said.prompt_tokens
            if said.probabilities:
                request = Request("c", chat, said.policy, said.seed, Sampling(), said.pattern, ("<A>", "<B>"))
                ours = asyncio.run(here.engine.generate(request)).probabilities
                gap = max(gap, *(abs(a - b) for a, b in zip(ours, said.probabilities, strict=True)))
            chat += said.tokens
    metrics |= largest_mismatch(learner.update(run.trajectories(episodes), 0.0), run.learners)
    told(
        record_property,
        mismatch_mean=metrics["mismatch/mean_abs"],
        mismatch_max=metrics["mismatch/max_abs"],
        audit=metrics["audit/gap"],
        other=metrics["audit/other_gap"],
        choice=gap,
    )
    assert metrics["mismatch/mean_abs"] < 2e-5
    assert metrics["mismatch/max_abs"] < 1e-4
    assert metrics["audit/other_gap"] > 10 * metrics["audit/gap"]
    assert gap < 5e-5


def test_weights_that_are_swapped_behind_a_name_stop_play(
    vllm: Callable[..., Any], pocket32: str, on_vllm: Callable[..., Any], random_adapter: Callable[..., Any], tmp_path: Path
) -> None:
    run = on_vllm([vllm("right", pocket32)])
    write = run.engine._published._write
    weights, lora = random_adapter(run.base.model, 7, rank=8)
    run.engine._published._write = lambda folder, _weights, _config: write(folder, weights, lora)
    run.session.publish()
    with pytest.raises(UserError, match="do not fit it"):
        check_served(run.session, tmp_path, run.play(), 0)


def test_a_remote_model_that_does_not_know_the_form_is_held_to_it(vllm: Callable[..., Any]) -> None:
    folder = str(models.folder("smollm2-135m"))
    url = vllm("smollm2", folder).ready().url
    valid = {}
    for form in ("none", "auto"):
        answer = AnswerOptions(remote_format=form, max_tokens=16, retries=1)
        policies = Policies(matches_game(), answer, remote=RemoteOptions(timeout=600))
        policy = policies.resolve(f"openai:{folder}@{url}/v1")
        episodes = matches.play_sync(policies, policies.game, matches.in_turn([policy, policy], 1), stream=matches.Counted(0))
        turns = [turn for episode in episodes for turn in episode.turns()]
        valid[form] = (sum(turn.valid for turn in turns), len(turns))
    print(f"valid answers without and with the form: {valid}")
    assert valid["auto"] == (8, 8)
    assert valid["none"][0] < 8


def matches_game() -> Any:
    from detente import games

    return games.make("ipd", rounds=4)


@pytest.mark.parametrize(
    ("name", "flags", "said"),
    [
        ("backend", {"structured_outputs_config": '{"backend":"auto"}'}, "another backend, whose masks are not those of training"),
        ("raw", {"logprobs_mode": "raw_logprobs"}, "tells raw log-probabilities"),
    ],
)
def test_a_server_with_the_defaults_of_vllm_is_refused(
    name: str, flags: dict[str, str], said: str, vllm: Callable[..., Any], pocket32: str, on_vllm: Callable[..., Any]
) -> None:
    server = vllm(name, pocket32, **flags)
    with pytest.raises(UserError, match=said):
        on_vllm([server])
    server.stop()


def test_a_server_that_is_killed_loses_nothing(vllm: Callable[..., Any], pocket32: str, on_vllm: Callable[..., Any]) -> None:
    """The last test: one server less is left."""
    right, doomed = vllm("right", pocket32), vllm("doomed", pocket32)
    run = on_vllm([right, doomed], episodes=8, group_size=8)
    run.session.publish()
    served = right.log.read_text().count("POST /v1/completions"), doomed.log.read_text().count("POST /v1/completions")

    def kill() -> None:
        while doomed.log.read_text().count("POST /v1/completions") < served[1] + 2:
            time.sleep(0.05)
        doomed.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    episodes = run.play()
    killer.join(60)
    assert doomed.process.poll() is not None
    assert len(episodes) == 8
    assert all(len(episode.rounds) == 3 for episode in episodes)
    seeds = [turn.completion.seed for episode in episodes for turn in episode.turns()]
    assert len(set(seeds)) == len(seeds) == 48
