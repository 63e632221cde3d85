"""What the policy is, as numbers: read from episodes, one player's side at a time.

    scalars   reward (points per round), share of invalid answers, and what the family of the game measures
    tables    what the policy does, given what happened before
    measures  both, in one flat dictionary, for metrics

Each family of games has a module; ``measured`` is the one place that knows which. Must not load torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from detente.evaluation import matrix_measures, splitting_measures
from detente.evaluation.matrix_measures import JOINT_MOVES, cooperate_given
from detente.evaluation.sides import Scalars, Side, Tables, mean
from detente.games.base import Game
from detente.games.matrix import MatrixGame
from detente.games.splitting import SplittingGame

__all__ = ["JOINT_MOVES", "TABLES", "Side", "cooperate_given", "flat_tables", "mean", "measured", "measures"]

TABLES = ("cooperate_given", "reciprocity", "ask_told")


def measured(game: Game, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """Scalars, none without episodes, and tables, with None for what was never seen."""
    common: Scalars = {
        "reward": mean(episode.mean_reward(player) for episode, player in sides),
        "invalid": mean(float(not turn.valid) for episode, player in sides for turn in episode.turns(player)),
    }
    own: Scalars = {}
    tables: Tables = {}
    if isinstance(game, MatrixGame):
        own, tables = matrix_measures.measured(game, sides)
    elif isinstance(game, SplittingGame):
        own, tables = splitting_measures.measured(game, sides)
    return common | own if sides else {}, tables


def measures(game: Game, sides: Sequence[Side]) -> Scalars:
    """All measures that the game has, by name; empty without episodes."""
    scalars, tables = measured(game, sides)
    return scalars | flat_tables(tables) if sides else {}


def flat_tables(found: Tables) -> Scalars:
    """Tables as metrics: ``ask_told/upper``; ``ask_lower_given/greedy`` where a table holds several measures."""
    result: Scalars = {}
    for table, rows in found.items():
        for condition, cell in rows.items():
            if isinstance(cell, dict):
                result |= {f"{measure}_given/{condition}": value for measure, value in cell.items()}
            else:
                result[f"{table}/{condition}"] = cell
    return result
