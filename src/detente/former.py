"""Names of before: options and presets that were renamed still work under what they were called.

    answer.policy=free ── renamed ──> answer.decoding=free, and one sentence that says so

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
