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
from types import MappingProxyType
from typing import Any

from detente.config import Config
from detente.errors import ServiceError, UserError, counted
from detente.executor_options import ExecutorOptions
from detente.learning.rollout_worker import RolloutWorker
from detente.learning.session import Adapter
from detente.matches import Stream
from detente.records import Episode, PolicyRef, Seating

POLL_S = 0.5
PATIENCE_S = 10.0  # with an address that may be none
LOSSES = 3  # times that each worker may be lost in one iteration, on average


@contextmanager
def opened(config: Config) -> Iterator[RayWorkers | None]:
    """The rollout workers of a run; None where it plays in this process. UserError for a cluster that cannot have them."""
    options = config.executor
    if options.kind == "local" or options.workers == 0:
        yield None
        return
    with connected(options):
        workers = RayWorkers(config, options.workers or places(options))
        try:
            check_room(options, workers.count)
            workers.start()
            yield workers
        finally:
            workers.close()


class RayWorkers:
    """``count`` actors, each with the policies of the run. ``starting`` maps what a worker will answer once it is there to it."""

    def __init__(self, config: Config, count: int) -> None:
        self.config, self.options, self.count = config, config.executor, count
        self.starting: dict[Any, Any] = {}
        self.idle: list[Any] = []
        self.busy: dict[Any, tuple[Any, range]] = {}  # what a worker will answer: who it is, and the seatings that it plays
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
        settings: Mapping[int, Mapping[str, Any]] = MappingProxyType({}),
    ) -> Coroutine[Any, Any, list[Episode]]:
        """Keep these versions of learners, as they are now, for the workers; what is returned plays one episode per seating, in the
        order given, groups with these settings of the game.

        UserError where workers are lost again and again, or none is left; what a worker raises is raised there.
        """
        self._store(adapters)
        return self._play(seatings, stream, watch, settings)

    async def _play(
        self,
        seatings: Sequence[Seating],
        stream: Stream,
        watch: Callable[[Episode], None],
        settings: Mapping[int, Mapping[str, Any]],
    ) -> list[Episode]:
        waiting = deque(_shares(len(seatings), self.count))
        episodes: dict[int, Episode] = {}
        losses = 0
        while len(episodes) < len(seatings):
            while waiting and self.idle:
                worker, share = self.idle.pop(0), waiting.popleft()
                seated = [seatings[i] for i in share]
                self.busy[worker.play.remote(seated, stream, dict(self.stored), _fetch, dict(settings))] = (worker, share)
            ready = self._next()
            worker, share = self.busy.pop(ready) if ready in self.busy else (self.starting.pop(ready), range(0))
            try:
                played: list[Episode] = result(ready) or []
            except Lost:
                losses += 1
                waiting += [share] if len(share) else []
                self._start()
            else:
                self.idle.append(worker)
                for i, episode in zip(share, played, strict=True):
                    episodes[i] = episode
                    watch(episode)
            if losses > LOSSES * self.count:
                raise UserError(f"Workers of the Ray cluster were lost {losses} times in one iteration; {AGAIN}")
        return [episodes[i] for i in range(len(seatings))]

    def close(self) -> None:
        """End all workers; those that are idle withdraw first what servers got from them."""
        import ray

        if closing := [worker.close.remote() for worker in self.idle]:
            ray.wait(closing, num_returns=len(closing), timeout=PATIENCE_S)
        for worker in (*self.idle, *self.starting.values(), *(worker for worker, _ in self.busy.values())):
            ray.kill(worker)

    def _start(self) -> None:
        worker = begun(RolloutWorker, self.config, self.options.cpus, self.options.gpus)
        self.starting[worker.open.remote()] = worker

    def _store(self, adapters: Mapping[PolicyRef, Callable[[], Adapter]]) -> None:
        """Keep these versions, and no others, where all workers can fetch them."""
        import ray

        for policy in self.stored.keys() - adapters.keys():
            del self.stored[policy]
        for policy in adapters.keys() - self.stored.keys():
            weights, lora = adapters[policy]()
            self.stored[policy] = ray.put(({key: tensor.detach().cpu() for key, tensor in weights.items()}, lora))

    def _next(self) -> Any:
        """What is there first: the episodes of a busy worker, or one that has started."""
        import ray

        deadline = time.monotonic() + self.options.timeout
        while self.busy or time.monotonic() < deadline:
            ready, _ = ray.wait([*self.busy, *self.starting], num_returns=1, timeout=POLL_S)  # Ctrl-C is heard in between
            if ready:
                return ready[0]
        raise UserError(f"No worker of the Ray cluster came up within {self.options.timeout:g} seconds; {AGAIN}")


