"""The state of a run, as a value.

RunState ── advance ──> RunState          checkpoint.py writes one to disk, beside the tensors that its versions name
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from detente.learning.curriculum import Chosen, Curriculum
from detente.options import LearnerConfig
from detente.records import Episode


@dataclass(frozen=True)
class Ahead:
    """The rollout of the next iteration, where it was played beside the last update, what its audit found, and what a curriculum
    had chosen for it."""

    episodes: tuple[Episode, ...]
    audit: Mapping[str, float] = field(default_factory=dict)
    plan: tuple[Chosen, ...] = ()


@dataclass(frozen=True)
class RunState:
    """The state before the next iteration.

    ``iteration``: how many are done. ``learners``: the version of each, which names its tensors in memory and on disk. ``pool``:
    the versions of each that are kept as opponents, in ascending order. ``spent``: what remote models have cost, by unit.
    ``backlog``: episodes that a later update trains on or a briefing tells of, in the order played. ``ahead``: the next
    rollout, where it is played already. ``curriculum``: what a curriculum remembers.
    """

    iteration: int
    learners: Mapping[str, int]
    pool: Mapping[str, tuple[int, ...]]
    spent: Mapping[str, int] = field(default_factory=dict)
    backlog: tuple[Episode, ...] = ()
    ahead: Ahead | None = None
    curriculum: Curriculum = field(default_factory=Curriculum)


def begun(learners: Iterable[str]) -> RunState:
    """The state before the first iteration."""
    names = tuple(learners)
    return RunState(0, dict.fromkeys(names, 0), dict.fromkeys(names, ()))


def to_train_on(options: LearnerConfig, backlog: Sequence[Episode], episodes: Sequence[Episode], done: int) -> list[Episode]:
    """The episodes of backlog and last iteration that a learner's update after ``done`` iterations trains on; [] if none is due."""
    if done % options.update_every:
        return []
    earlier = [] if options.collect == "last" else [e for e in backlog if e.iteration > done - options.update_every]
    return [*earlier, *episodes]


def left_over(learners: Mapping[str, LearnerConfig], episodes: Iterable[Episode], done: int) -> tuple[Episode, ...]:
    """The episodes that an update after more than ``done`` iterations trains on, or that a learner is told of."""
    waiting = {name: options for name, options in learners.items() if options.collect != "last" or options.briefing != "none"}
    updated = {name: done - done % options.update_every for name, options in waiting.items()}
    return tuple(e for e in episodes if any(name in updated and e.iteration > updated[name] for name in e.learners))
