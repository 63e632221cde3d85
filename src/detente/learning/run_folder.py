"""The run folder: who may write it, and what lies where.

config.yaml  metrics.jsonl  episodes/NNNNNN.jsonl  adapters/NAME/NNNNNN/  checkpoint/NNNNNN/  summary.json  report/
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detente.config import Config, read, to_yaml
from detente.errors import UserError
from detente.records import Episode, write_episodes

MAY_CHANGE = ("iterations", "threads", "concurrency", "description")


class RunFolder:
    """The files of one run; made by ``opened``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.adapters, self.checkpoints = path / "adapters", path / "checkpoint"
        self.metrics, self.summary = path / "metrics.jsonl", path / "summary.json"

    def episodes(self, iteration: int) -> Path:
        """The file of an iteration's episodes."""
        return self.path / "episodes" / f"{iteration:06d}.jsonl"

    def rewind(self, iteration: int) -> None:
        """Forget what was written after the checkpoint of that iteration (0: everything)."""
        lines = self.metrics.read_text(encoding="utf-8").splitlines() if self.metrics.exists() else []
        kept = [line for line in lines if _iteration(line) <= iteration]
        replace_text(self.metrics, "".join(line + "\n" for line in kept))
        for file in (self.path / "episodes").glob("*.jsonl"):
            if int(file.stem) > iteration:
                file.unlink()
        self.summary.unlink(missing_ok=True)

    def forget_adapters(self, name: str, version: int) -> None:
        """Remove a learner's adapter folders later than the version."""
        folder = self.adapters / name
        for one in folder.iterdir() if folder.is_dir() else ():
            if not one.name.isdigit() or int(one.name) > version:
                shutil.rmtree(one)

    def write(self, iteration: int, metrics: Mapping[str, Any], episodes: Sequence[Episode]) -> None:
        """Append one iteration's metrics and, where there are any, its episodes."""
        if episodes:
            write_episodes(self.episodes(iteration), episodes)
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")


@contextmanager
def opened(path: Path, config: Config) -> Iterator[RunFolder]:
    """Lock the folder and hold it to its options: a new folder gets them, an existing one must have been made with them."""
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"The run folder {path} is in use by another process; wait for it or give --run another folder."
            ) from None
        stored = path / "config.yaml"
        if stored.exists():
            _same_options(path, read(stored), config)
        elif any(p.name != ".lock" for p in path.iterdir()):
            raise UserError(f"The folder {path} is not empty and is no run (it has no config.yaml); give --run another folder.")
        replace_text(stored, to_yaml(config))
        yield RunFolder(path)


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _same_options(path: Path, stored: Config, given: Config) -> None:
    old, new = stored.model_dump(mode="json"), given.model_dump(mode="json")
    for key in MAY_CHANGE:
        old.pop(key, None), new.pop(key, None)
    differing = sorted(key for key in old if old[key] != new[key])
    if differing:
        key = differing[0]
        raise UserError(
            f"The run {path} was started with other options ({', '.join(differing)}: {old[key]!r}, now {new[key]!r}); "
            "give --run another folder, or repeat the options it was started with."
        )


def _iteration(line: str) -> int:
    """The iteration of a metrics line; a line that a crash cut short belongs to none."""
    try:
        return int(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62
