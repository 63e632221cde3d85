"""The run folder: its files, and the lock that lets one process write it.

config.yaml  family.json  metrics.jsonl  episodes/NNNNNN.jsonl.gz  adapters/NAME/NNNNNN/  checkpoint/NNNNNN/  summary.json  report/
changes.json  trackers/NAME/  alternatives/NNNNNN.jsonl.gz
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from detente import jsonl, stored
from detente.config import Config, read, to_yaml
from detente.errors import UserError
from detente.files import check_same, locked, replace_text
from detente.learning.rates import note_changes, without_rates
from detente.learning.versions import with_versions
from detente.records import Episode, write_episodes

log = logging.getLogger(__name__)

MAY_CHANGE = (
    *("iterations", "threads", "concurrency", "description", "remote", "engine", "executor", "processes", "shard"),
    "trackers",
)
ANOTHER = "give --run another folder"
BEFORE_A_RUN = {".lock", "config.yaml.partial"}  # all that a crash can leave in the folder of a run that has not begun


class RunFolder:
    """The files of one run; made by ``opened``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.adapters, self.checkpoints = path / "adapters", path / "checkpoint"
        self.options, self.metrics, self.summary = path / "config.yaml", path / "metrics.jsonl", path / "summary.json"

    @property
    def has_trained(self) -> bool:
        """Whether anything of an iteration is there; where its first one failed, the run may begin again with other options."""
        versions = (*self.checkpoints.glob("[0-9]*"), *self.adapters.glob("*/[0-9]*"))
        if versions or not self.metrics.exists():
            return bool(versions)
        return not self.metrics.is_file() or b"\n" in self.metrics.read_bytes()  # reading a pipe would wait for ever

    def episodes(self, iteration: int) -> Path:
        """The file of an iteration's episodes."""
        return self.path / "episodes" / f"{iteration:06d}{jsonl.PACKED}"

    def alternatives(self, iteration: int) -> Path:
        """The file of the alternatives to them."""
        return self.path / "alternatives" / f"{iteration:06d}{jsonl.PACKED}"

    def begin(self, config: Config, iteration: int) -> None:
        """Write the options, and forget what was written after the checkpoint of that iteration (0: everything)."""
        text = to_yaml(config)
        if iteration and self.options.exists():
            note_changes(self.path, read(self.options), config, iteration)
        if iteration == 0 and self.options.exists() and self.options.read_text(encoding="utf-8") != text and not self.has_trained:
            log.warning("Nothing has been trained in %s yet: it begins with the options of this command.", self.path)
        replace_text(self.options, text)
        lines = self.metrics.read_text(encoding="utf-8", errors="replace").splitlines() if self.metrics.exists() else []
        kept = [line for line in lines if _iteration(line) <= iteration]
        replace_text(self.metrics, "".join(line + "\n" for line in kept))
        for file in (*jsonl.files(self.path / "episodes"), *jsonl.files(self.path / "alternatives")):
            if jsonl.name(file).isdecimal() and int(jsonl.name(file)) > iteration:
                jsonl.remove(file)
        self.summary.unlink(missing_ok=True)

    def forget_adapters(self, name: str, version: int) -> None:
        """Remove a learner's adapter folders later than the version, and those that are not complete."""
        for version_folder in (self.adapters / name).glob("[0-9]*"):
            if not version_folder.name.isdecimal() or int(version_folder.name) > version:
                shutil.rmtree(version_folder)

    def write(self, iteration: int, metrics: Mapping[str, Any], episodes: Sequence[Episode]) -> None:
        """Append one iteration's metrics and, where there are any, its episodes."""
        if own := [episode for episode in episodes if episode.alternative_to is None]:
            write_episodes(self.episodes(iteration), own)
        if others := [episode for episode in episodes if episode.alternative_to is not None]:
            write_episodes(self.alternatives(iteration), others)
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")

    def drop_end(self, iteration: int, every: int) -> None:
        """Remove the episodes of an iteration that were written only because the run ended there, when the run continues.

        So a run that was stopped or made longer leaves the same files as a run that was not.
        """
        if not due(iteration, every):
            for file in (self.episodes(iteration), self.alternatives(iteration)):
                file.unlink(missing_ok=True)


def check_folder(path: Path, config: Config, *, rates: bool = False) -> None:
    """UserError for a folder that holds anything but a run with these options, or one that trained nothing; writes nothing.

    ``rates``: whether learning rates may have changed.
    """
    run = RunFolder(path)
    if run.options.exists():
        begun = read(run.options)
        stored, given = (c.model_dump(mode="json", exclude=set(MAY_CHANGE)) for c in (begun, with_versions(config, begun)))
        if rates:
            stored, given = without_rates(stored), without_rates(given)
        if run.has_trained:
            check_same(f"The run {path}", stored, given, ANOTHER)
    elif path.exists() and {p.name for p in path.iterdir()} - BEFORE_A_RUN:
        raise UserError(f"The folder {path} is not empty and is no run (it has no config.yaml); give --run another folder.")


def finished(path: Path, config: Config) -> bool:
    """Whether the run in a folder has come to its end: it was evaluated after as many iterations as these options ask for."""
    summary = stored.summary(RunFolder(path).summary)
    return summary is not None and bool(summary.get("iterations") == config.iterations)


@contextmanager
def opened(path: Path, config: Config) -> Iterator[RunFolder]:
    """Lock the folder for a run with these options. A folder that holds anything but this run is left as it is, and a run that does
    not begin leaves no folder."""
    run = RunFolder(path)
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    check_folder(path, config, rates=True)
    path.mkdir(parents=True, exist_ok=True)
    with locked(path, f"The run folder {path}", ANOTHER):
        check_folder(path, config, rates=True)  # no other process can change it now
        try:
            yield run
        finally:
            if not run.options.exists():
                for leftover in BEFORE_A_RUN:
                    (path / leftover).unlink(missing_ok=True)
                with suppress(OSError):  # another process may have put something there
                    for folder in missing:
                        folder.rmdir()


def due(iteration: int, every: int) -> bool:
    """Whether the episodes of an iteration (from 1 on) are written wherever the run ends."""
    return (iteration - 1) % every == 0


def _iteration(line: str) -> int:
    """The iteration of a metrics line; a line that a crash cut short belongs to none."""
    try:
        return int(orjson.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62
