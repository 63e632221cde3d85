"""Adversaries of a frozen agent: learners that differ in what they want, where they start and in their seed.

    aims x starts x seeds ── planned ──> adversaries ── train_all ──> adversaries/AIM-START-seedN/, a run folder each

A run that is finished is not trained again, and one that was stopped goes on.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from detente.config import Config
from detente.errors import UserError, unknown
from detente.evaluation.agents import labels
from detente.evaluation.best_response import LEARNER, responder_config
from detente.evaluation.shapers import shaper_config
from detente.files import folder_name
from detente.games import make
from detente.learning.checks import check
from detente.learning.loop import train
from detente.learning.processes import Training, train_apart
from detente.learning.run_folder import check_folder
from detente.learning.session import open_session
from detente.learning.starting import start as begin
from detente.learning.watchers import Watcher
from detente.policies import adapter_folder, located
from detente.presets import STORED

AIMS = {  # what an adversary wants, as options of a best responder
    "own": ("reward=null",),
    "harm": ("reward=harm",),
    "margin": ("reward=margin",),
}
SHAPER = "shaper"  # an aim over the episodes of a trial, in which the agent learns
BASE, AGENT = "base", "agent"  # starts that are no names of adapters
DECIDED = ("reward", "start_from")  # options that aims and starts set


@dataclass(frozen=True)
class Adversary:
    """A learner against the agent. ``source`` is the adapter that it starts from, None for a fresh one; ``start`` a short name."""

    aim: str
    start: str
    seed: int
    source: str | None = None

    @property
    def name(self) -> str:
        """The name of its run folder."""
        return folder_name(self.aim, self.start, f"seed{self.seed}")

    @property
    def words(self) -> str:
        return f"{self.aim} from {self.start}, seed {self.seed}"

    def config(self, preset: str, agent: str, overrides: Sequence[str], *, trust: bool = False, role: str | None = None) -> Config:
        """Its options against the agent; its measurement comes later, with that of all others."""
        own = [*overrides, f"seed={self.seed}", "evaluation.episodes=0"]
        if self.aim == SHAPER:
            return shaper_config(preset, agent, own, trust=trust, role=role, start=self.source)
        aim = [*AIMS[self.aim], f"start_from={json.dumps(self.source)}"]
        return responder_config(preset, agent, [*own, *aim], trust=trust, role=role)


class Watch(Protocol):
    """Hears how far a search is."""

    def begin(self, adversaries: int, finished: int, iterations: int) -> None: ...
    def iteration(self) -> None: ...
    def trained(self, task: Task) -> None: ...
    def measuring(self) -> None: ...


@dataclass(frozen=True)
class Task:
    """An adversary with its options and its run folder."""

    adversary: Adversary
    config: Config
    run: Path

    @property
    def adapter(self) -> Path:
        """The folder of the versions of the adversary."""
        return self.run / "adapters" / LEARNER

    @property
    def training(self) -> Training:
        """Its training."""
        return Training(self.run, self.config)


def planned(aims: Sequence[str], starts: Sequence[tuple[str, str | None]], seeds: Sequence[int]) -> list[Adversary]:
    """Every adversary, one seed after another; ``starts`` are pairs of a short name and an adapter. UserError for aims that there
    are not, and for what is named twice or not at all."""
    for aim in aims:
        if aim not in (*AIMS, SHAPER):
            raise unknown("aim", aim, (*AIMS, SHAPER))
    for noun, values in (("aim", aims), ("start", [short for short, _ in starts]), ("seed", seeds)):
        if not values:
            raise UserError(f"A search for the worst case needs at least one {noun}.")
        for value in values:
            if list(values).count(value) > 1:
                raise UserError(f"The {noun} {value} is named twice.")
    return [Adversary(aim, short, seed, source) for seed in seeds for short, source in starts for aim in aims]


def resolved_starts(names: Sequence[str], against: str, game: dict[str, Any]) -> tuple[list[tuple[str, str | None]], list[str]]:
    """The starts as pairs of a short name and an adapter (None: a fresh one), and sentences about those left out.

    UserError for a name that is no start, and for an adapter that is named twice.
    """
    _, folder = located(against, make(**game))
    pairs: dict[str, str | None] = {}
    left_out = []
    for name in names:
        if name == AGENT and folder is None:
            left_out.append(f"'{against}' has no adapter, so no adversary starts from the agent's weights.")
        else:
            pairs[name] = None if name == BASE else against if name == AGENT else name
    if not pairs and left_out:
        raise UserError(f"{left_out[0]} Name another start, such as base.")
    places = {name: _place(source) for name, source in pairs.items() if source is not None}
    for name, place in places.items():
        if same := [other for other in places if other != name and places[other] == place]:
            raise UserError(f"The starts {name} and {same[0]} are the same.")
    own = [name for name in places if name != AGENT]
    short = dict(zip(own, labels(own, [located(name, make(**game))[0] for name in own]), strict=True))
    return [(short.get(name, name), source) for name, source in pairs.items()], left_out


def _place(name: str) -> Path:
    try:
        return adapter_folder(name).resolve()
    except UserError as error:
        if os.path.isdir(name.partition("@")[0]):
            raise
        message = f"There is no start '{name}': starts are base, agent, a run (runs/x, runs/x@40) or an adapter folder."
        raise UserError(message) from error


def tasks(
    adversaries: Sequence[Adversary],
    preset: str,
    against: str,
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    trust: bool = False,
    role: str | None = None,
) -> list[Task]:
    """The adversaries with their options; UserError for what does not fit, before anything is trained."""
    for item in overrides:
        if re.split(r"[.=]", item)[0] in DECIDED:
            raise UserError(f"Aims and starts say what adversaries want and where they start; leave out '{item}'.")
    made = [
        Task(
            adversary,
            adversary.config(preset, against, overrides, trust=trust, role=role),
            folder / "adversaries" / adversary.name,
        )
        for adversary in adversaries
    ]
    for task in made:
        check(task.config, begun=(task.run / STORED).exists())
        check_folder(task.run, task.config)
    fresh = {
        (task.adversary.source, task.adversary.aim == SHAPER): task.config for task in made if not (task.run / STORED).exists()
    }
    for (source, shapes), config in fresh.items():
        if shapes or source is not None:
            with closing(open_session(config)) as session:
                begin(session)
    return made


def train_all(work: Sequence[Task], jobs: int, watch: Watch | None = None) -> None:
    """Train what is not finished, ``jobs`` of them at once, each in a process of its own unless it is one at a time.

    Ctrl-C and SIGTERM stop all of them after their iteration is saved (KeyboardInterrupt).
    """
    missing = [task for task in work if not task.training.finished]
    if watch is not None:
        watch.begin(len(work), len(work) - len(missing), work[0].config.iterations)
    if jobs > 1 and len(missing) > 1:

        def ended(training: Training, fault: str | None) -> None:
            if fault is not None:
                raise UserError(f"The adversary {training.run.name} stopped: {fault}")
            if watch is not None:
                watch.trained(by_run[training.run])

        by_run = {task.run: task for task in missing}
        train_apart([task.training for task in missing], jobs, ended)
        return
    for task in missing:
        train(task.config, task.run, watchers=[] if watch is None else [_Iterations(watch)])
        if watch is not None:
            watch.trained(task)


class _Iterations(Watcher):
    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def iteration(self, metrics: dict[str, Any]) -> None:
        self.watch.iteration()
