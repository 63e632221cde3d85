"""An adversary that teaches: it meets copies of the agent which learn between the episodes of a trial, and profits from it later.

    agent ── copies that start as it, anew with every trial ──> trials ──> a shaper, and what both get from episode to episode

The roles are those of ShapeLLM (a learner in trials against naive learners). See docs/trials.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detente.config import Config, load
from detente.errors import UserError
from detente.evaluation.best_response import LEARNER, REPLACED, RESPONDER, point, responder_config
from detente.games import configured, make
from detente.learning.run_folder import RunFolder
from detente.policies import located

STUDENT = "student"  # the learner that starts as the agent
TRIAL = 5  # episodes
MOST_COPIES = 16
FASTER = {LEARNER: 5, STUDENT: 10}  # times the preset's step: a student has as many updates as a trial has episodes
GROUPS = "group_size=4"  # many small ones, for copies to share out among them
IN_TRIALS = (
    f"learners.{LEARNER}.update_every={TRIAL}",
    f"learners.{LEARNER}.collect=trial",
    f"learners.{LEARNER}.briefing=counts",
    f"learners.{LEARNER}.credit.gamma=1",
    f"learners.{LEARNER}.credit.baseline=batch",
    f"learners.{LEARNER}.credit.whiten=true",
    f"learners.{STUDENT}.lifetime={TRIAL}",
)


def shaper_config(
    preset: str,
    against: str,
    overrides: Sequence[str] = (),
    *,
    trust: bool = False,
    role: str | None = None,
    start: str | None = None,
) -> Config:
    """A best responder's options, where learners that start as the agent sit on the agent's seats and the responder, which starts
    from ``start``, plays trials with them. UserError for an agent that cannot learn, fewer than two groups an iteration, and fewer
    iterations than a trial has."""
    alone = responder_config(preset, against, [GROUPS, *overrides], trust=trust, role=role)
    if located(against, make(**alone.game))[1] is None:
        raise UserError(f"'{against}' has no adapter, so it does not learn and nobody can shape it; leave out the aim shaper.")
    groups = alone.episodes // alone.group_size
    if groups < 2:
        raise UserError("A shaper compares what became of several copies of the agent; let episodes be twice group_size or more.")
    if alone.iterations < TRIAL:
        raise UserError(f"A trial of a shaper has {TRIAL} iterations; set iterations={TRIAL} or more.")
    seats = [name if name in alone.learner_names else STUDENT for name in alone.seats]
    own = [
        f"seats={json.dumps(seats)}",
        f"learners.{LEARNER}.start_from={json.dumps(start)}",
        f"learners.{STUDENT}.start_from={json.dumps(against)}",
        f"learners.{STUDENT}.copies={max(count for count in range(1, MOST_COPIES + 1) if groups % count == 0)}",
        *(f"learners.{name}.optimizer.lr={times * alone.optimizer.lr}" for name, times in FASTER.items()),
        *(f"learners.{name}.optimizer.lr_final=null" for name in FASTER),
    ]
    return load(preset, [*RESPONDER, GROUPS, *IN_TRIALS, *own, *overrides], trust=trust, without=REPLACED)


def while_learning(config: Config, run: Path) -> dict[str, Any] | None:
    """What the shaper and the learning agent get in each episode of the last whole trial, in points per round, with intervals over
    groups; None where the trial is not recorded."""
    game, last = configured(config.game, config.measures), config.iterations // TRIAL * TRIAL
    files = [RunFolder(run).episodes(iteration) for iteration in range(last - TRIAL + 1, last + 1)]
    if not all(file.is_file() for file in files):
        return None
    points = [point(game, file) for file in files]
    return {
        "trials": config.iterations // TRIAL,
        "reward": [episode["responder"] for episode in points],
        "agent_reward": [episode["agent"] for episode in points],
    }
