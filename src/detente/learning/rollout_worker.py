"""Plays a share of an iteration's episodes in a process of its own, with engines of its own.

    Config ── open ──> policies on base models        seatings, adapters ── play ──> episodes

Players, matches and engines cannot be sent to another process, so they are made there, from values that can. A worker that began
anew has no adapters, and is given what it needs with every share.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from detente import matches, models
from detente.config import Config
from detente.copies import shared_names
from detente.learning.loading import by_base
from detente.learning.variation import games_by_group
from detente.policies import Policies
from detente.records import Episode, PolicyRef, Seating


def settle(config: Config, folder: str) -> None:
    """Make a worker's process like that of the run: in its working directory, where there is such a one, with its threads."""
    if Path(folder).is_dir():
        os.chdir(folder)
    if config.threads is not None:
        import torch

        torch.set_num_threads(config.threads)


class RolloutWorker:
    """The policies of a run in another process. ``folder`` is the run's working directory, from which it names adapters."""

    def __init__(self, config: Config, folder: str) -> None:
        self.config, self.folder = config, folder

    def open(self) -> None:
        """Load the base models, and what sits on seats without learning; UserError for what is missing here."""
        settle(self.config, self.folder)
        self.policies = Policies.of(self.config)
        shared = shared_names(self.config)
        for names in by_base(self.config):
            options = {name: self.config.learner(shared[name]) for name in names}
            base = models.load(options[names[0]].model, dtype=self.config.dtype, device=self.config.device)
            host = self.policies.use(base)
            for name, own in options.items():
                self.policies.learners[name] = (host, own.answer)
        for name in self.config.seats:
            if name not in self.config.learner_names:
                self.policies.resolve(name)

    def play(
        self,
        seatings: Sequence[Seating],
        stream: matches.Stream,
        adapters: Mapping[PolicyRef, Any],
        fetch: Callable[[Any], Any] = lambda stored: stored,
        settings: Mapping[int, Mapping[str, Any]] = MappingProxyType({}),
    ) -> list[Episode]:
        """One episode per seating, under these versions of learners. ``fetch`` gets the weights and configuration of one;
        ``settings`` are by group the parameters of the game that a curriculum has chosen."""
        for host, _ in self.policies.learners.values():
            for policy in host.engine.policies:
                if policy.name in self.policies.learners and policy not in adapters:
                    host.engine.retire(policy)
        for policy, stored in adapters.items():
            engine = self.policies.learners[policy.name][0].engine
            if not engine.serves(policy):
                engine.serve(policy, *fetch(stored))
        games = games_by_group(self.config, seatings[0].iteration - 1, settings) if seatings else {}
        game, concurrency = self.policies.game, self.config.concurrency
        return matches.play_sync(self.policies, game, seatings, stream=stream, games=games, concurrency=concurrency)

    def close(self) -> None:
        """Withdraw what servers were given; nothing can be played afterwards."""
        self.policies.close()
