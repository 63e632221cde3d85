"""Several processes for learners: each computes the gradients of a share of an update.

    rank 0, the run ── weights, shares ──> ranks 1, 2 ..., the helpers      gradients ── summed over ranks ──> rank 0: clip, Adam

Helpers keep nothing from one update to the next, so what a run saves does not depend on their number. ``processes=N`` starts them
on this machine; torchrun starts them on several, by the same command in each process. On GPUs each process has one (NCCL), on
CPUs a share of the cores (gloo).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from peft import PeftModel

from detente.config import Config
from detente.errors import UserError
from detente.learning import vectors
from detente.learning.forward import Forward
from detente.learning.learner import Learner
from detente.learning.loading import load_learners
from detente.learning.micro_batches import passes_without_stems
from detente.learning.ranks import Child, launched, share_of_cores
from detente.learning.sharding import spread_layers
from detente.learning.work import Part, Work

HOST = "127.0.0.1"
WAIT = timedelta(days=365)  # a rollout may take long, and a process that ends is noticed at once
POLL_S = 0.05
LAST_WORDS_S = 5.0  # that a process which was lost may take to end

Task = tuple[str, Work | None]  # a learner's name, and the share of a process; None: take part in a pass of rank 0 alone


@contextmanager
def opened(config: Config) -> Iterator[Processes | None]:
    """The helpers of a run; None where it has none. UserError where a device is missing for one of them."""
    launch = launched()
    size = launch.size if launch else config.processes
    if launch and config.processes not in (1, size):
        raise UserError(f"processes={config.processes} does not fit torchrun, which started {size}; leave one of the two out.")
    if config.shard and config.engine.kind != "vllm":
        raise UserError(
            "shard=true spreads the base model over processes, and an engine in this one needs it whole: use engine=vllm."
        )
    if config.executor.kind == "ray" and config.executor.learners and (size > 1 or config.shard):
        raise UserError("executor.learners places the gradients on a Ray cluster: leave out processes, shard and torchrun with it.")
    if size == 1:
        if config.shard:
            raise UserError("shard=true spreads the base model over processes, and there is one: use processes=2 or more.")
        yield None
        return
    _check_devices(config, launch.local_size if launch else size)
    processes = Processes(size, config)
    try:
        if launch:
            _join(0, size)
        else:
            processes.start()
        _everybody(config)
        yield processes
        processes.dismiss()
    finally:
        processes.close()


class Processes:
    """The helpers as the run sees them."""

    def __init__(self, size: int, config: Config) -> None:
        self.size, self.config = size, config
        self.children: list[Child] = []
        self.updating = False

    def start(self) -> None:
        """Start the helpers on this machine, and wait until all are there."""
        store = _store(0, self.size, is_master=True, wait_for_workers=False)
        self.children = [Child.begin(store.port, rank, self.size) for rank in range(1, self.size)]
        while not store.check([_here(child.rank) for child in self.children]):
            if any(child.handle.poll() is not None for child in self.children):
                raise self._lost("at the start")
            time.sleep(POLL_S)
        _join(0, self.size, store)

    def gradients(self, learner: Learner, work: Work, first: Sequence[Part] | None) -> Sequence[Part]:
        """Divide a pass among all processes, and put the sum of their gradients into the learner's ``grad``."""
        shares = work.divided(self.size)
        if self.config.shard:
            most, observed = learner.max_tokens, learner.observes
            adapted = max(passes_without_stems(share.batch, most, observed=observed) for share in shares)
            valued = max(passes_without_stems(share.valued, most) for share in shares)
            shares = [replace(share, passes=(adapted, valued)) for share in shares]
        if first is not None:
            shares = [replace(share, old=part.logprobs) for share, part in zip(shares, first, strict=True)]
        parts: list[Any] = [None] * self.size
        with self._in_touch():
            _deal([(learner.name, share) for share in shares])
            _spread_weights(learner)
        self.updating = True
        with _threads(self.config, self.size):
            own = learner.accumulate(shares[0])
        self.updating = False
        with self._in_touch():
            _sum_gradients(learner)
            dist.gather_object(own, parts)
        return [own, *parts[1:]]

    def spread(self, model: PeftModel, learner: str) -> None:
        """Where layers are to be spread over all processes, keep this one's part; a pass here then has a pass everywhere.

        ``learner`` is one of those on the model.
        """
        if not self.config.shard:
            return

        def announce(*_: object) -> None:
            if not self.updating:
                with self._in_touch():
                    _deal([(learner, None)] * self.size)

        spread_layers(model)
        base: Any = model.get_base_model()
        base.get_decoder().register_forward_pre_hook(announce)

    def dismiss(self) -> None:
        """Tell the helpers that the run is over."""
        with self._in_touch():
            _deal([None] * self.size)
        for child in self.children:
            child.handle.wait()

    def close(self) -> None:
        """End all helpers, also in the middle of an update."""
        if dist.is_initialized():
            dist.destroy_process_group()
        for child in self.children:
            child.end()

    @contextmanager
    def _in_touch(self) -> Iterator[None]:
        """Inside, all processes exchange something; UserError where one of them has ended."""
        try:
            yield
        except RuntimeError as error:  # from torch.distributed, which has no class for it on CPUs
            raise self._lost("in an update") from error

    def _lost(self, when: str) -> UserError:
        deadline = time.monotonic() + LAST_WORDS_S
        while not (faults := [child.fault for child in self.children if child.fault]) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        lost = faults[0] if faults else f"One of the {self.size} processes cannot be reached any more"
        return UserError(f"{lost} {when}; all that was saved is whole, and the same command goes on from there.")


