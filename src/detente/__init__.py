"""detente trains language-model agents with multi-agent reinforcement learning in social dilemmas, and measures what they became.

    import detente
    episodes = detente.play("ipd", ["tit_for_tat", "always_defect"])
    detente.train(detente.load("ipd", ["algorithm=reinforce"]), "runs/mine")

Names are imported when they are first used, so that games and reports never load torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# Threads that wait for each other by spinning make torch ten times slower as soon as anything else runs on the machine. Read by
# OpenMP when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from detente.api import arena as arena
    from detente.api import attacks as attacks
    from detente.api import best_response as best_response
    from detente.api import fingerprint as fingerprint
    from detente.api import play as play
    from detente.api import train as train
    from detente.api import transfer as transfer
    from detente.api import worst_case as worst_case
    from detente.comparisons import coopeval as coopeval
    from detente.config import Config as Config
    from detente.config import load as load
    from detente.errors import UserError as UserError
    from detente.explained import preferences as preferences
    from detente.export.values import read_episodes as read_episodes
    from detente.export.values import read_metrics as read_metrics
    from detente.export.values import read_turns as read_turns
    from detente.games import make as make
    from detente.games.base import Game as Game
    from detente.games.contract import check_game as check_game
    from detente.learning.watchers import Watcher as Watcher
    from detente.records import Episode as Episode
    from detente.reports import report as report
    from detente.sweeps.sweep import read_sweep as read_sweep
    from detente.sweeps.sweep import sweep as sweep
    from detente.sweeps.sweep import sweep_report as sweep_report

_HOMES = {
    "arena": "detente.api",
    "attacks": "detente.api",
    "best_response": "detente.api",
    "coopeval": "detente.comparisons",
    "fingerprint": "detente.api",
    "play": "detente.api",
    "train": "detente.api",
    "transfer": "detente.api",
    "worst_case": "detente.api",
    "Config": "detente.config",
    "load": "detente.config",
    "UserError": "detente.errors",
    "preferences": "detente.explained",
    "read_episodes": "detente.export.values",
    "read_metrics": "detente.export.values",
    "read_turns": "detente.export.values",
    "make": "detente.games",
    "Game": "detente.games.base",
    "check_game": "detente.games.contract",
    "Watcher": "detente.learning.watchers",
    "Episode": "detente.records",
    "report": "detente.reports",
    "read_sweep": "detente.sweeps.sweep",
    "sweep": "detente.sweeps.sweep",
    "sweep_report": "detente.sweeps.sweep",
}
__all__ = [
    "Config",
    "Episode",
    "Game",
    "UserError",
    "Watcher",
    "arena",
    "attacks",
    "best_response",
    "check_game",
    "coopeval",
    "fingerprint",
    "load",
    "make",
    "play",
    "preferences",
    "read_episodes",
    "read_metrics",
    "read_sweep",
    "read_turns",
    "report",
    "sweep",
    "sweep_report",
    "train",
    "transfer",
    "worst_case",
]


def __getattr__(name: str) -> Any:
    """The public name, imported from where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module 'detente' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, also those that are not imported yet."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
