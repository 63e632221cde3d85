"""The machines of a Ray cluster that a run would use: what each has, looked at by a short task on it.

executor ── connected ──> machines ── a task on each ──> versions, base models ──> a Check each, and one of the room for workers
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from detente import models
from detente.config import Config
from detente.errors import ServiceError, UserError, counted
from detente.learning.cluster import check_room, connected, learner_gpus, places
from detente.needs.check import Check

PACKAGES = ("detente", "torch", "ray")
WAIT_S = 120.0  # for a machine to begin a task


@dataclass(frozen=True)
class Seen:
    """A machine: its name, versions of what runs need, and the base models that are not there."""

    name: str
    versions: Mapping[str, str]
    missing: tuple[str, ...]


def cluster_seen(config: Config) -> tuple[Check, ...]:
    """Every machine of the cluster, and whether it has room for the workers; why it cannot be asked where none answers."""
    try:
        with connected(config.executor):
            return (*_machines(config), _room(config))
    except ServiceError as fault:
        return (Check("Ray cluster", False, str(fault)),)


def looked_around(names: Sequence[str]) -> Seen:
    """What this machine has; ``names`` are the base models that it is to have."""
    python = ".".join(map(str, sys.version_info[:3]))
    return Seen(platform.node(), {"python": python} | {name: _version(name) for name in PACKAGES}, tuple(_missing(names)))


def judged(what: str, has: str, seen: Seen, here: Seen) -> Check:
    """A machine beside that of the run; not passed with other versions than here, or without a folder that is here."""
    differing = [name for name in PACKAGES if _public(seen.versions[name]) != _public(here.versions[name])]
    said = [has, *(f"{name} {version}" for name, version in seen.versions.items())]
    if differing:
        said.append(f"here is {', '.join(f'{name} {here.versions[name]}' for name in differing)}: install the same on all machines")
    absent = [name for name in seen.missing if models.own_folder(name)]
    if absent:
        said.append(f"lacks {', '.join(absent)}: put it under the same path on all machines")
    elif seen.missing:
        said.append(f"will fetch {', '.join(seen.missing)}")
    return Check(what, not differing and not absent, ", ".join(said))


def _machines(config: Config) -> Iterator[Check]:
    import ray
    from ray.exceptions import GetTimeoutError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes: Any = ray.nodes  # which has no annotations
    names = [models.own_folder(name) or name for name in dict.fromkeys(config.models.values())]
    look: Any = ray.remote(looked_around)
    there = [node for node in nodes() if node["Alive"]]
    tasks = [
        look.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(names)
        for node in there
    ]
    here = looked_around(names)
    for node, task in zip(there, tasks, strict=True):
        cores, gpus = int(node["Resources"].get("CPU", 0)), node["Resources"].get("GPU", 0)
        has = f"{counted(cores, 'core')}{f', {gpus:g} GPUs' if gpus else ''}"
        what = f"machine {node['NodeManagerAddress']}"
        try:
            yield judged(what, has, ray.get(task, timeout=WAIT_S), here)
        except GetTimeoutError:
            yield Check(what, False, f"{has}, began nothing within {WAIT_S:g} seconds; see ray status")
        except RayError as error:
            reason = str(error).strip().splitlines()[-1]
            yield Check(what, False, f"{has}, cannot run what a worker runs ({reason}): install detente there as it is here")


def _room(config: Config) -> Check:
    """Whether the workers that are asked for find a place."""
    options = config.executor
    learners = ""
    if options.learners:
        gpus = f" and {learner_gpus(options):g} GPUs" if learner_gpus(options) else ""
        learners = f", beside {options.learners} of {counted(options.learner_cpus, 'core')}{gpus} for gradients"
    try:
        room = places(options)
        count = room if options.workers is None else options.workers
        if options.workers != 0:
            check_room(options, count)
    except UserError as fault:
        return Check("room for Ray workers", False, str(fault))
    gpus = f" and {options.gpus:g} GPUs" if options.gpus else ""
    seen = f"{counted(count, 'worker')} of {counted(options.cpus, 'core')}{gpus} will play, of {room} that fit{learners}"
    return Check("room for Ray workers", True, seen)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _public(version: str) -> str:
    """Without what says for which device a version was built."""
    return version.partition("+")[0]


def _missing(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        try:
            models.folder(name)
        except UserError:
            yield name
