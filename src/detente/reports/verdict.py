"""What the numbers mean: the reference payoffs of a game, and the word for a policy.

    game of the run ── scripted strategies meet in it ──> Anchors ── thresholds ──> "reciprocator", "mutual defection", ...

References are played, not remembered, so they hold for any payoff table and horizon. Must not import torch.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from detente.games import make
from detente.games.matrix import MatrixGame
from detente.players.scripted import scripted
from detente.reports.run import CONDITIONS, Result, read_runs
from detente.rollout import Match, play_matches

MATCHES = 100  # per pairing, each with its own seed: exact where nothing is random
KEEPS, ANSWERS = 0.95, 0.2  # a reciprocator's least P(C|CC) and greatest P(C|CD)


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two strategies meet: mean points per round of both, and how often the first one cooperates."""

    own: float
    theirs: float
    cooperation_rate: float


@dataclass(frozen=True, slots=True)
class Anchors:
    """Points per round when both cooperate, both defect, one cooperates among defectors; and tit-for-tat among defectors."""

    cooperation: float
    defection: float
    exploited: float
    reciprocity: Pairing


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Points per round that divide the verdicts: in self-play (defection, cooperation) and among defectors (the others)."""

    defection: float
    cooperation: float
    holds: float
    yields: float
    exploited: float


def dilemma(game: dict[str, Any]) -> MatrixGame | None:
    """The game if it is a matrix game in which one of two actions is cooperation, else None."""
    made = make(**game)
    return made if isinstance(made, MatrixGame) and made.cooperative is not None and len(made.actions) == 2 else None


def anchors(game: MatrixGame) -> Anchors:
    """The references of a dilemma."""
    return Anchors(
        cooperation=pairing(game, "always_cooperate", "always_cooperate").own,
        defection=pairing(game, "always_defect", "always_defect").own,
        exploited=pairing(game, "always_cooperate", "always_defect").own,
        reciprocity=pairing(game, "tit_for_tat", "always_defect"),
    )


@lru_cache(maxsize=256)
def pairing(game: MatrixGame, row: str, column: str) -> Pairing:
    """What two scripted strategies get from each other."""
    episodes = play_matches([Match(game, n, (scripted(row, 2 * n), scripted(column, 2 * n + 1))) for n in range(MATCHES)])
    own, theirs = (sum(episode.mean_reward(player) for episode in episodes) / MATCHES for player in (0, 1))
    moves = [turn.action == game.cooperative for episode in episodes for turn in episode.turns(0)]
    return Pairing(own, theirs, sum(moves) / len(moves))


def responses(game: MatrixGame, strategy: str) -> dict[str, float]:
    """What a deterministic strategy does in each condition: 1.0 cooperates, 0.0 defects."""
    names = {"CD"[action != game.cooperative]: action for action in game.actions}
    found = {}
    for condition in CONDITIONS:
        history = () if condition == "start" else ((names[condition[0]], names[condition[1]]),)
        state = replace(game.reset(random.Random(0)), history=history)
        answer = asyncio.run(scripted(strategy, 0).act(game.observe(state, 0)))
        found[condition] = float(game.parse(state, 0, answer.text) == game.cooperative)
    return found


def thresholds(known: Anchors) -> Thresholds:
    """In the prisoner's dilemma 1.2, 2.8, 0.85, 1.5 and 0.5 points; in other games the same relative to the span of the anchors."""
    span = known.cooperation - known.defection
    return Thresholds(
        defection=known.defection + span / 10,
        cooperation=known.cooperation - span / 10,
        holds=known.reciprocity.own - span / 40,
        yields=known.reciprocity.theirs + span / 20,
        exploited=(known.exploited + known.defection) / 2,
    )


def verdict(result: Result, limits: Thresholds) -> str:
    """One of the words that ``meanings`` explains; "" where what it needs was not measured."""
    if "reward" not in result.self_play:
        return ""
    given, defector = result.cooperate_given, result.against.get("always_defect", {})
    if result.self_play["reward"] <= limits.defection:
        return "mutual defection"
    if result.self_play["reward"] < limits.cooperation:
        return "mixed"
    if not {"reward", "opponent_reward"} <= defector.keys():
        return ""
    unexploited = defector["reward"] >= limits.holds and defector["opponent_reward"] <= limits.yields
    if unexploited and given.get("CC", 0) >= KEEPS and given.get("CD", 1) <= ANSWERS:
        return "reciprocator"
    return "exploitable cooperator" if defector["reward"] <= limits.exploited else "mixed"


def meanings(limits: Thresholds) -> dict[str, str]:
    """What each verdict says, with its numbers."""
    cooperates = f"at least {limits.cooperation:.4g} points per round in self-play"
    return {
        "mutual defection": f"at most {limits.defection:.4g} points per round in self-play",
        "reciprocator": f"{cooperates}, P(C|CC) at least {KEEPS}, P(C|CD) at most {ANSWERS}, "
        f"and against always_defect at least {limits.holds:.4g} while it gets at most {limits.yields:.4g}",
        "exploitable cooperator": f"{cooperates}, but at most {limits.exploited:.4g} against always_defect",
        "mixed": "none of mutual defection, reciprocator and exploitable cooperator",
    }


def contrast_table(paths: Sequence[Path]) -> Table:
    """A terminal table that sets the learners of several runs side by side; raises UserError for what is no run folder."""
    runs = read_runs(paths)
    strategies = ("always_defect", "always_cooperate", "tit_for_tat")
    table = Table(caption="points per round; against a strategy: own / theirs", caption_justify="left")
    table.add_column("run", style="bold", overflow="fold")
    telling = all(run.result(learner).algorithm in run.label for run in runs for learner in run.learners)
    if not telling:  # else the names of the runs say it
        table.add_column("algorithm", overflow="fold")
    for name in ("self-play", "P(C|CC)", "P(C|CD)", *(f"vs {strategy.replace('_', ' ')}" for strategy in strategies)):
        table.add_column(name.replace(" ", "\n"), justify="right", vertical="middle")
    table.add_column("verdict", style="bold")
    for run in runs:
        game = dilemma(run.options["game"])
        for learner in run.learners:
            result = run.result(learner)
            table.add_row(
                Text(run.label if len(run.learners) == 1 else f"{run.label} {learner}"),
                *([] if telling else [result.algorithm]),
                _number(result.self_play.get("reward")),
                *(_number(result.cooperate_given.get(condition)) for condition in ("CC", "CD")),
                *(_pair(result, strategy) for strategy in strategies),
                verdict(result, thresholds(anchors(game))) if game else "",
            )
    return table


def _pair(result: Result, strategy: str) -> str:
    numbers = result.against.get(strategy, {})
    return f"{_number(numbers.get('reward'))} / {_number(numbers.get('opponent_reward'))}" if numbers else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
