"""Watchers hear what happens in a run: the terminal's display, a tracker, a class of yours.

    training loop ── start, episode, evaluating, iteration, stopping, finish, close ──> every watcher in turn
                  <── should_stop ── any of them

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detente.config import Config
from detente.errors import UserError


class Watcher:
    """Derive from it and write the methods that you need; the others do nothing. What a method raises ends the training."""

    def start(self, config: Config, run: Path, first_iteration: int) -> None:
        """Training begins, or goes on, after ``first_iteration`` finished iterations."""

    def episode(self) -> None:
        """One more training episode finished; with ``overlap=1`` told from the thread that plays beside an update."""

    def evaluating(self, name: str) -> None:
        """The part of an evaluation that is called ``name`` begins."""

    def should_stop(self, metrics: dict[str, Any]) -> bool:
        """Whether training ends with this iteration, as if it were the last; asked before anything of it is saved."""
        return False

    def iteration(self, metrics: dict[str, Any]) -> None:
        """An iteration is on disk; ``metrics`` is its line of metrics.jsonl."""

    def stopping(self) -> None:
        """Ctrl-C was heard; training stops when the iteration is saved."""

    def finish(self, summary: dict[str, Any]) -> None:
        """The run is complete; ``summary`` is its summary.json."""

    def close(self) -> None:
        """Training has ended, was stopped, or has failed, perhaps before ``start``; the last call of all."""


class Watchers(Watcher):
    """Several watchers as one: each is called in turn, and any of them can stop the training."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        """UserError for what is no watcher."""
        self.watchers = tuple(watchers)
        for watcher in self.watchers:
            if any(not callable(getattr(watcher, name, None)) for name in vars(Watcher) if not name.startswith("_")):
                raise UserError(f"{type(watcher).__name__} cannot watch a run: derive it from detente.Watcher.")

    def start(self, config: Config, run: Path, first_iteration: int) -> None:
        """Call every watcher."""
        for watcher in self.watchers:
            watcher.start(config, run, first_iteration)

    def episode(self) -> None:
        """Call every watcher."""
        for watcher in self.watchers:
            watcher.episode()

    def evaluating(self, name: str) -> None:
        """Call every watcher."""
        for watcher in self.watchers:
            watcher.evaluating(name)

    def should_stop(self, metrics: dict[str, Any]) -> bool:
        """Ask every watcher, also after a watcher has said yes."""
        answers = [watcher.should_stop(metrics) for watcher in self.watchers]
        return any(answers)

    def iteration(self, metrics: dict[str, Any]) -> None:
        """Call every watcher."""
        for watcher in self.watchers:
            watcher.iteration(metrics)

    def stopping(self) -> None:
        """Call every watcher."""
        for watcher in self.watchers:
            watcher.stopping()

    def finish(self, summary: dict[str, Any]) -> None:
        """Call every watcher."""
        for watcher in self.watchers:
            watcher.finish(summary)

    def close(self) -> None:
        """Call every watcher."""
        for watcher in self.watchers:
            watcher.close()
