"""Training, top to bottom.

    for each iteration:  who plays whom -> rollout -> audit -> one update per learner -> serve the new version -> save

Killing the process at any point loses at most the current iteration: what an iteration writes counts once its checkpoint is there.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from detente import matches
from detente.config import Config, read
from detente.errors import UserError, room_for
from detente.evaluation.final import evaluate, flat
from detente.evaluation.measures import Side, measured, measures
from detente.files import replace_text
from detente.learning import adapters, checkpoint
from detente.learning.audit import audit, tolerance
from detente.learning.batch import trajectories
from detente.learning.health import NotFiniteError, stopped
from detente.learning.opponents import seatings, thinned
from detente.learning.run_folder import RunFolder, due, opened
from detente.learning.session import Session, open_session, with_versions
from detente.policies import check
from detente.records import Episode, PolicyRef, Seating
from detente.signals import when_saved

log = logging.getLogger(__name__)


class Progress(Protocol):
    """Whoever wants to watch a run."""

    def start(self, config: Config, run: Path, first_iteration: int) -> None: ...
    def episode(self) -> None: ...
    def iteration(self, metrics: dict[str, Any]) -> None: ...
    def evaluating(self, name: str) -> None: ...
    def stopping(self) -> None: ...
    def finish(self, summary: dict[str, Any]) -> None: ...


def train(config: Config, run: Path, *, progress: Progress | None = None) -> Path:
    """Train until ``config.iterations`` and write summary.json; goes on where an existing run folder stopped.

    Ctrl-C and SIGTERM stop after the current iteration is saved (KeyboardInterrupt). UserError for options, models or folders that
    do not fit.
    """
    check(config)
    watch = progress or Silent()
    options = run / "config.yaml"
    config = with_versions(config, read(options) if options.exists() else None)
    with opened(run, config) as folder:
        session = open_session(config)
        with when_saved(watch.stopping) as wished:
            done, kept = resume(session, folder)
            session.publish()
            watch.start(config, run, done)
            for iteration in range(done, config.iterations):
                try:
                    metrics, episodes = advance(session, folder, kept, iteration, watch)
                except NotFiniteError as error:
                    raise stopped(error, run, iteration + 1, checkpoint.newest(folder.checkpoints)) from error
                stop = wished()
                ends = stop or iteration + 1 == config.iterations
                folder.write(iteration + 1, metrics, episodes if ends or due(iteration + 1, config.record.episodes_every) else ())
                folder.drop_end(iteration, config.record.episodes_every)
                if ends or (iteration + 1) % config.record.checkpoint_every == 0:
                    save(session, folder, kept, iteration + 1)
                watch.iteration(metrics)
                if stop:
                    raise stop
        watch.finish(summarise(session, folder, watch))
    return run


def advance(
    session: Session, folder: RunFolder, kept: dict[str, list[int]], iteration: int, watch: Progress
) -> tuple[dict[str, Any], list[Episode]]:
    """One iteration: rollout, audit, update, and the evaluation where it is due; returns its metrics and episodes."""
    config = session.config
    started = time.perf_counter()
    episodes = rollout(session, folder, seatings(config, iteration, session.present, kept), iteration, watch)
    rolled_out = time.perf_counter()
    metrics: dict[str, Any] = {"iteration": iteration + 1}
    metrics |= play_metrics(session, episodes) | check_served(session, folder, episodes, iteration)
    metrics |= update(session, episodes, iteration)
    metrics |= {f"remote/{what}": count for what, count in session.policies.remote.budget.spent.items()}
    session.publish()
    keep(session, folder, kept, iteration)
    metrics |= {"time/rollout_s": rolled_out - started, "time/update_s": time.perf_counter() - rolled_out}
    if config.evaluation.every and (iteration + 1) % config.evaluation.every == 0:
        metrics |= flat(evaluate(config, session.game, session.policies, session.present, iteration + 1, watch.evaluating))
    metrics["time/total_s"] = time.perf_counter() - started
    return metrics, episodes


def resume(session: Session, folder: RunFolder) -> tuple[int, dict[str, list[int]]]:
    """Put the session where the newest checkpoint left it; returns the iterations done and the versions kept per learner."""
    state = checkpoint.read_newest(folder.checkpoints)
    if state is None:
        state = checkpoint.capture(0, session.learners, {name: [] for name in session.learners})
    elif not session.base.known_as(state.base):
        raise UserError(
            f"The run {folder.path} was trained on another '{session.base.name}' than there is now: its weights, configuration, "
            "tokenizer or chat template have changed; give --run another folder to train on this one."
        )
    else:
        if state.base != session.base.fingerprint:
            note = "The run %s was bound to the first numbers of its base model; from now on it is bound to the whole of it."
            log.warning(note, folder.path)
        checkpoint.restore(state, session.learners)
        checkpoint.remove_older(folder.checkpoints)
        session.policies.remote.budget.spent = dict(state.spent)
    asked = session.config.iterations
    if state.iteration > asked:
        raise UserError(f"The run {folder.path} has {state.iteration} iterations already; iterations={asked} is less than that.")
    folder.begin(session.config, state.iteration)
    for name in session.learners:
        folder.forget_adapters(name, state.versions[name])
    remove_dropped(session, folder, state.kept)
    return state.iteration, state.kept


def save(session: Session, folder: RunFolder, kept: dict[str, list[int]], done: int) -> None:
    """Write the checkpoint after so many iterations."""
    spent = session.policies.remote.budget.spent
    checkpoint.write(folder.checkpoints, checkpoint.capture(done, session.learners, kept, session.base.fingerprint, spent))
    remove_dropped(session, folder, kept)


def rollout(
    session: Session, folder: RunFolder, tables: Sequence[Sequence[Seating]], iteration: int, watch: Progress
) -> list[Episode]:
    """Play every group of the iteration; the episodes of a group share their game seed."""
    config = session.config
    session.serve_kept(folder.adapters, {policy for row in tables for seating in row for policy in seating.policies})
    return matches.play_sync(
        session.policies,
        session.game,
        [seating for row in tables for seating in row],
        stream=matches.Named((config.seed, "game", iteration), (config.seed, "episode", iteration)),
        watch=lambda episode: watch.episode(),
        concurrency=config.concurrency,
    )


def update(session: Session, episodes: Sequence[Episode], iteration: int) -> dict[str, float]:
    """One Adam step for every learner whose turn it is."""
    metrics: dict[str, float] = {}
    for name, learner in session.learners.items():
        if (iteration + 1) % learner.options.update_every == 0:
            found = trajectories(episodes, name, learner.options.credit.reward_divisor, session.engine.grammar)
            with room_for("an update", "lower optimizer.micro_batch_tokens or episodes, or choose a smaller model"):
                metrics |= learner.update(found, iteration / max(1, session.config.iterations - 1))
    for key in ("kl", "mean_abs", "max_abs"):  # of the learner that is furthest from the engine
        gaps = [metrics.pop(f"mismatch/{name}/{key}") for name in session.learners if f"mismatch/{name}/{key}" in metrics]
        metrics |= {f"mismatch/{key}": max(gaps)} if gaps else {}
    return metrics


def keep(session: Session, folder: RunFolder, kept: dict[str, list[int]], iteration: int) -> None:
    """Write the adapters that join the opponent pool, and those of the end of training."""
    config = session.config
    due, last = (iteration + 1) % config.opponents.keep_every == 0, iteration + 1 == config.iterations
    for name, learner in session.learners.items():
        if (due or last) and learner.version not in kept[name]:
            target = adapters.version_folder(folder.adapters, name, learner.version)
            adapters.save(target, learner.weights(), session.model.peft_config[name], session.base)
            if due:
                kept[name] = thinned([*kept[name], learner.version], config.opponents.max_kept)


def remove_dropped(session: Session, folder: RunFolder, kept: dict[str, list[int]]) -> None:
    """Remove the adapters that have left the pool, and that the newest checkpoint does not name: a resumed run needs those."""
    if session.config.opponents.max_kept is None:
        return
    for name, versions in kept.items():
        for version in adapters.versions_in(folder.adapters / name):
            if version not in versions and version < max(versions, default=0):  # a later one is the final version of a run
                adapters.remove(adapters.version_folder(folder.adapters, name, version))


def check_served(session: Session, folder: RunFolder, episodes: Sequence[Episode], iteration: int) -> dict[str, float]:
    """The served-policy audit; see learning/audit.py."""
    config = session.config
    result = audit(
        episodes,
        session.sources(folder.adapters, {policy for episode in episodes for policy in episode.policies}),
        session.model,
        session.engine.grammar,
        turns=config.record.audit_turns,
        temperature=config.answer.temperature,
        tolerance=tolerance(session.base),
        seed=(config.seed, "audit", iteration),
    )
    return {} if result is None else {"audit/gap": result.claimed, "audit/other_gap": result.other}


def play_metrics(session: Session, episodes: Sequence[Episode]) -> dict[str, float | None]:
    """The game's measures per learner: over all it played for training, and apart in self-play and against kept checkpoints."""
    present = set(session.present.values())
    metrics: dict[str, float | None] = {}
    for name in session.learners:
        sides: list[Side] = [(e, seat) for e in episodes for seat, learner in enumerate(e.learners) if learner == name]
        together = [(e, seat) for e, seat in sides if all(policy in present for policy in e.policies)]
        kept = [(e, seat) for e, seat in sides if any(old(policy, session.present) for policy in e.policies)]
        metrics |= {metric_name(key, name): value for key, value in measures(session.game, sides).items()}
        for prefix, chosen in (("self_play", together), ("vs/kept", kept)):
            scalars, _ = measured(session.game, chosen)
            metrics |= {f"{prefix}/{key}/{name}": value for key, value in scalars.items() if key != "invalid"}
    return metrics


