"""Hands a run to a tracker, each iteration once, also where the run was killed and plays an iteration again.

    metrics.jsonl ── iterations that the tracker has not ──┐
    training loop ── each new iteration ───────────────────┴──> Tracker      RUN/trackers/NAME/state.json: id, last one handed over

What is handed over is noted first, so that nothing is handed over twice. Must not import torch.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from detente import stored, trackers
from detente.config import Config
from detente.errors import UserError
from detente.files import folder_name, read_json, replace_text
from detente.foreign import said
from detente.learning.watchers import Watcher
from detente.trackers.base import TrackedRun, Tracker

STATE = "state.json"
log = logging.getLogger(__name__)


class Tracking(Watcher):
    """Hands a run to the tracker of this name. One that fails is left out from then on, with a warning."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tracker: Tracker | None = None

    def start(self, config: Config, run: Path, first_iteration: int) -> None:
        """Open the tracker, and hand over the finished iterations that it has not."""
        with self._failing():
            self.run, self.folder = run, run / "trackers" / folder_name(self.name)
            self.folder.mkdir(parents=True, exist_ok=True)
            self.id, handed = _read(self.folder / STATE)
            self.tracker = trackers.made(self.name)
            name = "/".join(run.resolve().parts[-2:])
            options = config.model_dump(mode="json")
            self.has = self.tracker.begin(TrackedRun(name, self.id, self.folder, options, first_iteration, handed))
        for metrics in stored.metrics(run / "metrics.jsonl"):
            self.iteration(metrics)

    def iteration(self, metrics: dict[str, Any]) -> None:
        """Hand over an iteration, unless the tracker has it."""
        with self._failing():
            if self.tracker is not None and (iteration := int(metrics["iteration"])) > self.has:
                replace_text(self.folder / STATE, json.dumps({"id": self.id, "handed": iteration}) + "\n")
                self.tracker.log(iteration, numbers(metrics))
                self.has = iteration

    def finish(self, summary: dict[str, Any]) -> None:
        """Hand over the summary, with the report if it is of this summary."""
        with self._failing():
            if self.tracker is not None:
                self.tracker.finish(int(summary["iterations"]), summary, [self.run / "summary.json", *_report(self.run)])

    def close(self) -> None:
        """Close the tracker."""
        tracker, self.tracker = self.tracker, None
        with self._failing():
            if tracker is not None:
                tracker.close()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Say what fails inside, and do without the tracker from then on."""
        try:
            yield
        except Exception as error:
            reason = str(error).rstrip(".") if isinstance(error, UserError) else said(error)
            log.warning("The tracker %s has failed, and the run goes on without it: %s.", self.name, reason)
            tracker, self.tracker = self.tracker, None
            if tracker is not None:
                with suppress(Exception):
                    tracker.close()


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers in a line of metrics.jsonl, without its iteration and what has no value."""
    return {key: value for key, value in metrics.items() if isinstance(value, int | float) and key != "iteration"}


def _read(path: Path) -> tuple[str, int]:
    """The run's id at the tracker and the last iteration handed over; a new id and 0 where there is no file."""
    if not path.exists():
        return uuid.uuid4().hex[:8], 0
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("id"), str) and isinstance(content.get("handed"), int):
        return content["id"], content["handed"]
    raise UserError(f"{path} cannot be read as what was handed to a tracker; remove it, and the tracker begins anew.")


def _report(run: Path) -> list[Path]:
    """The page and the pictures of a report that is not older than the summary."""
    page, summary = run / "report" / "index.html", run / "summary.json"
    if not page.exists() or page.stat().st_mtime < summary.stat().st_mtime:
        return []
    return [page, *sorted(page.parent.glob("*.png"))]
