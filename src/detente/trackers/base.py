"""What a tracker is. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class TrackedRun:
    """A run as a tracker meets it, when training begins or goes on.

    ``name``: the end of the run folder's path. ``id``: 8 hex digits, the same whenever the run goes on. ``folder``: the tracker's
    own, RUN/trackers/NAME. ``options``: every option, nested as in config.yaml. ``iteration``: how many iterations are finished.
    ``handed``: the last iteration that this tracker was given, 0 for none; it may be later than ``iteration`` after a crash, and
    of this one alone it is not certain that the tracker has it.
    """

    name: str
    id: str
    folder: Path
    options: Mapping[str, Any]
    iteration: int
    handed: int


class Tracker(Protocol):
    """Shows a run; made without arguments. What a method raises is said once, and the run goes on without the tracker."""

    def begin(self, run: TrackedRun) -> int:
        """Open the run, a new one or one that goes on; returns the last iteration that is not to be logged again, 0 for none."""
        ...

    def log(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers of an iteration, named as in metrics.jsonl; iterations come in order, each once."""
        ...

    def finish(self, iteration: int, summary: Mapping[str, Any], files: Sequence[Path]) -> None:
        """The run is complete; ``files``: summary.json, and the report's page and pictures where they have been written."""
        ...

    def close(self) -> None:
        """Training has ended, or was stopped: write what waits to be written."""
        ...
