"""Learning rates may change when a run goes on; its folder says which, and from which iteration on.

    detente train runs/x optimizer.lr=1e-4 ──> config.yaml has the new rate, changes.json the old one and where the new one begins

A run without such changes has no changes.json. Must not import torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detente import stored
from detente.config import Config
from detente.files import dotted, replace_text

RATES = ("lr", "lr_final", "critic_lr")  # of ``optimizer``, the run's and each learner's
FILE = "changes.json"


def without_rates(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options, nested as in config.yaml, without the learning rates of the run and of its learners."""
    learners = {name: (own, _without_own_rates(own)) for name, own in options["learners"].items()}
    return _without_own_rates(options) | {"learners": {name: rest for name, (own, rest) in learners.items() if rest or not own}}


def _without_own_rates(options: Mapping[str, Any]) -> dict[str, Any]:
    optimizer = {key: value for key, value in (options.get("optimizer") or {}).items() if key not in RATES}
    rest = {key: value for key, value in options.items() if key != "optimizer"}
    return rest | ({"optimizer": optimizer} if optimizer else {})


def note_changes(run: Path, before: Config, now: Config, iteration: int) -> None:
    """Write which rates the iterations after this one have that those up to it had not.

    What was noted of later iterations, which a crash has undone, no longer counts.
    """
    file = run / FILE
    noted = stored.changes(file)
    old = _rates(before) | {change["option"]: change["before"] for change in reversed(noted) if change["iteration"] > iteration}
    new = _rates(now)
    changes = [change for change in noted if change["iteration"] <= iteration]
    for option in dict.fromkeys([*old, *new]):
        if old.get(option) != new.get(option):
            change = {"iteration": iteration + 1, "option": option, "before": old.get(option), "after": new.get(option)}
            changes.append(change)
    if changes != list(noted):
        replace_text(file, json.dumps(changes, indent=2) + "\n")


def _rates(config: Config) -> dict[str, float | None]:
    """``optimizer.lr``, ``learners.rival.optimizer.lr`` ... as far as the options name them."""
    options = dotted(config.model_dump(mode="json", include={"optimizer", "learners"}))
    return {key: value for key, value in options.items() if key.split(".")[-2:][0] == "optimizer" and key.split(".")[-1] in RATES}
