"""The content of the folder of runs: training runs, arenas and saved games.

    config.yaml ──> Run: preset, algorithm, seed, iteration n of N, state, last reward
    arena.json, arena.yaml ──> Arena          played/*.jsonl ──> games that a person played

Must not import torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from detente import jsonl, stored
from detente.errors import UserError
from detente.files import in_use, reason
from detente.games.roles import in_role
from detente.options import algorithms_in_words
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
    rewards: tuple[tuple[str, float], ...] = ()
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


def _algorithms(options: Mapping[str, Any], learners: Iterable[str]) -> str:
    """What the learners train with, in words."""
    shared, own = options.get("algorithm", ""), options.get("learners") or {}
    names = [*learners] or [*own]
    return algorithms_in_words({name: str((own.get(name) or {}).get("algorithm", shared)) for name in names}) or shared


def run(root: Path, folder: Path) -> Run:
    """The present state of a run."""
    name = relative(root, folder)
    if not _speakable(folder):
        return Run(
            shown(name), problem=f"The name of the folder {shown(name)} is no text in UTF-8; rename it to see what it holds."
        )
    try:
        options = _options(folder / "config.yaml", (folder / "config.yaml").stat().st_mtime_ns)
        last = stored.last_metrics(folder / "metrics.jsonl")
        matches = ((re.fullmatch(r"(?:role/([^/]+)/)?reward/([^/]+)", key), value) for key, value in last.items())
        rewards = [(match[1] or "", match[2], float(value)) for match, value in matches if match and value is not None]
        in_roles = any(role for role, _, _ in rewards)
        return Run(
            name=name,
            preset=options.get("preset", ""),
            game=options["game"]["name"],
            algorithm=_algorithms(options, [learner for _, learner, _ in rewards]),
            seed=options.get("seed", 0),
            done=last.get("iteration", 0),
            iterations=options.get("iterations", 0),
            state=state(folder),
            rewards=tuple((in_role(name, role), value) for role, name, value in rewards if bool(role) == in_roles),
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
