"""Two-player matrix games: rules, strategies, measures."""

from __future__ import annotations

from detente.games.family import Family
from detente.games.matrix import facing, measures, reading, rules, strategies
from detente.games.matrix.rules import MatrixGame, MatrixState, MatrixView, Payoffs
from detente.games.matrix.tables import chicken, ipd, matching_pennies, matrix, stag_hunt, travelers_dilemma, trust_game
from detente.games.stage_game import StageGame

__all__ = [
    "FAMILY",
    "MatrixGame",
    "MatrixState",
    "MatrixView",
    "Payoffs",
    "chicken",
    "ipd",
    "matching_pennies",
    "matrix",
    "stag_hunt",
    "travelers_dilemma",
    "trust_game",
]


def _itself(game: MatrixGame) -> MatrixGame:
    return game


def _stage_game(game: MatrixGame) -> StageGame:
    index = {action: number for number, action in enumerate(game.actions)}
    return StageGame(game.actions, 2, game.payoffs, lambda moves: game.payoffs[index[moves[0]]][index[moves[1]]])


FAMILY = Family(
    name="matrix",
    games={
        "ipd": ipd,
        "stag_hunt": stag_hunt,
        "chicken": chicken,
        "trust_game": trust_game,
        "travelers_dilemma": travelers_dilemma,
        "matching_pennies": matching_pennies,
        "matrix": matrix,
    },
    strategies=strategies.MATRIX,
    can_play=strategies.can_play,
    cooperator=strategies.cooperator,
    defector=strategies.defector,
    measures=measures.MEASURES,
    measure=measures.measure,
    facts=measures.FACTS,
    turn_facts=measures.turn_facts,
    outcome=rules.outcome,
    reading=reading.reading,
    references=reading.references,
    normal_form=_itself,
    faces=facing.faces,
    stage_game=_stage_game,
)
