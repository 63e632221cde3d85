"""Names of before: options and presets that were renamed still work under what they were called.

    answer.policy=free ── renamed ──> answer.decoding=free, and one sentence that says so
    config.yaml of before an option ── completed ──> the option with the value that it then had unsaid

Standard library only.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from detente.errors import UserError

OPTIONS = {"answer.policy": "answer.decoding"}
PRESETS = {f"{game}_causal": f"{game}_paper_causal" for game in ("ipd", "split_no_comm", "trust_and_split")}
BLOCKS = ("algorithms", "learners")  # map names to options that are called as those of the whole run

log = logging.getLogger(__name__)


def renamed(options: dict[str, Any], *, notice: bool = True) -> dict[str, Any]:
    """Options under the names of today; ``notice`` says once per process and option that its name is of before.

    UserError where an option stands there under both of its names.
    """
    for former, present in OPTIONS.items():
        options = _moved(options, former, present, notice)
    for block in BLOCKS:
        if isinstance(named := options.get(block), dict):
            inner = {name: renamed(own, notice=notice) if isinstance(own, dict) else own for name, own in named.items()}
            options = options | {block: inner}
    return options


def completed(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a run folder with what those of earlier versions meant without saying so.

    ``credit.weight_baseline``: without a baseline of the credit there was none in the shaping weight either.
    """
    credit = options.get("credit")
    if not isinstance(credit, dict) or "weight_baseline" in credit:
        return options
    if isinstance(learners := options.get("learners"), dict):
        named = {name: _with_weight_baseline(own) if isinstance(own, dict) else own for name, own in learners.items()}
        options = options | {"learners": named}
    return _with_weight_baseline(options)


def _with_weight_baseline(options: dict[str, Any]) -> dict[str, Any]:
    credit = options.get("credit")
    if not isinstance(credit, dict) or "baseline" not in credit:
        return options
    return options | {"credit": credit | {"weight_baseline": "none" if credit["baseline"] == "none" else None}}


def _moved(options: dict[str, Any], former: str, present: str, notice: bool) -> dict[str, Any]:
    """Options with the value of one of them, if it is set, under its other dotted name. Both lie in the same mapping."""
    *groups, old = former.split(".")
    new = present.rpartition(".")[2]
    path: list[dict[str, Any]] = [options]
    for group in groups:
        inner = path[-1].get(group)
        if not isinstance(inner, dict):
            return options
        path.append(inner)
    if old not in path[-1]:
        return options
    if new in path[-1]:
        raise UserError(f"The option {present} is given twice: {former} is its former name; leave that out.")
    if notice:
        _notice(former, present)
    changed = {new if key == old else key: value for key, value in path[-1].items()}
    for group, outer in zip(reversed(groups), reversed(path[:-1]), strict=True):
        changed = outer | {group: changed}
    return changed


@cache
def _notice(former: str, present: str) -> None:
    log.warning("The option %s is now called %s; its former name still works.", former, present)
