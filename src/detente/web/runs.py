"""The content of the folder of runs: training runs, arenas and saved games.

    config.yaml ──> Run: preset, algorithm, seed, iteration n of N, state, last reward
    arena.json, arena.yaml ──> Arena          played/*.jsonl ──> games that a person played

Must not import torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from detente import jsonl, stored
from detente.config import algorithms_in_words
from detente.errors import UserError
from detente.files import in_use, reason
from detente.games.roles import in_role
from detente.web.safety import shown, whole

PLAYED = "played"  # the folder of the games that a person played on these pages


@dataclass(frozen=True, slots=True)
class Run:
    """One line of the overview. ``problem`` says why a folder cannot be read, and then nothing else is known."""

    name: str
    preset: str = ""
    game: str = ""
    algorithm: str = ""
    seed: int = 0
    done: int = 0
    iterations: int = 0
    state: str = ""
    rewards: tuple[tuple[str, float | None], ...] = ()  # of every learner, in each of its roles; None: it has not played yet
    agents: tuple[tuple[str, tuple[int, ...]], ...] = ()  # names of who can play, and their kept versions
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Arena:
    """An arena folder; ``finished`` once its table is there."""

    name: str
    finished: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The runs, arenas and games below a folder, by name."""

    runs: tuple[Run, ...]
    arenas: tuple[Arena, ...]
    played: int


def overview(root: Path) -> Overview:
    """Search the folder; links to folders are not followed."""
    inside = list(folders(root))
    return Overview(
        runs=tuple(run(root, folder) for folder in inside if not is_arena(folder) or not _speakable(folder)),
        arenas=tuple(
            Arena(relative(root, folder), os.path.isfile(folder / "arena.json"))
            for folder in inside
            if is_arena(folder) and _speakable(folder)
        ),
        played=len(games(root)),
    )


def folders(root: Path) -> Iterator[Path]:
    """The run and arena folders, by name; they are not searched themselves."""
    for path, inner, files in os.walk(root):
        inner.sort()
        if {"config.yaml", "arena.json", "arena.yaml"} & {*files}:
            inner.clear()
            yield Path(path)
        inner[:] = [name for name in inner if not name.startswith(".")]


def is_arena(folder: Path) -> bool:
    """Whether an arena was, or is, played in this folder."""
    return any(os.path.isfile(folder / name) for name in ("arena.json", "arena.yaml"))  # unlike Path.is_file, it never raises


def games(root: Path) -> list[Path]:
    """The saved games of a person, the newest last, for their names begin with the time."""
    return jsonl.files(root / PLAYED) if os.path.realpath(root / PLAYED).startswith(f"{root}{os.sep}") else []


def relative(root: Path, path: Path) -> str:
    """The name of a path below ``root`` in addresses and on pages; "." of the root itself."""
    return path.relative_to(root).as_posix()


def _learners(options: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """The learners of a run: those whom its seats name, and those that a line of its metrics does."""
    own = options.get("learners") or {}
    seated = [seat for seat in options.get("seats") or own if seat == "main" or seat in own]
    return [*dict.fromkeys([*seated, *(learner for _, learner, _ in _rewards(row))])]


def _rewards(row: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Role ("" for all), learner and points per round of all that a line of metrics says about rewards."""
    for key, value in row.items():
        if value is not None and (match := re.fullmatch(r"(?:role/([^/]+)/)?reward/([^/]+)", key)):
            yield match[1] or "", match[2], float(value)


def _last_rewards(rows: Iterable[Mapping[str, Any]], learners: Sequence[str]) -> Iterator[tuple[str, float | None]]:
    """Each learner, where seats differ in each of its roles, with its points in the latest iteration in which it played."""
    missing = set(learners)
    played: dict[str, dict[str, float]] = {}
    for row in rows:
        for role, learner, value in _rewards(row):
            if learner in missing:
                played.setdefault(learner, {})[role] = value
        missing -= played.keys()
        if not missing:
            break
    for learner in learners:
        points: Mapping[str, float | None] = played.get(learner) or {"": None}
        yield from ((in_role(learner, role), value) for role, value in points.items() if bool(role) == any(points))


def _algorithms(options: Mapping[str, Any], learners: Iterable[str]) -> str:
    """What the learners train with, in words."""
    shared, own = options.get("algorithm", ""), options.get("learners") or {}
    return algorithms_in_words({name: str((own.get(name) or {}).get("algorithm", shared)) for name in learners}) or shared


def run(root: Path, folder: Path) -> Run:
    """The present state of a run."""
    name = relative(root, folder)
    if not _speakable(folder):
        return Run(
            shown(name), problem=f"The name of the folder {shown(name)} is no text in UTF-8; rename it to see what it holds."
        )
    try:
        options = _options(folder / "config.yaml", (folder / "config.yaml").stat().st_mtime_ns)
        rows = stored.newest_metrics(folder / "metrics.jsonl")
        last = next(rows, {})
        learners = _learners(options, last)
        return Run(
            name=name,
            preset=options.get("preset", ""),
            game=options["game"]["name"],
            algorithm=_algorithms(options, learners),
            seed=options.get("seed", 0),
            done=last.get("iteration", 0),
            iterations=options.get("iterations", 0),
            state=state(folder),
            rewards=tuple(_last_rewards(chain([last], rows), learners)),
            agents=tuple(_agents(name, folder)),
        )
    except UserError as error:
        return Run(name, problem=str(error).replace(f"{root}/", ""))
    except OSError as error:
        return Run(name, problem=f"{name} cannot be read as a run: {reason(error)}.")


def _speakable(path: Path) -> bool:
    """Whether an address can name the path."""
    return shown(str(path)) == str(path)


def state(folder: Path) -> str:
    """finished, running or stopped."""
    return "finished" if os.path.isfile(folder / "summary.json") else "running" if in_use(folder) else "stopped"


def _agents(name: str, folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The run by its name if it has one learner, else each of them by its folder; those of which a version is kept."""
    learners = sorted(path for path in (folder / "adapters").glob("*") if path.is_dir())
    for learner in learners:
        versions = tuple(sorted(number for path in learner.iterdir() if (number := whole(path.name)) is not None))
        if versions:
            yield (name if len(learners) == 1 else f"{name}/adapters/{learner.name}"), versions


@lru_cache(maxsize=1024)
def _options(path: Path, _: int) -> dict[str, Any]:
    """The options of a run; the second argument tells one state of the file from another."""
    return stored.options(path)
