"""Weights & Biases: a run of a project, whose files lie in RUN/trackers/wandb.

Without a network, WANDB_MODE=offline keeps the files there for ``wandb sync``. The project is WANDB_PROJECT, or detente. Rows
cannot be taken back: an iteration that is played again after a crash stays as it was.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from detente.errors import UserError
from detente.files import dotted
from detente.trackers.base import TrackedRun

FINISH_S = 300.0  # that the end of a training waits for uploads


class WandB:
    """A run on the servers of Weights & Biases, or in files for them."""

    def begin(self, run: TrackedRun) -> int:
        """Open the run under its id; UserError where nobody is logged in, as nobody can be asked then."""
        if wandb.setup().settings.mode == "online" and not wandb.login(prompt=False):
            raise UserError("Nobody is logged in; run 'wandb login', or set WANDB_MODE=offline.")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "detente"),
            id=run.id,
            name=run.name,
            dir=run.folder,
            config=dict(run.options),
            resume="allow",
            settings=wandb.Settings(console="off", quiet=True, finish_timeout=FINISH_S),
        )
        return run.handed

    def log(self, iteration: int, numbers: Mapping[str, float]) -> None:
        """A row of the history."""
        self._run.log(dict(numbers), step=iteration, commit=True)

    def finish(self, iteration: int, summary: Mapping[str, Any], files: Sequence[Path]) -> None:
        """The summary with dotted names, and the files as an artifact."""
        self._run.summary.update(dotted(summary))
        report = wandb.Artifact(f"report-{self._run.id}", type="report")
        for file in files:
            report.add_file(str(file))
        self._run.log_artifact(report)

    def close(self) -> None:
        """Write and send what waits."""
        self._run.finish()
