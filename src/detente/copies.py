"""Copies of a learner: independent learners that share a name in ``seats``, and the groups of episodes between them.

    rival, copies 4 ──> rival_0 ... rival_3        group g is played, and learned from, by rival_{g % 4}

What a reader sees of them, metrics and the evaluation, is that of the name that they share. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from detente.config import Config
from detente.records import Episode


def copies(config: Config, name: str) -> tuple[str, ...]:
    """The learners behind the name of a seat: itself where there is one alone."""
    count = config.learner(name).copies
    return (name,) if count == 1 else tuple(f"{name}_{number}" for number in range(count))


def all_learners(config: Config) -> tuple[str, ...]:
    """Every learner, copies apart."""
    return tuple(learner for name in config.learner_names for learner in copies(config, name))


def shared_names(config: Config) -> dict[str, str]:
    """Every learner -> the name that it has in ``config.seats``."""
    return {learner: name for name in config.learner_names for learner in copies(config, name)}


def with_shared_names(config: Config, episodes: Sequence[Episode]) -> Sequence[Episode]:
    """The episodes with the names in ``config.seats`` in place of those of copies."""
    shared = shared_names(config)
    if len(shared) == len(config.learner_names):
        return episodes
    return [replace(e, learners=tuple(name and shared[name] for name in e.learners)) for e in episodes]


def averaged(config: Config, metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """The metrics with the mean over copies in place of those of each."""
    shared = {learner: name for learner, name in shared_names(config).items() if learner != name}
    values: dict[str, list[float | None]] = {}
    for key, value in metrics.items():
        values.setdefault("/".join(shared.get(part, part) for part in key.split("/")), []).append(value)
    return {key: _mean(same) if len(same) > 1 else same[0] for key, same in values.items()}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
