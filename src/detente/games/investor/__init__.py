"""The investor game: investments that another may return."""

from __future__ import annotations

from detente.games.family import Family, always, its_rules
from detente.games.investor import measures, reading, strategies
from detente.games.investor.rules import Investor, InvestorState, InvestorView, investor

__all__ = ["FAMILY", "Investor", "InvestorState", "InvestorView"]


FAMILY = Family(
    name="investor",
    games={"investor": investor},
    strategies=strategies.INVESTOR_GAME,
    cooperator=always("fair"),
    defector=always("selfish"),
    measures=measures.MEASURES,
    measure=measures.measure,
    facts=measures.FACTS,
    turn_facts=measures.turn_facts,
    reading=reading.reading,
    notes=reading.notes,
    outcome=reading.outcome,
    rules=its_rules,
    tells_points=always(True),
)
