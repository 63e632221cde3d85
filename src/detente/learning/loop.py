"""Training, top to bottom.

    for each iteration:  seatings -> rollout -> audit -> one update per learner -> serve the new version -> save

Killing the process at any point loses at most the current iteration: what an iteration writes counts once its checkpoint is there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Coroutine, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from detente import family_file, matches
from detente.config import Config, read
from detente.copies import averaged, with_shared_names
from detente.errors import room_for
from detente.evaluation.final import evaluate, flat, opponents
from detente.files import replace_text
from detente.learning import checkpoint, cluster, cluster_learners, parallel
from detente.learning.batch import trajectories
from detente.learning.branches import played as branched
from detente.learning.checks import check
from detente.learning.health import NotFiniteError, stopped
from detente.learning.metrics import largest_mismatch, play_metrics
from detente.learning.opponents import seatings
from detente.learning.planning import curriculum_metrics, group_results, planned, remembered, settings
from detente.learning.pool import joined
from detente.learning.ranks import helping
from detente.learning.resuming import resume, save
from detente.learning.run_folder import RunFolder, opened
from detente.learning.session import Session, Snapshot, check_served, open_session
from detente.learning.shaping import mean_reward, shaped
from detente.learning.starting import renew
from detente.learning.state import Ahead, RunState, left_over, to_train_on
from detente.learning.trials import briefed
from detente.learning.variation import games_by_group, varied
from detente.learning.versions import with_versions
from detente.learning.watchers import Watcher, Watchers
from detente.provenance import provenance
from detente.records import Episode
from detente.signals import when_saved
from detente.together import aside, run
from detente.trackers.tracking import Tracking


def train(config: Config, run: Path, *, watchers: Sequence[Watcher] = ()) -> Path:
    """Train until ``config.iterations`` and write summary.json; goes on where an existing run folder stopped.

    Ctrl-C and SIGTERM stop after the current iteration is saved (KeyboardInterrupt). A watcher that asks to stop ends the training
    there as if it had been the last iteration. UserError for options, models or folders that do not fit. Where torchrun started
    this process as a helper of the run, it helps until the run ends.
    """
    if helping():
        parallel.help_launched()
        return run
    options = run / "config.yaml"
    check(config, begun=options.exists())
    watch = Watchers([*watchers, *map(Tracking, config.trackers)])
    config = with_versions(config, read(options) if options.exists() else None)
    with (
        opened(run, config) as folder,
        closing(watch),
        parallel.opened(config) as helpers,
        cluster_learners.opened(config) as placed,
        cluster.opened(config) as workers,
        closing(open_session(config, helpers or placed, workers)) as session,
    ):
        known = family_file.content(session.game, opponents(config, session.game))
        with when_saved(watch.stopping) as wished:
            state = resume(session, folder)
            session.publish()
            replace_text(run / family_file.FILE, known)
            watch.start(config, run, state.iteration)
            last = state.iteration == config.iterations
            while not last:
                try:
                    state, metrics, episodes = advance(session, state, folder, watch)
                except NotFiniteError as error:
                    raise stopped(error, run, state.iteration + 1, checkpoint.newest(folder.checkpoints)) from error
                stop = wished()
                last = watch.should_stop(metrics) or state.iteration == config.iterations
                save(session, folder, state, metrics, episodes, last=last, stopped=stop is not None)
                watch.iteration(metrics)
                if stop:
                    raise stop
        watch.finish(summarise(session, folder, state, watch))
    return run


def advance(session: Session, state: RunState, folder: RunFolder, watch: Watcher) -> tuple[RunState, dict[str, Any], list[Episode]]:
    """One iteration: rollout, audit, update, and the evaluation where it is due; returns its metrics and episodes.

    The session's learners must be those of the state, and are those of the next one afterwards. Writes nothing; kept adapters
    are read from the folder.
    """
    config, iteration = session.config, state.iteration
    started = time.perf_counter()
    renew(session, folder, iteration)
    played = state.ahead or audited(session, folder, state, run(rollout(session, folder, state, watch)))
    episodes = played.episodes
    results = group_results(config, iteration, played.plan, episodes)
    state = replace(state, curriculum=remembered(config, state.curriculum, results, state.pool))
    rolled_out = time.perf_counter()
    metrics: dict[str, Any] = {"iteration": iteration + 1}
    metrics |= play_metrics(session.game, with_shared_names(config, episodes), config.learner_names, session.present)
    metrics |= {**varied(config, iteration, settings(played.plan)), **curriculum_metrics(config, results), **played.audit}
    changed, ahead = updated(session, folder, state, episodes, watch)
    metrics |= changed
    metrics |= {f"remote/{what}": count for what, count in session.policies.remote.budget.spent.items()}
    session.publish()
    metrics |= {"time/rollout_s": rolled_out - started, "time/update_s": time.perf_counter() - rolled_out}
    if config.evaluation.every and (iteration + 1) % config.evaluation.every == 0:
        metrics |= flat(evaluate(config, session.game, session.policies, session.present, iteration + 1, watch.evaluating))
    metrics["time/total_s"] = time.perf_counter() - started
    learners = {name: learner.version for name, learner in session.learners.items()}
    pool = joined(config, state.pool, learners, iteration + 1)
    options = {name: learner.options for name, learner in session.learners.items()}
    backlog = left_over(options, [*state.backlog, *episodes], iteration + 1)
    spent = dict(session.policies.remote.budget.spent)
    return RunState(iteration + 1, learners, pool, spent, backlog, ahead, state.curriculum), metrics, list(episodes)


def rollout(session: Session, folder: RunFolder, state: RunState, watch: Watcher) -> Coroutine[Any, Any, list[Episode]]:
    """Seat and serve everybody who plays in the iteration; what is returned plays it. The episodes of a group share a game seed."""
    config, iteration = session.config, state.iteration
    stream = matches.Named((config.seed, "game", iteration), (config.seed, "episode", iteration))
    plan = planned(config, state.curriculum, iteration, state.pool, session.game)
    groups = seatings(config, iteration, session.present, state.pool, session.game, plan)
    games = games_by_group(config, iteration, settings(plan))
    groups = briefed(config, session.game, groups, state.backlog, stream, games)
    seated = [seating for group in groups for seating in group]
    wanted = {policy for seating in seated for policy in seating.policies}
    if session.workers is not None:
        session.serve_kept(folder.adapters, ())  # none of them plays here
        learning = [policy for policy in wanted if policy.kind == "adapter" and policy.name in session.learners]
        versions = {policy: partial(session.adapter, folder.adapters, policy) for policy in learning}
        return session.workers.play(seated, stream, versions, lambda episode: watch.episode(), settings(plan))
    session.serve_kept(folder.adapters, wanted)
    play = partial(matches.play, session.policies, session.game, stream=stream, games=games, concurrency=config.concurrency)
    return branched(config, seated, play, lambda episode: watch.episode())


def audited(
    session: Session, folder: RunFolder, state: RunState, episodes: Sequence[Episode], before: Snapshot = MappingProxyType({})
) -> Ahead:
    """The episodes of an iteration with what their audit found and what a curriculum had chosen; ``before``: the learners' weights
    that they were played with."""
    audit = check_served(session, folder.adapters, episodes, state.iteration, before)
    plan = planned(session.config, state.curriculum, state.iteration, state.pool, session.game)
    return Ahead(tuple(episodes), audit, plan)


def updated(
    session: Session, folder: RunFolder, state: RunState, episodes: Sequence[Episode], watch: Watcher
) -> tuple[dict[str, float | None], Ahead | None]:
    """The metrics of the updates; with ``overlap`` the next rollout plays beside them, with the policies from before."""
    following = replace(state, iteration=state.iteration + 1)
    if not session.config.overlap or following.iteration == session.config.iterations:
        return update(session, state, episodes), None
    before = session.snapshot()
    with session.audited_later(), aside(rollout(session, folder, following, watch)) as played:
        metrics = update(session, state, episodes)
    return metrics, audited(session, folder, following, played.result(), before)


def update(session: Session, state: RunState, episodes: Sequence[Episode]) -> dict[str, float | None]:
    """An update of every learner whose turn it is, on its share of the backlog and the iteration's episodes."""
    metrics: dict[str, float] = {}
    rewards: dict[str, float | None] = {}
    for name, learner in session.learners.items():
        if batch := to_train_on(learner.options, state.backlog, episodes, state.iteration + 1):
            if reward := learner.options.reward:
                batch = shaped(batch, reward, learner.options.social)
                rewards[f"shaped_reward/{name}"] = mean_reward(batch, name)
            credit, grammar = learner.options.credit, session.hosts[name].grammar
            chats = trajectories(batch, name, credit.reward_divisor, grammar, depth=credit.depth)
            with room_for("an update", "lower optimizer.micro_batch_tokens or episodes, or choose a smaller model"):
                metrics |= learner.update(chats, state.iteration / max(1, session.config.iterations - 1))
    return averaged(session.config, rewards | largest_mismatch(metrics, session.learners))


def summarise(session: Session, folder: RunFolder, state: RunState, watch: Watcher) -> dict[str, Any]:
    """The final evaluation, written to summary.json."""
    config = session.config
    results = evaluate(config, session.game, session.policies, session.present, state.iteration, watch.evaluating)
    about = {
        "game": session.game.name,
        "preset": config.preset,
        "model": config.model,
        "seed": config.seed,
        "detente": provenance(),
    }
    others = {name: {"model": model} for name, model in config.models.items() if model != config.model}
    starts = {name: {"start_from": start} for name in config.learner_names if (start := config.learner(name).start_from)}
    learners = {name: result | others.get(name, {}) | starts.get(name, {}) for name, result in results.items()}
    summary = {**about, "iterations": state.iteration, "learners": learners}
    replace_text(folder.summary, json.dumps(summary, indent=2) + "\n")
    return summary
