"""The investor game: investments that another may return."""

from __future__ import annotations

from detente.games.family import Family
from detente.games.investor import measures, reading, strategies
from detente.games.investor.rules import Investor, InvestorState, InvestorView, investor

__all__ = ["FAMILY", "Investor", "InvestorState", "InvestorView"]


def _cooperator(game: Investor) -> str:
    return "fair"


def _defector(game: Investor) -> str:
    return "selfish"


def _tells_points(game: Investor) -> bool:
    return True


def _rules(game: Investor) -> str:
    return game.rules()


FAMILY = Family(
    name="investor",
    games={"investor": investor},
    strategies=strategies.INVESTOR_GAME,
    cooperator=_cooperator,
    defector=_defector,
    measures=measures.MEASURES,
    measure=measures.measure,
    facts=measures.FACTS,
    turn_facts=measures.turn_facts,
    reading=reading.reading,
    notes=reading.notes,
    outcome=reading.outcome,
    rules=_rules,
    tells_points=_tells_points,
)
