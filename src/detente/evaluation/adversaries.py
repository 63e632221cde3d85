"""Adversaries of a frozen agent: learners that differ in what they want, where they start and in their seed.

    aims x starts x seeds ── planned ──> adversaries ── train_all ──> adversaries/AIM-START-seedN/, a run folder each

A run that is finished is not trained again, and one that was stopped goes on.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from detente.config import Config, to_yaml
from detente.errors import UserError, unknown
from detente.evaluation.agents import labels
from detente.evaluation.best_response import LEARNER, responder_config
from detente.evaluation.shapers import shaper_config
from detente.files import folder_name, replace_text
from detente.games import make
from detente.learning.checks import check
from detente.learning.loop import train
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
MAIN = [sys.executable, "-m", "detente.cli"]


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
    def finished(self) -> bool:
        """Whether its training has come to its end."""
        summary = self.run / "summary.json"
        return summary.is_file() and bool(json.loads(summary.read_text(encoding="utf-8"))["iterations"] == self.config.iterations)


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
    missing = [task for task in work if not task.finished]
    if watch is not None:
        watch.begin(len(work), len(work) - len(missing), work[0].config.iterations)
    if jobs > 1 and len(missing) > 1:
        _at_once(missing, jobs, watch)
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


def _at_once(work: Sequence[Task], jobs: int, watch: Watch | None) -> None:
    running: list[subprocess.Popen[bytes]] = []
    stopped = threading.Event()

    def run(task: Task) -> Task:
        if not stopped.is_set():
            _trained_apart(task, jobs, running.append, stopped)
        return task

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run, task) for task in work]
        try:
            for future in as_completed(futures):
                task = future.result()
                if watch is not None:
                    watch.trained(task)
        except BaseException:
            stopped.set()
            for process in running:
                process.send_signal(signal.SIGINT)
            raise


def _trained_apart(task: Task, jobs: int, begun: Callable[[subprocess.Popen[bytes]], None], stopped: threading.Event) -> None:
    """Train in a process with a share of the cores; UserError with its last words where it fails."""
    task.run.mkdir(parents=True, exist_ok=True)
    replace_text(task.run / STORED, to_yaml(task.config))
    log = task.run.with_name(task.run.name + ".log")
    share = str(max(1, (os.cpu_count() or 1) // jobs))
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*MAIN, "train", str(task.run), "--trust"],
            stdout=file,
            stderr=file,
            env={"OMP_NUM_THREADS": share, **os.environ},
            start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on once
        )
    begun(process)
    if stopped.is_set():
        process.send_signal(signal.SIGINT)
    status = process.wait()
    if status in (130, 143, -signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt
    if status:
        *_, last = [f"exit status {status}", *log.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]]
        raise UserError(f"The adversary {task.adversary.name} stopped: {last}")
