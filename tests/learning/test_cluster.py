"""Rollout workers on a Ray cluster of two nodes in this process: the texts of a run that plays here, also when one is killed."""

from __future__ import annotations

import json
import os
import pickle
import platform
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detente import cli, config, games, matches
from detente.errors import UserError
from detente.executor_options import ExecutorOptions
from detente.learning import checkpoint, checks, cluster, cluster_learners, loop, parallel
from detente.learning.rollout_worker import RolloutWorker
from detente.learning.watchers import Watcher
from detente.needs.nodes import cluster_seen
from detente.records import PolicyRef, Seating, read_episodes
from detente.together import run
from tests.fake_vllm import FakeVLLM, listening

QUICK = (
    "device=cpu threads=1 game.rounds=2 episodes=8 group_size=4 lora.rank=2 optimizer.lr=1e-3 evaluation.episodes=0 iterations=2 "
    "seats=[main,other] learners.other.algorithm=reinforce opponents.kept=0.5 opponents.keep_every=1"
)


def train(run: Path, *overrides: str, watchers: Any = ()) -> Path:
    return loop.train(config.load("ipd", [*QUICK.split(), *overrides]), run, watchers=watchers)


def texts(run: Path) -> list[Any]:
    played = [e for file in sorted((run / "episodes").iterdir()) for e in read_episodes(file)]
    return [
        (e.iteration, e.index, e.seed, e.policies, [(t.completion.text, t.completion.tokens) for t in e.turns()]) for e in played
    ]


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[str]:
    """The address of a cluster with a core on each of two nodes."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray, utils = pytest.importorskip("ray"), pytest.importorskip("ray.cluster_utils")
    nodes = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes.address
    ray.shutdown()
    nodes.shutdown()


class KillsOne(Watcher):
    """Stops the first worker in the second iteration, and kills it when the other has played its share."""

    def __init__(self, workers: list[Any]) -> None:
        self.workers, self.pid, self.iterations = workers, 0, 0

    def iteration(self, metrics: dict[str, Any]) -> None:
        self.iterations += 1
        if self.iterations == 1:
            import ray

            while self.workers[0].starting:  # both play in the second iteration
                ready = next(iter(self.workers[0].starting))
                ray.get(ready)
                self.workers[0].idle.append(self.workers[0].starting.pop(ready))
            self.pid = ray.get(self.workers[0].idle[0].__ray_call__.remote(lambda _: os.getpid()))
            os.kill(self.pid, signal.SIGSTOP)

    def episode(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.pid = 0


def test_a_cluster_plays_the_same_texts_also_when_a_worker_is_killed(
    two_nodes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    start = cluster.RayWorkers.start
    monkeypatch.setattr(cluster.RayWorkers, "start", lambda self: opened.append(self) or start(self))
    killer = KillsOne(opened)
    folder = train(tmp_path / "ray", "executor=ray", f"executor.address={two_nodes}", watchers=[killer])
    assert (opened[0].count, killer.pid, len(opened[0].starting)) == (2, 0, 1)  # one was killed, and its successor begins
    assert texts(folder) == texts(train(tmp_path / "local"))


class KillsLearner(Watcher):
    """Kills the worker that learns after so many iterations."""

    def __init__(self, learners: list[Any], after: int) -> None:
        self.learners, self.left = learners, after

    def iteration(self, metrics: dict[str, Any]) -> None:
        import ray

        self.left -= 1
        if not self.left:
            os.kill(ray.get(self.learners[0].workers[0].__ray_call__.remote(lambda _: os.getpid())), signal.SIGKILL)


def test_a_cluster_plays_and_learns_with_overlap_what_is_learned_here_also_when_the_learner_is_lost(
    two_nodes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    start = cluster_learners.RayLearners.start
    monkeypatch.setattr(cluster_learners.RayLearners, "start", lambda self: opened.append(self) or start(self))
    more = ["overlap=1", "iterations=3", "credit.baseline=critic", "loss.kl=0.01", "optimizer.steps=2"]
    placed = ["executor=ray", f"executor.address={two_nodes}", "executor.learners=1", "executor.workers=1"]
    with pytest.raises(UserError, match=r"^A worker of the Ray cluster was lost in an update; all that was saved is whole"):
        train(tmp_path / "run", *more, *placed, watchers=[KillsLearner(opened, after=2)])
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
    run, here = train(tmp_path / "run", *more), train(tmp_path / "whole", *more)
    assert exact(run) == exact(here)


def exact(run: Path) -> Any:
    """The texts, metrics and weights of a run, all but how long it took."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    metrics = [{key: value for key, value in line.items() if not key.startswith("time/")} for line in lines]
    saved = checkpoint.read_newest(run / "checkpoint").tensors
    weights = {(name, key): tensor.tolist() for name, tensors in saved.items() for key, tensor in tensors.items()}
    return texts(run), metrics, weights


