"""Measures of a policy in matrix games with a cooperative action: how often it cooperates, and after which joint move."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from detente.games.family import Fact, Measure
from detente.games.matrix.rules import MatrixGame
from detente.games.sides import Scalars, Side, Tables, mean, moves
from detente.records import Episode

ROUNDING = 1e-6  # of sums of probabilities
JOINT_MOVES = ("start", "CC", "CD", "DC", "DD")  # one's own last move first
MEASURES = (
    Measure(
        "cooperation_rate",
        "matrix games: the share of the player's actions that are cooperative",
        head="cooperates",
        bounds=(0, 1),
    ),
    Measure(
        "cooperate_given",
        "matrix games: the probability of cooperating after each last joint move, one's own move first",
        bounds=(0, 1),
        table={move: "P(C|start)" if move == "start" else move for move in JOINT_MOVES},
    ),
)
FACTS = (Fact("cooperated", "bool", "matrix games: whether the action is the cooperative one"),)


def turn_facts(game: MatrixGame, episode: Episode) -> Iterator[Mapping[str, Any]]:
    """Whether each turn cooperated; nothing where no action is cooperative."""
    for turn in episode.turns():
        yield {} if game.cooperative is None else {"cooperated": turn.action == game.cooperative}


def measure(game: MatrixGame, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """The cooperation rate and the table ``cooperate_given``; nothing where no action is cooperative."""
    if game.cooperative is None:
        return {}, {}
    turns = (turn for episode, player in sides for turn in episode.turns(player))
    rate = mean(float(turn.action == game.cooperative) for turn in turns)
    return {"cooperation_rate": rate}, {"cooperate_given": cooperate_given(game, sides)}


def invalid(probabilities: Sequence[float]) -> float:
    """The probability of an invalid answer, from those of all valid ones; 0 where these are not known, and where it is rounding."""
    lost = 1 - sum(probabilities) if probabilities else 0.0
    return lost if lost > ROUNDING else 0.0


def cooperate_given(game: MatrixGame, sides: Iterable[Side]) -> Scalars:
    """Mean probability of the cooperative action after each last joint move; None for a move that was never seen.

    The probability is the policy's own where it was recorded, else 1 or 0 for what it chose; joint moves are those played. The
    default action has that of invalid answers.
    """
    probabilities: dict[str, list[float]] = defaultdict(list)
    cooperative = game.actions.index(game.cooperative or game.actions[0])
    for episode, player in sides:
        last, default = "start", game.default_action(game.reset(random.Random(episode.seed)), player)
        for played in episode.rounds:
            own = next(turn for turn in played.turns if turn.player == player)
            known = own.completion.probabilities
            share = known[cooperative] if known else float(own.action == game.cooperative)
            probabilities[last].append(share + invalid(known) * (default == game.cooperative))
            joint = moves(played)
            last = "".join("C" if joint[p] == game.cooperative else "D" for p in (player, 1 - player))
    return {move: mean(probabilities[move]) for move in JOINT_MOVES}
