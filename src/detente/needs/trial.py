"""A few real steps: episodes played by the learners as they are, scored again, and gradients of them. Nothing is written.

    Session ── small and larger rollout ──> seconds of an iteration's ── gradients ──> mismatch of engine and learner, seconds

Seconds grow with episodes along the straight line through the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from detente import matches
from detente.config import Config
from detente.engines.mixing import unreached
from detente.errors import room_for
from detente.learning.batch import trajectories
from detente.learning.opponents import seatings
from detente.learning.session import Session
from detente.needs.chats import Said, measured
from detente.records import Episode

FEW, MORE, MANY = 2, 4, 16  # episodes; MANY where the first take less than QUICK seconds
QUICK = 2.0
Result = TypeVar("Result")


@dataclass(frozen=True)
class Trial:
    """What was seen: chats, seconds of an iteration's rollout and updates, and gaps of log-probabilities (nats) between engine and
    learner, the mean and the largest of ``tokens``."""

    said: Said
    seconds: Mapping[str, float]
    mean_gap: float
    largest_gap: float
    tokens: int
    episodes: int


def tried(session: Session) -> Trial:
    """Play and learn from a few episodes; the learners' weights stay as they are."""
    config = session.config
    session.publish()
    first, few = _timed(lambda: _played(session, FEW))
    more = min(config.episodes, MANY if first < QUICK else MORE)
    first, few = _timed(lambda: _played(session, FEW))  # the first time was to warm up
    second, many = _timed(lambda: _played(session, more))
    learned = [_learned(session, episodes) for episodes in (few, many)]
    updates = [seconds for seconds, _ in learned]
    counts, sums = (FEW, more), learned[-1][1]
    steps = max(config.learner(name).optimizer.steps for name in config.learner_names)
    return Trial(
        said=measured(many),
        seconds={
            "rollout": _along(counts, (first, second), config.episodes),
            "update": _along(counts, updates, config.episodes) * steps,
        },
        mean_gap=sums["absolute"] / max(1.0, sums["tokens"]),
        largest_gap=sums["largest"],
        tokens=int(sums["tokens"]),
        episodes=more,
    )


def unreached_modules(session: Session) -> list[str]:
    """What the learners' adapters leave as it is in their base models."""
    return sorted({part for name, learner in session.learners.items() for part in unreached(learner.model, name)})


def _played(session: Session, episodes: int) -> list[Episode]:
    """Episodes of one group, as in the first iteration."""
    config: Config = session.config.model_copy(update={"episodes": episodes, "group_size": episodes})
    stream = matches.Named((config.seed, "game", 0), (config.seed, "episode", 0))
    groups = seatings(config, 0, session.present, dict.fromkeys(session.learners, ()), session.game)
    with room_for("the first episodes", "lower concurrency, or choose a smaller model"):
        return matches.play_sync(session.policies, session.game, groups[0], stream=stream, concurrency=config.concurrency)


def _learned(session: Session, episodes: Sequence[Episode]) -> tuple[float, dict[str, float]]:
    """Seconds of the gradients of all learners, and sums of gaps over the drawn tokens."""
    sums, seconds = {"absolute": 0.0, "largest": 0.0, "tokens": 0.0}, 0.0
    for name, learner in session.learners.items():
        start = time.perf_counter()
        credit, grammar = learner.options.credit, session.hosts[name].grammar
        chats = trajectories(episodes, name, credit.reward_divisor, grammar, depth=credit.depth)
        with room_for("an update", "lower optimizer.micro_batch_tokens, or choose a smaller model"):
            seen = learner.gradients(chats, 0.0)
        learner.optimizer.zero_grad(set_to_none=True)
        seconds += time.perf_counter() - start
        if seen is not None:
            sums["absolute"] += seen.sums["mismatch/mean_abs"]
            sums["largest"] = max(sums["largest"], seen.sums["mismatch/max_abs"])
            sums["tokens"] += sum(len(chat.drawn) for chat in seen.batch)
    return seconds, sums


def _timed(action: Callable[[], Result]) -> tuple[float, Result]:
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def _along(counts: Sequence[int], seconds: Sequence[float], count: int) -> float:
    """The line through two points, nowhere falling; a part of the second where there is one point alone."""
    (few, more), (first, second) = counts, seconds
    if more <= few:
        return second * count / more
    return second + max(0.0, second - first) / (more - few) * (count - more)
