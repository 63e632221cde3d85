"""What a run needs and whether it will work, put together.

Config ── shapes ──> can the models be loaded here? ── yes: a trial ── no: estimates ──> Diagnosis (memory, disk, time, checks)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from detente import models
from detente.config import Config
from detente.curriculum_options import CurriculumOptions
from detente.errors import ServiceError, UserError, counted
from detente.games.base import Game
from detente.learning.audit import between, tolerance
from detente.learning.checks import check
from detente.learning.session import open_session
from detente.learning.variation import possible_games
from detente.needs import machine
from detente.needs.chats import Said, expected
from detente.needs.check import Check
from detente.needs.disk import stored
from detente.needs.memory import WIDTH, Memory, Place, needed, server
from detente.needs.nodes import cluster_seen
from detente.needs.plan import Changes, fitting_options, smaller_folder
from detente.needs.servers import servers_seen
from detente.needs.shape import KNOWN, Shape, given
from detente.needs.times import H100, Device, estimated, processor
from detente.needs.trial import Trial, tried, unreached_modules
from detente.policies import located

USABLE = 0.95  # of a device's memory, for what is left between blocks
GIB = float(1 << 30)


@dataclass(frozen=True)
class Diagnosis:
    """Bytes and seconds of a run, ``room`` and ``free`` bytes of device and disk, and options that would make it fit."""

    shapes: Mapping[str, str]  # of each base model: where its sizes come from
    dtype: str
    device: str
    memory: Memory
    room: float
    disk: Mapping[str, float]
    free: float | None  # None on a machine that is not here
    seconds: Mapping[str, float]
    timed: str  # how the seconds were found
    said: Said
    checks: tuple[Check, ...]
    changes: Changes | None
    smaller: Mapping[str, object] | None  # options with which the disk has room; None where it has, and where none are enough

    @property
    def has_memory(self) -> bool:
        """Whether the device has room."""
        return self.memory.peak <= USABLE * self.room

    @property
    def fits(self) -> bool:
        """Whether device and disk have room, and all checks passed."""
        return self.has_memory and self.has_disk and all(check.passed is not False for check in self.checks)

    @property
    def has_disk(self) -> bool:
        """Whether the disk has room."""
        return self.free is None or sum(self.disk.values()) <= self.free


@dataclass(frozen=True)
class Target:
    """The machine that a run is planned for: ``memory`` bytes of a GPU (None: this machine), and how many of them."""

    memory: float | None = None
    gpus: int = 1


def examined(config: Config, folder: Path, target: Target, shape: str | None, *, measure: bool = True) -> Diagnosis:
    """UserError for options that no run could begin with, and for a base model whose sizes nothing tells."""
    if target.memory and config.device != "cpu":  # which devices are here does not matter then
        config = config.model_copy(update={"device": "auto"})
    config, game = at_longest(config, check(config, begun=(folder / "config.yaml").exists()))
    sources = {name: _source(name, shape) for name in dict.fromkeys(config.models.values())}
    shapes = {name: sizes for name, (sizes, _, _) in sources.items()}
    why_not = None if measure else "not asked for (--estimate)"
    unasked = why_not or ("servers and clusters of another machine are not asked" if target.memory else None)
    servers, cluster = _beside(config, unasked)
    if config.engine.kind == "vllm":
        why_not = unasked or (None if all(check.passed for check in servers) else "a server cannot be asked")
    why_not = why_not or _unloadable(config, game, shapes, all(here for _, _, here in sources.values()))
    device = H100 if _on_gpu(config, target) else processor(os.cpu_count() or 1)
    kind = "cuda" if device is H100 else "cpu"
    process = machine.CONTEXT if device is H100 else machine.process(max(sizes.vocab for sizes in shapes.values()))
    place = Place(kind, process, beside_server=target.gpus <= len(config.engine.urls))
    trial, checks, dtype = None, _estimated_checks(config, shapes, game, why_not), _dtype(config)
    if why_not is None:
        try:
            with closing(open_session(config)) as session:
                base = next(iter(session.hosts.values())).base
                dtype = str(base.model.dtype).removeprefix("torch.")
                trial = tried(session)
                allowed = tolerance(base) if config.engine.kind == "transformers" else between(base, config.engine.dtype)
                checks = _measured_checks(trial, unreached_modules(session), shapes, allowed)
        except ServiceError as fault:
            why_not = "the servers do not pass their proof"
            servers += (Check("proof of the servers", False, str(fault)),)
            checks = _estimated_checks(config, shapes, game, why_not)
    said = expected(game, config.answer.max_tokens) if trial is None else trial.said
    room = target.memory or machine.room(config.device)

    def needing(changed: Config) -> Memory:
        form = dtype if changed.dtype == config.dtype else changed.dtype
        return needed(changed, shapes, said, dtype=form, place=place)

    def storing(changed: Config) -> float:
        return sum(stored(changed, shapes, said).values())

    memory, free = needing(config), None if target.memory else machine.free_disk(folder)
    checks += servers + cluster
    if config.engine.kind == "vllm":
        checks += (_servers(config, shapes, said, place, room, why_not),)
    if target.gpus > 1 or (target.memory and config.processes > 1):
        checks += (_gpus(config, target.gpus),)
    return Diagnosis(
        shapes={name: source for name, (_, source, _) in sources.items()},
        dtype=dtype,
        device=f"a GPU of {target.memory / GIB:.0f} GiB" if target.memory else machine.named(config.device),
        memory=memory,
        room=room,
        disk=stored(config, shapes, said),
        free=free,
        seconds=estimated(config, shapes, said, dtype=dtype, device=device) if trial is None else trial.seconds,
        timed=_timed(trial, device),
        said=said,
        checks=checks,
        changes=None if memory.peak <= USABLE * room else fitting_options(config, needing, USABLE * room),
        smaller=None if free is None or storing(config) <= free else smaller_folder(config, storing, free),
    )


def at_longest(config: Config, game: Game) -> tuple[Config, Game]:
    """The run as if it played one game throughout where its game varies: the one with the longest chats."""
    games = [game, *chain(*possible_games(config).values())]
    longest = max(games, key=lambda played: expected(played, config.answer.max_tokens).longest) if config.vary else game
    alone = {"game": longest.parameters(), "vary": {}, "curriculum": CurriculumOptions()}
    return (config.model_copy(update=alone) if config.vary else config), longest


def _source(name: str, shape: str | None) -> tuple[Shape, str, bool]:
    """The sizes of a base model, where they come from, and whether its files are here."""
    if shape is not None:
        return given(shape), "sizes as given by --shape", False
    try:
        folder = models.folder(name)
    except UserError as error:
        if name in KNOWN:
            return KNOWN[name], "sizes as published; the model itself is not on this machine", False
        known = ", ".join(KNOWN)
        raise UserError(
            f"The model '{name}' is not on this machine and its sizes are not known: give --shape the path of its config.json or "
            f"layers=28,hidden=3584,...; known are {known}."
        ) from error
    return given(str(folder)), "sizes from its config.json", True


def _unloadable(config: Config, game: Game, shapes: Mapping[str, Shape], here: bool) -> str | None:
    """Why no episodes can be tried on this machine; None if they can."""
    if not here:
        return "the model is not on this machine"
    weights = sum(sizes.parameters for sizes in shapes.values()) * WIDTH[_dtype(config)]
    if 2 * weights > machine.room(config.device):
        return "the model is too large for this machine"
    learners = config.learner_names
    if any(name not in learners and located(name, game)[0].kind == "remote" for name in config.seats):
        return "a remote model on a seat is not asked"
    return None


def _dtype(config: Config) -> str:
    return "bfloat16" if config.dtype == "auto" else config.dtype


def _on_gpu(config: Config, target: Target) -> bool:
    return config.device != "cpu" and (target.memory is not None or machine.named(config.device) != machine.CPU)


def _timed(trial: Trial | None, device: Device) -> str:
    if trial is not None:
        return f"measured here on {counted(trial.episodes, 'episode')}, extended to an iteration"
    flops, moved = device.flops / 1e12, device.bytes / 1e12
    return f"an estimate, not measured: {device.name} of {flops:g} TFLOP/s, {device.share:.0%} of them used, and {moved:g} TB/s"


def _beside(config: Config, unasked: str | None) -> tuple[tuple[Check, ...], tuple[Check, ...]]:
    """What the run needs beside this process: its servers and its cluster, each looked at unless ``unasked`` says why not."""
    servers, cluster = config.engine.kind == "vllm", config.executor.kind == "ray"
    if unasked is not None:
        return (), (Check("Ray cluster", None, f"not looked at: {unasked}"),) if cluster else ()
    return servers_seen(config.engine) if servers else (), cluster_seen(config) if cluster else ()


def _measured_checks(trial: Trial, unreached: list[str], shapes: Mapping[str, Shape], allowed: float) -> tuple[Check, ...]:
    context = min(shape.context for shape in shapes.values())
    gap = f"mean {trial.mean_gap:.1g}, at most {trial.largest_gap:.1g} nats over {trial.tokens} tokens (allowed: {allowed:g})"
    return (
        Check("chat template", True, "a chat can grow turn by turn"),
        Check("layers", True, f"adapters leave out {', '.join(unreached)}" if unreached else "adapters reach every linear layer"),
        Check("engine and learner agree", trial.mean_gap <= allowed, gap),
        _room(trial.said, context),
    )


def _estimated_checks(config: Config, shapes: Mapping[str, Shape], game: Game, why_not: str | None) -> tuple[Check, ...]:
    context = min(shape.context for shape in shapes.values())
    unseen = [Check(what, None, f"not looked at: {why_not}") for what in ("chat template", "layers", "engine and learner agree")]
    return (*unseen, _room(expected(game, config.answer.max_tokens), context))


def _room(said: Said, context: int) -> Check:
    seen = (
        f"{said.longest:,} tokens in the longest chat{'' if said.measured else ' there can be'}, {context:,} in the model's context"
    )
    return Check("room in the context", said.longest <= context, seen)


def _servers(config: Config, shapes: Mapping[str, Shape], said: Said, place: Place, room: float, why_not: str | None) -> Check:
    """Whether a GPU has room for a server; one that was there has passed its proof when the session was opened."""
    held = server(config, shapes, said, WIDTH[config.engine.dtype or _dtype(config)])
    where = "beside the learner" if place.beside_server else "on a GPU of its own"
    seen = f"{counted(len(config.engine.urls), 'server')}, each of {held / GIB:.1f} GiB {where}"
    passed = place.beside_server or held <= USABLE * room
    return Check("vLLM servers", passed, f"{seen}, {'proven' if why_not is None else 'not asked'}")


def _gpus(config: Config, gpus: int) -> Check:
    """How many GPUs the run uses: one for each process of the update, and one for each server that has its own."""
    servers = len(config.engine.urls) if gpus > len(config.engine.urls) else 0
    used = config.processes + servers
    seen = f"{used} of {gpus} are used: {counted(config.processes, 'process')} of the update, {counted(servers, 'server')}"
    idle = "" if used >= gpus else "; more processes, or engine=vllm with more servers, would use the others"
    return Check("GPUs", used <= gpus, seen + idle)