def test_a_cluster_plays_on_servers_beside_updates(two_nodes: str, tmp_path: Path, lively_model: str) -> None:
    fake = FakeVLLM(lively_model)
    fake.slots = 16
    more = ["overlap=1", "iterations=3", "record.episodes_every=1", "optimizer.lr=1e-2"]
    with listening(fake) as url:
        servers = [f"model={lively_model}", "engine=vllm", f"engine.urls=[{url}]", "opponents.kept=0.5", "answer.max_tokens=4"]
        run = train(tmp_path / "run", *servers, "executor=ray", f"executor.address={two_nodes}", *more)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [len(list(read_episodes(file))) for file in sorted((run / "episodes").iterdir())] == [8, 8, 8]
    assert all(line["audit/gap"] < 1e-4 for line in lines)
    assert lines[0]["mismatch/max_abs"] < 1e-4 < lines[2]["mismatch/max_abs"]  # the third was played before the second update
    assert fake.adapters == {}  # all are withdrawn at the end


def test_a_cluster_without_room_is_a_sentence(two_nodes: str) -> None:
    for given, sentence in {
        ("executor.workers=3",): "room for 2 workers of 1 core, and 3 are asked for",
        ("executor.cpus=2",): "room for 0 workers of 2 cores, and 1 are asked for",
        ("executor.gpus=0.5",): "room for 0 workers of 1 core and 0.5 GPUs",
        ("executor.learners=1", "executor.workers=2"): "room for 1 worker of 1 core, and 2 are asked for; lower executor.workers",
        ("executor.learners=3",): "room for 2 workers of 1 core, and 3 are asked for; lower executor.learners",
        ("executor.learners=1", "executor.learner_gpus=1"): "room for 0 workers of 1 core and 1 GPUs",
    }.items():
        options = config.load("ipd", ["executor=ray", *given])
        with pytest.raises(UserError, match=sentence), cluster.opened(options):
            pass


