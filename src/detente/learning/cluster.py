"""Rollout workers on a Ray cluster, as the run sees them.

    seatings ── a share each ──> workers ── episodes ──> in the order of the seatings         adapters: ray.put once per version

A worker that is lost gets a successor, and its share goes to the next worker that is free. Which worker plays an episode changes
nothing: its seeds follow from its place in the run.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from detente.config import Config
from detente.errors import UserError, counted
from detente.executor_options import ExecutorOptions
from detente.learning.rollout_worker import RolloutWorker
from detente.learning.session import Adapter
from detente.matches import Stream
from detente.records import Episode, PolicyRef, Seating

POLL_S = 0.5
PATIENCE_S = 10.0  # with an address that may be none
LOST = 3  # times that each worker may be lost in one iteration, on average


@contextmanager
def opened(config: Config) -> Iterator[RayWorkers | None]:
    """The rollout workers of a run; None where it plays in this process. UserError for a cluster that cannot have them."""
    options = config.executor
    if options.kind == "local":
        yield None
        return
    started = connect(options)
    workers = RayWorkers(config, options.workers or places(options))
    try:
        _check_room(options, workers.count)
        workers.start()
        yield workers
    finally:
        workers.close(shutdown=started)


class RayWorkers:
    """``count`` actors, each with the policies of the run. ``starting`` maps what a worker will answer once it is there to it."""

    def __init__(self, config: Config, count: int) -> None:
        self.config, self.options, self.count = config, config.executor, count
        self.starting: dict[Any, Any] = {}
        self.idle: list[Any] = []
        self.stored: dict[PolicyRef, Any] = {}

    def start(self) -> None:
        """Start all workers, which load their models beside what this process does."""
        for _ in range(self.count):
            self._start()

    def play(
        self,
        seatings: Sequence[Seating],
        stream: Stream,
        adapters: Mapping[PolicyRef, Callable[[], Adapter]],
        watch: Callable[[Episode], None],
    ) -> Coroutine[Any, Any, list[Episode]]:
        """Keep these versions of learners, as they are now, for the workers; what is returned plays one episode per seating, in the
        order given.

        UserError where workers are lost again and again, or none is left; what a worker raises is raised there.
        """
        self._store(adapters)
        return self._play(seatings, stream, watch)

    async def _play(self, seatings: Sequence[Seating], stream: Stream, watch: Callable[[Episode], None]) -> list[Episode]:
        waiting = deque(_shares(len(seatings), self.count))
        busy: dict[Any, tuple[Any, range]] = {}
        episodes: dict[int, Episode] = {}
        losses = 0
        while len(episodes) < len(seatings):
            while waiting and self.idle:
                worker, share = self.idle.pop(0), waiting.popleft()
                seated = [seatings[i] for i in share]
                busy[worker.play.remote(seated, stream, dict(self.stored), _fetch)] = (worker, share)
            ready = self._next(busy)
            worker, share = busy.pop(ready) if ready in busy else (self.starting.pop(ready), range(0))
            played = self._result(ready)
            if played is None:
                losses += 1
                waiting += [share] if len(share) else []
                self._start()
            else:
                self.idle.append(worker)
                for i, episode in zip(share, played, strict=True):
                    episodes[i] = episode
                    watch(episode)
            if losses > LOST * self.count:
                raise UserError(f"Workers of the Ray cluster were lost {losses} times in one iteration; {AGAIN}")
        return [episodes[i] for i in range(len(seatings))]

    def close(self, *, shutdown: bool) -> None:
        """End all workers, and with ``shutdown`` the cluster of this process."""
        import ray

        for worker in (*self.idle, *self.starting.values()):
            ray.kill(worker)
        if shutdown:
            ray.shutdown()

    def _start(self) -> None:
        import ray

        actor: Any = ray.remote(RolloutWorker)
        needs = {"num_cpus": self.options.cpus, "num_gpus": self.options.gpus, "scheduling_strategy": "SPREAD"}
        worker = actor.options(**needs).remote(self.config, os.getcwd())
        self.starting[worker.open.remote()] = worker

    def _store(self, adapters: Mapping[PolicyRef, Callable[[], Adapter]]) -> None:
        """Keep these versions, and no others, where all workers can fetch them."""
        import ray

        for policy in self.stored.keys() - adapters.keys():
            del self.stored[policy]
        for policy in adapters.keys() - self.stored.keys():
            weights, lora = adapters[policy]()
            self.stored[policy] = ray.put(({key: tensor.detach().cpu() for key, tensor in weights.items()}, lora))

    def _next(self, busy: Mapping[Any, Any]) -> Any:
        """What is there first: the episodes of a busy worker, or one that has started."""
        import ray

        deadline = time.monotonic() + self.options.timeout
        while busy or time.monotonic() < deadline:
            ready, _ = ray.wait([*busy, *self.starting], num_returns=1, timeout=POLL_S)  # Ctrl-C is heard in between
            if ready:
                return ready[0]
        raise UserError(f"No worker of the Ray cluster came up within {self.options.timeout:g} seconds; {AGAIN}")

    def _result(self, ready: Any) -> list[Episode] | None:
        """The episodes of a worker, none for one that has started; None where the worker is lost."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            return ray.get(ready) or []
        except RayTaskError as error:
            raise error.cause from error
        except RayError:
            return None


AGAIN = "all that was saved is whole, and the same command goes on from there once the cluster has room (see ray status)."


def connect(options: ExecutorOptions) -> bool:
    """Connect to the cluster, unless this process has; whether one was started here. UserError where there is none."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    try:
        import ray
    except ImportError:
        raise UserError("executor.kind=ray needs the package ray; install it with: pip install 'detente[ray]'.") from None
    if ray.is_initialized():
        return False
    address = options.address or "local"
    try:
        if ":" in address:  # Ray itself tries for minutes
            host, port = address.split(":")
            socket.create_connection((host, int(port)), timeout=PATIENCE_S).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise UserError(
            f"No Ray cluster answers at executor.address={address}; start one with 'ray start --head', or leave the address out "
            "to start one in this process."
        ) from error
    return address == "local"


def places(options: ExecutorOptions) -> int:
    """How many workers the machines of the cluster have room for."""
    import ray

    nodes: Any = ray.nodes  # which has no annotations
    resources = [node["Resources"] for node in nodes() if node["Alive"]]
    return sum(_fitting(node, options) for node in resources)


def _fitting(node: Mapping[str, float], options: ExecutorOptions) -> int:
    by_cpu = node.get("CPU", 0) // options.cpus
    return int(min(by_cpu, node.get("GPU", 0) / options.gpus + 1e-9) if options.gpus else by_cpu)


def _check_room(options: ExecutorOptions, count: int) -> None:
    if (room := places(options)) < max(1, count):
        gpus = f" and {options.gpus:g} GPUs" if options.gpus else ""
        raise UserError(
            f"The Ray cluster has room for {counted(room, 'worker')} of {counted(options.cpus, 'core')}{gpus}, and "
            f"{max(1, count)} are asked for; lower executor.workers, cpus or gpus, or add machines."
        )


def _shares(number: int, count: int) -> list[range]:
    """The numbers below ``number`` in ``count`` ranges of about the same length; fewer where there are fewer numbers."""
    cuts = [number * i // count for i in range(count + 1)]
    return [range(start, stop) for start, stop in pairwise(cuts) if stop > start]


def _fetch(stored: Any) -> Adapter:
    import ray

    adapter: Adapter = ray.get(stored)
    return adapter