# ---- helpers


def help_from(port: int, rank: int, size: int) -> None:
    """Help the process of this machine that started this one."""
    store = _store(port, size, is_master=False)
    store.set(_here(rank), "")
    _help(rank, size, rank, store)


def help_launched() -> None:
    """Help the first of the processes that torchrun started."""
    launch = launched()
    if launch is None:
        raise RuntimeError("torchrun has not started this process")
    for number in (signal.SIGINT, signal.SIGTERM):  # rank 0 saves, and says when it is over
        signal.signal(number, signal.SIG_IGN)
    _help(launch.rank, launch.size, launch.local_rank)


def _help(rank: int, size: int, local_rank: int, store: Any = None) -> None:
    _join(rank, size, store)
    config = _everybody(None)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    config = config.model_copy(update={"device": _device(config, local_rank)})
    if config.device.startswith("cuda"):
        torch.cuda.set_device(config.device)
    learners: dict[str, Learner] = {}
    for trained in load_learners(config):
        learners |= trained.learners
        if config.shard:
            spread_layers(trained.model)
    while (task := _next()) is not None:
        name, share = task
        learner = learners[name]
        if share is None:
            with torch.no_grad():
                Forward(learner.model).idle(back=False)
            continue
        _spread_weights(learner)
        learner.optimizer.zero_grad(set_to_none=True)
        part = learner.accumulate(share)
        _sum_gradients(learner)
        dist.gather_object(Part(part.sums, tuple(values.cpu() for values in part.logprobs)))
    dist.destroy_process_group()


def _next() -> Task | None:
    """What to do next; None when the run is over, however it ended."""
    with suppress(RuntimeError):  # it ended without a word
        return _deal(None)
    return None


# ---- what all do together


def _store(port: int, size: int, **options: bool) -> Any:
    """Where the processes of this machine find each other; port 0: on a free one."""
    return dist.TCPStore(HOST, port, size, timeout=WAIT, **options)  # type: ignore[attr-defined]  # which torch.distributed has


def _here(rank: int) -> str:
    return f"here/{rank}"


def _join(rank: int, size: int, store: Any = None) -> None:
    """Become one of the processes; without a store it is where torchrun says."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if store is None:
        dist.init_process_group(backend, timeout=WAIT)
    else:
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=WAIT)


def _everybody(config: Config | None) -> Config:
    """The options of rank 0, in every process."""
    options = [config]
    dist.broadcast_object_list(options)
    if options[0] is None:
        raise RuntimeError("rank 0 sent no options")
    return options[0]


def _deal(tasks: Sequence[Task | None] | None) -> Task | None:
    """Rank 0 gives each process its task."""
    own: list[Task | None] = [None]
    dist.scatter_object_list(own, None if tasks is None else list(tasks))
    return own[0]


@torch.no_grad()
def _spread_weights(learner: Learner) -> None:
    """Every process gets rank 0's."""
    weights = vectors.weights(learner)
    dist.broadcast(weights, 0)
    if dist.get_rank():
        vectors.take_weights(learner, weights)


@torch.no_grad()
def _sum_gradients(learner: Learner) -> None:
    """One sum over all processes of all gradients; a process without a share has none."""
    flat = vectors.gradients(learner)
    dist.all_reduce(flat)
    vectors.take_gradients(learner, flat)


# ---- devices


@contextmanager
def _threads(config: Config, size: int) -> Iterator[None]:
    """Inside, this process has its share of the cores, and otherwise all."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, config.threads or share_of_cores(size)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(config: Config, local_rank: int) -> str:
    """That of a process among those of its machine."""
    on_gpu = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
    return f"cuda:{local_rank}" if on_gpu else config.device


def _check_devices(config: Config, local_size: int) -> None:
    """UserError unless every process of this machine can have a GPU of its own, where they have any."""
    if not _device(config, 0).startswith("cuda"):
        return
    if config.device.startswith("cuda:"):
        raise UserError(f"device={config.device} is one GPU for {local_size} processes; leave device out, and each has its own.")
    if (there := torch.cuda.device_count()) < local_size:
        are = f"is {there}" if there == 1 else f"are {there}"
        raise UserError(f"{local_size} processes need a GPU each, and there {are} here; ask for as many, or for device=cpu.")
