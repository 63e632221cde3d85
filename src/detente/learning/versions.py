"""Which version of another run a run means that names it on a seat, or as its start: the one with which it began.

    start_from=runs/x ── with_versions ──> start_from=runs/x@40, also after runs/x has trained on, or is gone

Must not import torch.
"""

from __future__ import annotations

from detente.config import Config
from detente.learning.checks import start_of
from detente.policies import pinned


def with_versions(config: Config, begun: Config | None) -> Config:
    """The options with a version for every run that a frozen seat or a start names: the version with which this run began, else the
    newest.

    So they stay the same when the run that they name trains on. Of a run with several learners each starts from the one of its own
    name. UserError for a run without adapters.
    """
    before = begun if begun is not None and len(begun.seats) == len(config.seats) else None
    seats = [
        name if name in config.learner_names else _versioned(name, before.seats[seat] if before else None)
        for seat, name in enumerate(config.seats)
    ]
    old = {name: before.learner(name).start_from for name in before.learner_names} if before else {}
    starts = {name: _start(config.learner(name).start_from, name, old.get(name)) for name in config.learner_names}
    shared = {start for name, start in starts.items() if "start_from" not in config.learners.get(name, {})}
    apart = len(shared) > 1
    learners = {
        name: config.learners.get(name, {}) | {"start_from": start}
        for name, start in starts.items()
        if start and (apart or "start_from" in config.learners.get(name, {}))
    }
    start = None if apart else next(iter(shared), config.start_from)
    return config.model_copy(update={"seats": tuple(seats), "start_from": start, "learners": config.learners | learners})


def _start(source: str | None, learner: str, old: str | None) -> str | None:
    """Where a learner starts, with its version; ``old`` is where it started when the run began."""
    if source is None:
        return None
    place, at, version = source.rpartition("@") if "@" in source else (source, "", "")
    if old is not None and f"{place}/adapters/{learner}{at}{version}" in (old, old.rpartition("@")[0]):
        return old
    return _versioned(start_of(source, learner), old)


def _versioned(name: str, old: str | None) -> str:
    """The name with which a run began, where it is the same but for the version; else the name with its newest version."""
    return old if old is not None and name in (old, old.rpartition("@")[0]) else pinned(name)
