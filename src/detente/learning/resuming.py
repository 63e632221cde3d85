"""Saving a run after an iteration, and resuming it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from detente.errors import UserError, counted
from detente.learning import checkpoint, starting
from detente.learning.pool import remove_dropped, write_due
from detente.learning.run_folder import RunFolder, due
from detente.learning.session import Session
from detente.learning.state import RunState, begun
from detente.records import Episode

log = logging.getLogger(__name__)


def save(
    session: Session,
    folder: RunFolder,
    state: RunState,
    metrics: dict[str, Any],
    episodes: Sequence[Episode],
    *,
    last: bool,
    stopped: bool,
) -> None:
    """Write an iteration: metrics, and adapters, episodes and checkpoint where they are due or the run ends.

    ``last``: training is complete; ``stopped``: it was interrupted.
    """
    options, ends = session.config.record, last or stopped
    write_due(session, folder, state, last=last)
    folder.write(state.iteration, metrics, episodes if ends or due(state.iteration, options.episodes_every) else ())
    folder.drop_end(state.iteration - 1, options.episodes_every)
    if ends or state.iteration % options.checkpoint_every == 0:
        checkpoint.write(folder.checkpoints, checkpoint.capture(state, session.learners, session.fingerprints))
        remove_dropped(session, folder, state)


def resume(session: Session, folder: RunFolder) -> RunState:
    """Restore the newest checkpoint, or begin where the learners start, and remove what the folder holds of later iterations."""
    saved = checkpoint.read_newest(folder.checkpoints)
    state = begun(session.learners) if saved is None else saved.state
    if saved is not None:
        _check_bases(session, folder, saved.bases)
        checkpoint.restore(saved, session.learners)
        checkpoint.remove_older(folder.checkpoints)
        session.policies.remote.budget.spent = dict(state.spent)
    else:
        starting.start(session, folder)
    asked = session.config.iterations
    if state.iteration > asked:
        raise UserError(
            f"The run {folder.path} has {counted(state.iteration, 'iteration')} already; iterations={asked} is less than that."
        )
    folder.begin(session.config, state.iteration)
    for name, version in state.learners.items():
        folder.forget_adapters(name, version)
    if saved is None:
        starting.keep(session, folder)
    remove_dropped(session, folder, state)
    return state


def _check_bases(session: Session, folder: RunFolder, bases: Mapping[str, str]) -> None:
    """UserError unless the checkpoint's base models are the session's."""
    for name, host in session.hosts.items():
        if not host.base.known_as(bases.get(name, "")):
            raise UserError(
                f"The learner '{name}' of the run {folder.path} was trained on another '{host.base.name}' than there is now: its "
                "weights, configuration, tokenizer or chat template have changed; give --run another folder to train on this one."
            )
    if bases != session.fingerprints:
        note = "The run %s was bound to the first numbers of its base model; from now on it is bound to the whole of it."
        log.warning(note, folder.path)
