"""trackio: a run of the project detente, in its local store, or where TRACKIO_SPACE_ID or TRACKIO_SERVER_URL say.

``trackio show --project detente`` opens its pages. Rows cannot be taken back: an iteration that is played again after a crash
stays as it was.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trackio
from trackio.sqlite_storage import SQLiteStorage

from detente.files import dotted, folder_name
from detente.trackers.base import TrackedRun

PROJECT = "detente"
ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")  # where these say, the local store holds nothing


class Trackio:
    """A run in trackio's store, found again by its name, which ends in its id."""

    def begin(self, run: TrackedRun) -> int:
        """Open the run; its local store says what it has, as it is written in the background, and a crash may lose a row."""
        name = f"{folder_name(run.name)}-{run.id}"
        config = dotted(run.options)
        self._run = trackio.init(PROJECT, name, config=config, resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False)
        if any(os.environ.get(variable) for variable in ELSEWHERE):
            return run.handed
        return SQLiteStorage.get_max_step_for_run(PROJECT, name, run_id=self._run.id) or 0

    def log(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """A row."""
        self._run.log(dict(numbers), step=iteration)

    def finish(self, iteration: int, summary: Mapping[str, Any], files: Sequence[Path]) -> None:
        """The files as an artifact, with the summary as its metadata."""
        report = trackio.Artifact(f"report-{self._run.name}", type="report", metadata=dict(summary))
        for file in files:
            report.add_file(str(file))
        self._run.log_artifact(report)

    def close(self) -> None:
        """Write what waits."""
        self._run.finish()
