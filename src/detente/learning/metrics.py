"""The game's measures of the learners in an iteration, as metrics of metrics.jsonl."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from detente.evaluation.measures import Side, measured, measures
from detente.games.base import Game
from detente.games.roles import prefix, roles
from detente.records import Episode, PolicyRef


def play_metrics(
    game: Game, episodes: Sequence[Episode], learners: Iterable[str], present: Mapping[str, PolicyRef]
) -> dict[str, float | None]:
    """The game's measures per learner: over all it played for training, and apart in self-play, against kept checkpoints and
    against each scripted strategy; where seats differ, under ``role/ROLE/`` the same of each of its roles alone."""
    named = roles(game)
    metrics: dict[str, float | None] = {}
    for name in learners:
        sides: list[Side] = [(e, seat) for e in episodes for seat, learner in enumerate(e.learners) if learner == name]
        metrics |= _metrics(game, sides, name, present)
        for seat in sorted({seat for _, seat in sides}) if named else ():
            in_it = _metrics(game, [side for side in sides if side[1] == seat], name, present)
            metrics |= {prefix(named[seat]) + key: value for key, value in in_it.items()}
    return metrics


def _metrics(game: Game, sides: Sequence[Side], name: str, present: Mapping[str, PolicyRef]) -> dict[str, float | None]:
    """The measures of a learner's sides."""
    selves = set(present.values())
    together = [(e, seat) for e, seat in sides if all(policy in selves for policy in e.policies)]
    kept = [(e, seat) for e, seat in sides if any(is_kept(policy, present) for policy in e.policies)]
    scripts = sorted({policy.name for e, _ in sides for policy in e.policies if policy.kind == "script"})
    scripted = {f"vs/{script}": [(e, seat) for e, seat in sides if PolicyRef("script", script) in e.policies] for script in scripts}
    metrics = {metric_name(key, name): value for key, value in measures(game, sides).items()}
    for place, chosen in {"self_play": together, "vs/kept": kept, **scripted}.items():
        scalars, _ = measured(game, chosen)
        metrics |= {f"{place}/{key}/{name}": value for key, value in scalars.items() if key != "invalid"}
    return metrics


def metric_name(measure: str, learner: str) -> str:
    """``efficiency/LEARNER``; ``ask_told/LEARNER/upper`` for the cell of a table."""
    table, *condition = measure.split("/")
    return "/".join([table, learner, *condition])


def largest_mismatch(metrics: Mapping[str, float], learners: Iterable[str]) -> dict[str, float]:
    """The metrics with ``mismatch/KEY`` of the learner that is furthest from the engine, in place of every learner's own."""
    result = dict(metrics)
    for key in ("kl", "mean_abs", "max_abs"):
        gaps = [result.pop(f"mismatch/{name}/{key}") for name in learners if f"mismatch/{name}/{key}" in metrics]
        result |= {f"mismatch/{key}": max(gaps)} if gaps else {}
    return result


def is_kept(policy: PolicyRef, present: Mapping[str, PolicyRef]) -> bool:
    """Whether this is an earlier version of a learner."""
    return policy.kind == "adapter" and policy.name in present and present[policy.name] != policy
