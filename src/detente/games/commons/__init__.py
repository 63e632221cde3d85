"""The commons: one stock, from which all take and which grows back."""

from __future__ import annotations

from functools import partial

from detente.games.commons import measures, reading, strategies
from detente.games.commons.rules import Commons, CommonsState, CommonsView, Month, commons
from detente.games.family import Family
from detente.games.references import played

__all__ = ["FAMILY", "Commons", "CommonsState", "CommonsView", "Month"]


def _cooperator(game: Commons) -> str:
    return "sustainable"


def _defector(game: Commons) -> str:
    return "greedy"


def _tells_points(game: Commons) -> bool:
    return True


def _rules(game: Commons) -> str:
    return game.rules()


FAMILY = Family(
    name="commons",
    games={"commons": commons},
    strategies=strategies.COMMONS,
    cooperator=_cooperator,
    defector=_defector,
    measures=measures.MEASURES,
    measure=measures.measure,
    facts=measures.FACTS,
    turn_facts=measures.turn_facts,
    reading=reading.reading,
    references=partial(played, reading.REFERENCES),
    notes=reading.notes,
    rules=_rules,
    tells_points=_tells_points,
)
