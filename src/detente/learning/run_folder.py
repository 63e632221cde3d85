"""The run folder: who may write it, and what lies where.

config.yaml  metrics.jsonl  episodes/NNNNNN.jsonl  adapters/NAME/NNNNNN/  checkpoint/NNNNNN/  summary.json  report/
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from detente.config import Config, read, to_yaml
from detente.errors import UserError
from detente.records import Episode, write_episodes

MAY_CHANGE = ("iterations", "threads", "concurrency", "description")
BEFORE_A_RUN = {".lock", "config.yaml.partial"}  # all that a crash can leave in the folder of a run that has not begun


class RunFolder:
    """The files of one run; made by ``opened``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.adapters, self.checkpoints = path / "adapters", path / "checkpoint"
        self.options, self.metrics, self.summary = path / "config.yaml", path / "metrics.jsonl", path / "summary.json"

    def episodes(self, iteration: int) -> Path:
        """The file of an iteration's episodes."""
        return self.path / "episodes" / f"{iteration:06d}.jsonl"

    def begin(self, config: Config, iteration: int) -> None:
        """Write the options, and forget what was written after the checkpoint of that iteration (0: everything)."""
        replace_text(self.options, to_yaml(config))
        lines = self.metrics.read_text(encoding="utf-8").splitlines() if self.metrics.exists() else []
        kept = [line for line in lines if _iteration(line) <= iteration]
        replace_text(self.metrics, "".join(line + "\n" for line in kept))
        for file in (self.path / "episodes").glob("*.jsonl"):
            if int(file.stem) > iteration:
                file.unlink()
        self.summary.unlink(missing_ok=True)

    def forget_adapters(self, name: str, version: int) -> None:
        """Remove a learner's adapter folders later than the version, and those that are not complete."""
        for one in (self.adapters / name).glob("[0-9]*"):
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
    """Lock the folder for a run with these options. A folder that holds anything else than this run is left as it is, and a run
    that never begins leaves no folder."""
    run = RunFolder(path)
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    if not missing and not run.options.exists() and {p.name for p in path.iterdir()} - BEFORE_A_RUN:
        raise UserError(f"The folder {path} is not empty and is no run (it has no config.yaml); give --run another folder.")
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"The run folder {path} is in use by another process; wait for it or give --run another folder."
            ) from None
        if run.options.exists():
            _same_options(path, read(run.options), config)
        try:
            yield run
        finally:
            if not run.options.exists():
                for leftover in BEFORE_A_RUN:
                    (path / leftover).unlink(missing_ok=True)
                with suppress(OSError):  # somebody else may have put something there
                    for folder in missing:
                        folder.rmdir()


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _same_options(path: Path, stored: Config, given: Config) -> None:
    old, new = (_dotted(config.model_dump(mode="json", exclude=set(MAY_CHANGE))) for config in (stored, given))
    differing = [key for key in old | new if old.get(key, "unset") != new.get(key, "unset")]
    if differing:
        key, *others = differing
        also = f" (other options differ too: {', '.join(others)})" if others else ""
        raise UserError(
            f"The run {path} was started with {key}={old.get(key, 'unset')} and not {new.get(key, 'unset')}{also}; "
            "give --run another folder, or repeat the options it was started with."
        )


def _dotted(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"credit": {"beta": 2}} -> {"credit.beta": 2}."""
    flat: dict[str, Any] = {}
    for key, value in options.items():
        flat |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return flat


def _iteration(line: str) -> int:
    """The iteration of a metrics line; a line that a crash cut short belongs to none."""
    try:
        return int(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62