def test_doctor_looks_at_every_machine(two_nodes: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["doctor", "ipd", "executor=ray", f"executor.address={two_nodes}", "executor.learners=1", "device=cpu"]
    small = ["episodes=4", "group_size=4", "game.rounds=2", "--json"]
    assert cli.main([*words, *small]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    machines = [check for check in checks if check["what"].startswith("machine ")]
    assert [check["passed"] for check in machines] == [True, True]
    assert all(f"1 core, python {platform.python_version()}, detente " in check["seen"] for check in machines)
    (room,) = (check["seen"] for check in checks if check["what"] == "room for Ray workers")
    assert room == "1 worker of 1 core will play, of 1 that fit, beside 1 of 1 core for gradients"
    assert cli.main([*words, "executor.workers=2", *small, "--estimate"]) == 0  # the cluster is not asked then
    assert "not looked at: not asked for (--estimate)" in capsys.readouterr().out
    crowded = cluster_seen(config.load("ipd", ["executor=ray", f"executor.address={two_nodes}", "executor.workers=3"]))
    assert (crowded[-1].passed, "and 3 are asked for" in crowded[-1].seen) == (False, True)


@pytest.mark.parametrize("more", [["processes=2"], ["shard=true", "engine=vllm", "engine.urls=[http://127.0.0.1:9]"]])
def test_gradients_are_placed_by_ray_or_by_processes(more: list[str]) -> None:
    options = config.load("ipd", ["executor=ray", "executor.learners=1", *more])
    with pytest.raises(UserError, match="leave out processes, shard and torchrun with it"), parallel.opened(options):
        pass


def test_workers_that_never_come_are_a_sentence(two_nodes: str) -> None:
    options = config.load("ipd", [*QUICK.split(), "executor=ray", "executor.timeout=0.5", "executor.workers=1"])
    sentence = r"No worker of the Ray cluster came up within 0\.5 seconds; all that was saved is whole"
    workers = cluster.RayWorkers(options, 1)
    workers.start()
    with pytest.raises(UserError, match=sentence):
        run(workers.play([Seating((PolicyRef("script", "random"),) * 2)], matches.Counted(), {}, lambda episode: None))
    workers.close()


def test_what_is_wrong_in_a_worker_is_its_own_sentence(two_nodes: str) -> None:
    import ray

    def fails() -> None:
        raise UserError("There is no such model here.")

    with pytest.raises(UserError, match=r"^There is no such model here\.$"):
        cluster.result(ray.remote(fails).remote())


# ---- without a cluster


def test_what_goes_to_a_worker_can_be_sent() -> None:
    options = config.load("ipd", ["executor=ray", "executor.workers=2"])
    seating = Seating((PolicyRef("adapter", "main", 3), PolicyRef("script", "random")), ("main", None), 1, 2, 3, ("", "told"))
    stream = matches.Named((0, "game", 1), (0, "episode", 1))
    episodes = matches.play_scripts(games.make("ipd"), ["random", "random"], 1)
    for value in (options, seating, stream, games.make("trust_and_split"), episodes):
        assert pickle.loads(pickle.dumps(value)) == value


def test_a_worker_plays_what_is_played_here() -> None:
    options = config.load("ipd", ["seats=[main,always_defect]", "device=cpu", "game.rounds=2"])
    worker = RolloutWorker(options, ".")
    worker.open()
    seatings = matches.in_turn([PolicyRef("script", "random")] * 2, 3)
    stream = matches.Named((0, "game"), (0, "episode"))
    game = games.make("ipd", rounds=2)
    assert worker.play(seatings, stream, {}) == matches.play_sync(matches.Scripts(game), game, seatings, stream=stream)


@pytest.mark.parametrize(("number", "count"), [(8, 2), (3, 5), (7, 3), (0, 2)])
def test_shares_are_all_numbers_in_order(number: int, count: int) -> None:
    shares = cluster._shares(number, count)
    assert [i for share in shares for i in share] == list(range(number))
    assert max(map(len, shares), default=0) - min(map(len, shares), default=0) <= 1


def test_without_ray_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"executor.kind=ray needs the package ray; install it with: pip install 'detente\[ray\]'"):
        cluster.connect(ExecutorOptions(kind="ray"))


@pytest.mark.parametrize("error", [ConnectionError, ValueError, RuntimeError])
def test_a_cluster_that_does_not_answer_is_a_sentence(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def fails(**options: Any) -> None:
        raise error("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", fails)
    with pytest.raises(UserError, match=r"No Ray cluster answers at executor\.address=auto; start one with 'ray start --head'"):
        cluster.connect(ExecutorOptions(kind="ray", address="auto"))


def test_an_address_where_nothing_listens_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest.importorskip("ray"), "is_initialized", lambda: False)
    with pytest.raises(UserError, match=r"No Ray cluster answers at executor\.address=127\.0\.0\.1:1;"):
        cluster.connect(ExecutorOptions(kind="ray", address="127.0.0.1:1"))


@pytest.mark.parametrize("address", ["somewhere", "ray://head:10001", "head:port", "head:1234567", ""])
def test_an_address_is_a_host_with_its_port(address: str) -> None:
    with pytest.raises(UserError, match=r"executor\.address: '.*' is no address of a cluster"):
        config.load("ipd", [f"executor.address='{address}'"])


def test_a_cluster_without_anything_to_do_is_a_sentence() -> None:
    with pytest.raises(UserError, match="executor: ray has nothing to do with workers=0 and learners=0"):
        config.load("ipd", ["executor=ray", "executor.workers=0"])
    assert config.load("ipd", ["executor.workers=0", "executor=ray", "executor.learners=1"]).executor.workers == 0


def test_remote_models_are_counted_in_one_process() -> None:
    options = config.load("ipd", ["executor=ray", "seats=[main,openai:x@http://127.0.0.1:1]"])
    with pytest.raises(UserError, match="executor=ray cannot seat the remote model"):
        checks.check(options)


@pytest.mark.parametrize("order", [["executor=ray", "executor.workers=2"], ["executor.workers=2", "executor=ray"]])
def test_the_short_form_goes_with_the_others(order: list[str]) -> None:
    assert config.load("ipd", order).executor == ExecutorOptions(kind="ray", workers=2)
