"""Several processes compute what one does, and one that ends is one sentence."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detente import config
from detente.engine_options import EngineOptions
from detente.engines import grammar_of
from detente.errors import UserError
from detente.learning import checkpoint, loop, parallel
from detente.learning.batch import Trajectory, trajectories
from detente.learning.loading import load_learners
from detente.learning.watchers import Watcher
from detente.learning.work import LARGEST, Part, Work, summed
from detente.players.chat import ChatFormat
from detente.records import read_episodes
from tests.fake_vllm import FakeVLLM, listening

QUICK = (
    "device=cpu threads=1 game.rounds=3 episodes=8 group_size=4 lora.rank=2 opponents.kept=0 optimizer.lr=1e-3 "
    "algorithm=advantage_alignment evaluation.episodes=0 iterations=2"
)


def train(run: Path, *overrides: str, preset: str = "ipd", watchers: Any = ()) -> Path:
    return loop.train(config.load(preset, [*QUICK.split(), *overrides]), run, watchers=watchers)


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read_newest(run / "checkpoint").tensors["main"]


def assert_same(run: Path, other: Path) -> None:
    """The same gradients and weights, up to the order of sums."""
    for ours, theirs in zip(metrics(run), metrics(other), strict=True):
        assert ours["grad_norm/main"] == pytest.approx(theirs["grad_norm/main"], abs=1e-6)
        assert {k: v for k, v in ours.items() if k.startswith("tokens/")} == {
            k: v for k, v in theirs.items() if k.startswith("tokens/")
        }
        for key in ("loss/main", "entropy/main", "ratio/main", "credit/main/std"):
            assert ours[key] == pytest.approx(theirs[key], abs=1e-5)
        assert ours.get("observation_loss/main", 0.0) == pytest.approx(theirs.get("observation_loss/main", 0.0), abs=1e-5)
    assert weights(run).keys() == weights(other).keys()
    for key, tensor in weights(run).items():
        torch.testing.assert_close(tensor, weights(other)[key], rtol=0, atol=1e-5)


MORE = ("credit.baseline=critic", "loss.kl=0.01", "loss.observation=0.1", "optimizer.steps=2")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("alone") / "run", *MORE)


def children() -> set[int]:
    """The processes that this one has started."""
    return {int(pid) for pid in subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True).stdout.split()}


class KillsHelper(Watcher):
    """Ends the helper in the second iteration, and no other child of this process, which may be of another test."""

    def __init__(self) -> None:
        self.done, self.before = 0, children()

    def iteration(self, metrics: dict[str, Any]) -> None:
        self.done += 1

    def episode(self) -> None:
        if self.done:
            for child in children() - self.before:
                with suppress(ProcessLookupError):  # pgrep itself
                    os.kill(child, signal.SIGKILL)


def test_a_helper_that_is_killed_ends_the_run_with_a_sentence_and_one_process_goes_on(alone: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(UserError, match=r"helper process 1 was ended by SIGKILL in an update; all that was saved is whole"):
        train(run, *MORE, "processes=2", watchers=[KillsHelper()])
    assert [line["iteration"] for line in metrics(run)] == [1]
    train(run, *MORE)
    assert_same(alone, run)


def test_a_run_of_one_process_goes_on_with_three(alone: Path, tmp_path: Path) -> None:
    run = train(tmp_path / "run", *MORE, "iterations=1")
    train(run, *MORE, "processes=3")  # whose numbers of passes differ
    assert_same(alone, run)


def test_torchrun_runs_the_same_command_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = ["train", "ipd", *QUICK.split(), "iterations=1", "--run", str(tmp_path / "run")]
    helper = subprocess.Popen(
        [sys.executable, "-m", "detente.cli", *command],
        env={**os.environ, **shared, "RANK": "1", "LOCAL_RANK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for name, value in {**shared, "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="processes=3 does not fit torchrun, which started 2"):
        train(tmp_path / "other", "processes=3")
    train(tmp_path / "run", "iterations=1")
    said, _ = helper.communicate(timeout=120)
    assert (helper.returncode, said) == (0, "")
    assert len(metrics(tmp_path / "run")) == 1


def test_layers_that_are_spread_over_processes_compute_the_same(alone: Path) -> None:
    """Two updates on the first episodes of a run, in passes of few tokens: the numbers of passes differ."""
    options = config.load("ipd", [*QUICK.split(), *MORE, "optimizer.micro_batch_tokens=300", "processes=2"])
    episodes = list(read_episodes(alone / "episodes" / "000001.jsonl.gz"))[:7]

    def trained(helpers: parallel.Processes | None) -> tuple[list[float], list[torch.Tensor]]:
        (loaded,) = load_learners(options)
        learner = loaded.learners["main"]
        grammar = grammar_of(loaded.model, loaded.base.tokenizer, ChatFormat(loaded.base.tokenizer).end_tokens)
        chats = trajectories(episodes, "main", 1.0, grammar)
        if helpers is not None:
            learner.helpers = helpers
            helpers.spread(loaded.model, "main")
            weights = [type(p).__name__ for name, p in loaded.model.named_parameters() if "base_layer" in name]
            assert set(weights) == {"DTensor"}
        norms = [learner.update(chats, 0.0)["grad_norm/main"] for _ in range(2)]
        return norms, [parameter.detach() for parameter in learner.trained]

    norms, weights = trained(None)
    sharded = options.model_copy(update={"shard": True, "engine": EngineOptions(kind="vllm", urls=("http://127.0.0.1:1",))})
    with parallel.opened(sharded) as helpers:
        assert helpers
        spread_norms, spread_weights = trained(helpers)
    assert spread_norms == pytest.approx(norms, rel=1e-6)
    for ours, theirs in zip(weights, spread_weights, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_what_spreading_layers_needs_is_a_sentence() -> None:
    servers = "engine.urls=[http://127.0.0.1:1]"
    said = {("processes=2",): "use engine=vllm", ("engine=vllm", servers): "there is one: use processes=2 or more"}
    for given, sentence in said.items():
        with pytest.raises(UserError, match=sentence), parallel.opened(config.load("ipd", ["device=cpu", "shard=true", *given])):
            pass


# ---- parts


def chat(*tokens: int, drawn: int = 1) -> Trajectory:
    numbers = np.array(tokens)
    return Trajectory(0, 0, torch.zeros(1, 2), numbers, numbers[:drawn], numbers[:drawn], numbers * 0.0, None, numbers[:1], 1, 0)


def test_shares_hold_every_chat_once_and_neighbours_together() -> None:
    chats = [chat(1, 2, 3), chat(9, 9, 9), chat(1, 2, 4), chat(9, 9, 8), chat(5, drawn=0)]
    shares = Work(chats, (), 8, 5, 0.0).divided(2)
    assert [[list(c.tokens) for c in share.batch] for share in shares] == [[[1, 2, 3], [1, 2, 4]], [[9, 9, 8], [9, 9, 9]]]
    assert all((share.generated, share.rounds, share.valued) == (8, 5, []) for share in shares)


@pytest.mark.parametrize("chats", [[chat(1, 2)], [chat(1, 2)] * 5, [chat(1), chat(*range(2, 50)), chat(51)], []])
def test_shares_of_a_few_chats(chats: list[Trajectory]) -> None:
    shares = Work(chats, chats, 1, 1, 0.0).divided(3)
    assert sum(len(share.batch) for share in shares) == sum(len(share.valued) for share in shares) == len(chats)
    assert bool(chats) == bool(shares[0].batch)


def test_sums_of_parts_and_the_largest_gap() -> None:
    parts = [Part({"loss": 1.0, LARGEST: 3.0}, ()), Part({}, ()), Part({"loss": 0.5, LARGEST: 2.0}, ())]
    assert summed(parts) == {"loss": 1.5, LARGEST: 3.0}


def test_every_process_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(UserError, match="2 processes need a GPU each, and there is 1 here"),
        parallel.opened(config.load("ipd", ["processes=2"])),
    ):
        pass
    options = config.load("ipd", ["processes=2", "device=cuda:0"])
    with pytest.raises(UserError, match="device=cuda:0 is one GPU for 2 processes"), parallel.opened(options):
        pass


def test_a_run_whose_layers_are_spread_learns_from_servers_and_goes_on(tmp_path: Path, lively_model: str) -> None:
    fake = FakeVLLM(lively_model)
    with listening(fake) as url:
        servers = [f"model={lively_model}", "engine=vllm", f"engine.urls=[{url}]", "answer.max_tokens=4"]
        spread = ["processes=2", "shard=true", "optimizer.micro_batch_tokens=300"]
        run = train(tmp_path / "run", *servers, *spread, "iterations=1")
        train(run, *servers, *spread)
        assert_same(train(tmp_path / "alone", *servers), run)
    assert metrics(run)[-1]["mismatch/max_abs"] < 1e-4
    assert fake.adapters == {}
