"""Two-player matrix games: rules, strategies, measures."""

from __future__ import annotations

from detente.games.family import Family
from detente.games.matrix import measures, reading, rules, strategies
from detente.games.matrix.rules import (
    MatrixGame,
    MatrixState,
    MatrixView,
    Payoffs,
    chicken,
    ipd,
    matching_pennies,
    matrix,
    stag_hunt,
)

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
]


def _itself(game: MatrixGame) -> MatrixGame:
    return game


FAMILY = Family(
    name="matrix",
    games={"ipd": ipd, "stag_hunt": stag_hunt, "chicken": chicken, "matching_pennies": matching_pennies, "matrix": matrix},
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
)
