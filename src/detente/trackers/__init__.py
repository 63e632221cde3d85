"""Trackers: where a run's numbers go beside metrics.jsonl, as TensorBoard, Weights & Biases and trackio show them.

    trackers=[tensorboard,mine:Csv] ── check ──> all there? ── made ──> Tracker (base.py), which tracking.py hands iterations to

A tracker's library is imported when a run uses it, and is an extra of the same name.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from detente import foreign
from detente.errors import UserError, unknown

if TYPE_CHECKING:
    from detente.trackers.base import Tracker

TRACKERS = {"tensorboard": "TensorBoard", "wandb": "WandB", "trackio": "Trackio"}  # the module here, and the class in it
METHODS = ("begin", "log", "finish", "close")


def check(names: Sequence[str]) -> None:
    """UserError for a tracker that there is not, whose library is missing, or that is named twice; imports somebody's own."""
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"The tracker '{name}' is named twice in trackers; name each once.")
        made(name)


def made(name: str) -> Tracker:
    """The tracker of that name, or that ``module:attribute`` stands for; UserError where there is none."""
    if not foreign.is_foreign(name):
        return _of_package(name)
    try:
        tracker = foreign.imported(name, "tracker")()
    except Exception as error:
        raise foreign.fault(f"The tracker '{name}'", error) from error
    if lacking := [method for method in METHODS if not callable(getattr(tracker, method, None))]:
        raise UserError(f"'{name}' makes no tracker: {type(tracker).__name__} has no {', '.join(lacking)}; see docs/trackers.md.")
    return tracker  # type: ignore[no-any-return]


def _of_package(name: str) -> Tracker:
    if name not in TRACKERS:
        raise unknown("tracker", name, {*TRACKERS, "module:attribute"})
    try:
        module = importlib.import_module(f"detente.trackers.{name}")
    except ImportError as error:
        missing = f"The tracker {name} needs the package {name} ({foreign.said(error)})"
        raise UserError(f"{missing}; install it with: pip install 'detente[{name}]'.") from error
    return getattr(module, TRACKERS[name])()  # type: ignore[no-any-return]
