"""What can be exported, and how its lines are read.

    SOURCE ── find ──> Source ── lines ──> Line ── (located) ──> rows

A run that is being written, or was killed, may end in half a line: it is left out. Damage anywhere else is named with its place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from detente import jsonl
from detente.errors import UserError
from detente.family_file import described
from detente.games.family import Measure
from detente.records import UNREADABLE
from detente.visible import visible

BEGUN = ("config.yaml", "metrics.jsonl", "arena.yaml")  # one of them makes a folder a source, even if nothing was played yet


@dataclass(frozen=True, slots=True)
class Source:
    """One of the things that were named: its name as given, the folder that its files are told from, and the files."""

    name: str
    folder: Path
    episodes: tuple[Path, ...]
    metrics: Path | None = None

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What was measured in the games, as the family.json of the folder has it; UserError where that is damaged."""
        return described(self.folder)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file to be read."""
        return self.episodes if self.metrics is None else (*self.episodes, self.metrics)

    def inside(self, path: Path) -> str:
        """The file's path within the source."""
        return path.relative_to(self.folder).as_posix()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file: its number from 1, its text, and how many bytes of the file on disk have been read by then."""

    number: int
    text: str
    read: int


def find(paths: Sequence[Path]) -> list[Source]:
    """The sources of these names; UserError where there are none, or nothing was recorded."""
    if not paths:
        raise UserError("No source is named; name at least one run folder, arena folder or file of episodes.")
    for number, path in enumerate(paths):
        if path.resolve() in {other.resolve() for other in paths[:number]}:
            raise UserError(f"{path} is named twice; each source counts once.")
    return [_folder(path) if path.is_dir() else _file(path) for path in paths]


def _folder(path: Path) -> Source:
    episodes = tuple(jsonl.files(path / "episodes"))
    if not episodes and not any((path / name).is_file() for name in BEGUN):
        raise UserError(f"The folder {path} holds nothing that was recorded: neither episodes/*.jsonl.gz nor metrics.jsonl.")
    for file in episodes:
        if not os.path.isfile(file):
            raise UserError(f"{file} is no file, or leads to none; remove it to read the rest.")
    metrics = path / "metrics.jsonl"
    return Source(visible(str(path), keep=""), path, episodes, metrics if metrics.is_file() else None)


def _file(path: Path) -> Source:
    if not path.exists():
        raise UserError(f"There is no run folder, arena folder or file of episodes {path}.")
    if not jsonl.is_jsonl(path):
        raise UserError(
            f"{path} is no file of episodes: it should end in .jsonl, as 'detente play --save' writes them, or .jsonl.gz."
        )
    return Source(visible(str(path), keep=""), path.parent, (path,))


def lines(path: Path, unfinished: list[Path]) -> Iterator[Line]:
    """The lines of a file, one at a time. Half a line at its end is left out, and the file added to ``unfinished``."""
    with jsonl.opened(path) as file:  # as text, other things than a newline would end a line too
        for number, raw in _unpacked(path, file):
            if not raw.endswith(b"\n") and raw.startswith(b"{") and not _whole(raw):
                unfinished.append(path)
            elif raw.strip():
                with located(path, number, "text in UTF-8"):
                    text = raw.decode("utf-8")
                yield Line(number, text, jsonl.place(file))
        if jsonl.was_cut(file) and path not in unfinished:  # between two lines, as far as they can be unpacked
            unfinished.append(path)


def _unpacked(path: Path, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines and their numbers from 1; UserError where a compressed file cannot be unpacked any further."""
    number = 0
    try:
        for raw in jsonl.bounded(file):
            number += 1
            yield number, raw
    except jsonl.TooMuchError as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    except ValueError as error:
        raise UserError(f"{path} cannot be unpacked after line {number}; mend or remove it to read the rest.") from error


def _whole(raw: bytes) -> bool:
    """Whether this is a JSON object to its end: no beginning of one is."""
    try:
        json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


@contextmanager
def located(path: Path, line: int, what: str) -> Iterator[None]:
    """Turn whatever is wrong with a line into a UserError that says where it is."""
    try:
        yield
    except UNREADABLE as error:
        raise UserError(f"Line {line} of {path} is no {what}: {_reason(error)}; mend or remove it to read the rest.") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON from character {error.colno} on"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return " ".join(str(error).split()).rstrip(".")
