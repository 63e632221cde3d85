"""The opponent pool: which versions of the learners are kept, and their adapters on disk.

versions after an iteration ── joined ──> pool ── write_due, remove_dropped ──> adapters/NAME/NNNNNN/
"""

from __future__ import annotations

from collections.abc import Mapping

from detente import adapters
from detente.config import Config
from detente.copies import shared_names
from detente.learning.opponents import thinned
from detente.learning.run_folder import RunFolder
from detente.learning.session import Session
from detente.learning.state import RunState

Pool = Mapping[str, tuple[int, ...]]


def joined(config: Config, pool: Pool, learners: Mapping[str, int], done: int) -> Pool:
    """The pool after so many iterations; ``learners`` are the present versions, which join it every ``opponents.keep_every``,
    except those of learners with a lifetime."""
    if done % config.opponents.keep_every:
        return pool
    most, shared = config.opponents.max_kept, shared_names(config)
    stays = {name for name in pool if learners[name] in pool[name] or config.learner(shared[name]).lifetime is not None}
    return {name: old if name in stays else tuple(thinned([*old, learners[name]], most)) for name, old in pool.items()}


def write_due(session: Session, folder: RunFolder, state: RunState, *, last: bool) -> None:
    """Write the present adapters if they are in the pool, or at the end of training. A version is written once."""
    for name, learner in session.learners.items():
        target = adapters.version_folder(folder.adapters, name, learner.version)
        if (last or learner.version in state.pool[name]) and not target.exists():
            adapters.save(target, learner.weights(), learner.lora, session.hosts[name].base)


def remove_dropped(session: Session, folder: RunFolder, state: RunState) -> None:
    """Remove the adapters that have left the pool, except those of the newest checkpoint, which a resumed run needs."""
    if session.config.opponents.max_kept is None:
        return
    for name, versions in state.pool.items():
        for version in adapters.versions_in(folder.adapters / name):
            if version not in versions and version < max(versions, default=0):  # a later one is the final version of a run
                adapters.remove(adapters.version_folder(folder.adapters, name, version))