class Lost(Exception):  # noqa: N818 (who lost it says what that means)
    """A worker has ended, alone or with its machine."""


AGAIN = "all that was saved is whole, and the same command goes on from there once the cluster has room (see ray status)."


def begun(worker: type, config: Config, cpus: int, gpus: float) -> Any:
    """A worker that was begun on a machine of the cluster, in the working directory of this process."""
    import ray

    actor: Any = ray.remote(worker)
    return actor.options(num_cpus=cpus, num_gpus=gpus, scheduling_strategy="SPREAD").remote(config, os.getcwd())


def result(ready: Any) -> Any:
    """What a worker answered; what it raised is raised here. Lost where it ended before."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(ready)
    except RayTaskError as error:
        raise error.cause from error
    except RayError as error:
        raise Lost from error


@contextmanager
def connected(options: ExecutorOptions) -> Iterator[None]:
    """Inside, this process is connected to the cluster; one that was started for it ends with it. UserError where there is none."""
    started = connect(options)
    try:
        yield
    finally:
        if started:
            import ray

            ray.shutdown()


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
        raise ServiceError(
            f"No Ray cluster answers at executor.address={address}; start one with 'ray start --head', or leave the address out "
            "to start one in this process."
        ) from error
    return address == "local"


def places(options: ExecutorOptions) -> int:
    """How many workers that play the machines of the cluster have room for, beside those that learn; UserError without room for
    these."""
    machines = resources()
    gpus = learner_gpus(options)
    for _ in range(options.learners):
        machine = next((machine for machine in machines if _fitting(machine, options.learner_cpus, gpus)), None)
        if machine is None:
            room = sum(_fitting(machine, options.learner_cpus, gpus) for machine in resources())
            raise ServiceError(
                _no_room(room, options.learners, options.learner_cpus, gpus, "learners, learner_cpus or learner_gpus")
            )
        machine["CPU"] -= options.learner_cpus
        machine["GPU"] = machine.get("GPU", 0) - gpus
    return sum(_fitting(machine, options.cpus, options.gpus) for machine in machines)


def resources() -> list[dict[str, float]]:
    """What each machine of the cluster has: CPU, GPU and more."""
    import ray

    nodes: Any = ray.nodes  # which has no annotations
    return [dict(node["Resources"]) for node in nodes() if node["Alive"]]


def learner_gpus(options: ExecutorOptions) -> float:
    """GPUs of a worker that learns."""
    if options.learner_gpus is not None:
        return options.learner_gpus
    return 1.0 if any(machine.get("GPU", 0) >= 1 for machine in resources()) else 0.0


def check_room(options: ExecutorOptions, count: int) -> None:
    """UserError where the cluster cannot have so many workers that play, beside those that learn."""
    if (room := places(options)) < max(1, count):
        raise ServiceError(_no_room(room, max(1, count), options.cpus, options.gpus, "workers, cpus or gpus"))


def _no_room(room: int, asked: int, cpus: int, gpus: float, options: str) -> str:
    size = f"{counted(cpus, 'core')}{f' and {gpus:g} GPUs' if gpus else ''}"
    return (
        f"The Ray cluster has room for {counted(room, 'worker')} of {size}, and {asked} are asked for; "
        f"lower executor.{options}, or add machines."
    )


def _fitting(machine: Mapping[str, float], cpus: int, gpus: float) -> int:
    by_cpu = machine.get("CPU", 0) // cpus
    return int(min(by_cpu, machine.get("GPU", 0) / gpus + 1e-9) if gpus else by_cpu)


def _shares(number: int, count: int) -> list[range]:
    """The numbers below ``number`` in ``count`` ranges of about the same length; fewer where there are fewer numbers."""
    cuts = [number * i // count for i in range(count + 1)]
    return [range(start, stop) for start, stop in pairwise(cuts) if stop > start]


def _fetch(stored: Any) -> Adapter:
    import ray

    adapter: Adapter = ray.get(stored)
    return adapter
