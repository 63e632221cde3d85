"""A run without a model: its options, and lines of metrics.jsonl."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from detente import config
from detente.config import Config
from detente.trackers.tracking import Tracking


class Run:
    """A run folder as the training loop leaves it, and the watcher of one tracker."""

    def __init__(self, path: Path, tracker: str) -> None:
        self.path, self.tracker = path, tracker
        self.config: Config = config.load("ipd", [f"trackers=[{tracker}]", "lora.rank=2"])
        path.mkdir(parents=True)

    def resume(self, iteration: int) -> Tracking:
        """Training begins, or goes on after an iteration: what metrics.jsonl holds of later ones is gone."""
        lines = self.lines()[:iteration]
        (self.path / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
        watcher = Tracking(self.tracker)
        watcher.start(self.config, self.path, iteration)
        return watcher

    def iterate(self, watchers: Sequence[Tracking], iteration: int) -> None:
        """An iteration is on disk, of which these watchers hear."""
        line = {"iteration": iteration, "reward/main": iteration / 4, "time/total_s": 0.5, "vs/random/reward/main": None}
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        for watcher in watchers:
            watcher.iteration(line)

    def finish(self, watcher: Tracking) -> None:
        """The run is complete."""
        summary = {"iterations": len(self.lines()), "learners": {"main": {"algorithm": "reinforce"}}}
        (self.path / "summary.json").write_text(json.dumps(summary))
        watcher.finish(summary)

    def lines(self) -> list[str]:
        """Those of metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def begun(tmp_path: Path) -> Callable[[str], Run]:
    """``begun("tensorboard")``: a run with this tracker, of which nothing is trained yet."""
    return lambda tracker: Run(tmp_path / "runs" / "x", tracker)
