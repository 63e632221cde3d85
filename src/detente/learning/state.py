"""Where a run stands, as a value.

RunState ── advance ──> RunState          checkpoint.py writes one to disk, beside the tensors that its versions name
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RunState:
    """What the next iteration begins with.

    ``iteration``: how many are done. ``learners``: the version of each, which names its tensors in memory and on disk. ``pool``:
    the versions of each that are kept as opponents, in ascending order. ``spent``: what remote models have cost, by unit.
    """

    iteration: int
    learners: Mapping[str, int]
    pool: Mapping[str, tuple[int, ...]]
    spent: Mapping[str, int] = field(default_factory=dict)


def begun(learners: Iterable[str]) -> RunState:
    """The state of a run in which nothing has happened."""
    names = tuple(learners)
    return RunState(0, dict.fromkeys(names, 0), dict.fromkeys(names, ()))
