"""An episode as one of its players lived it: what every measure is an average over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detente.records import Episode, Round, Turn

Side = tuple[Episode, int]  # the episode and the seat
Scalars = dict[str, float | None]  # by name; None where nothing was seen that could be averaged
Tables = dict[str, Mapping[str, Scalars | float | None]]  # [table][condition]: one number, or one for each measure


def mean(values: Iterable[float]) -> float | None:
    """The arithmetic mean; None of nothing."""
    listed = list(values)
    return sum(listed) / len(listed) if listed else None


def gini(values: Sequence[float]) -> float | None:
    """The Gini coefficient, sum of |x - y| over all pairs / (2 n sum of x): 0 for equal values; None if they sum to 0."""
    total = sum(values)
    return sum(abs(x - y) for x in values for y in values) / (2 * len(values) * total) if total > 0 else None


def by_group(sides: Sequence[Side]) -> tuple[tuple[float, ...], ...]:
    """The mean reward of every side, game seed by game seed."""
    groups: dict[int, list[float]] = {}
    for episode, seat in sides:
        groups.setdefault(episode.group, []).append(episode.mean_reward(seat))
    return tuple(tuple(groups[group]) for group in sorted(groups))


def moves(played: Round) -> dict[int, Any]:
    """What each player did in a round: what the game says was ``played``, where chance changes actions, else what was chosen."""
    return dict(enumerate(played.info["played"])) if "played" in played.info else {t.player: t.action for t in played.turns}


def carried_out(played: Round, turn: Turn) -> Any:
    """What became of an answer: what was ``played`` of it where chance changes actions, else what was chosen."""
    done = played.info.get("played", ())
    by_player = done.get(turn.topic, ()) if isinstance(done, Mapping) else done
    return by_player[turn.player] if by_player and turn.phase == "decision" else turn.action