def metric_name(measure: str, learner: str) -> str:
    """``efficiency/LEARNER``; ``ask_told/LEARNER/upper`` for the cell of a table."""
    table, *condition = measure.split("/")
    return "/".join([table, learner, *condition])


def old(policy: PolicyRef, present: dict[str, PolicyRef]) -> bool:
    """Whether this is an earlier version of a learner."""
    return policy.kind == "adapter" and policy.name in present and present[policy.name] != policy


def summarise(session: Session, folder: RunFolder, watch: Progress) -> dict[str, Any]:
    """The final evaluation, written to summary.json."""
    config = session.config
    found = evaluate(config, session.game, session.policies, session.present, config.iterations, watch.evaluating)
    summary = {
        "game": session.game.name,
        "preset": config.preset,
        "model": config.model,
        "seed": config.seed,
        "iterations": config.iterations,
        "learners": found,
    }
    replace_text(folder.summary, json.dumps(summary, indent=2) + "\n")
    return summary


class Silent:
    """Nobody watches."""

    def start(self, config: Config, run: Path, first_iteration: int) -> None: ...
    def episode(self) -> None: ...
    def iteration(self, metrics: dict[str, Any]) -> None: ...
    def evaluating(self, name: str) -> None: ...
    def stopping(self) -> None: ...
    def finish(self, summary: dict[str, Any]) -> None: ...
