"""Bargaining over a price with private values, with talk."""

from __future__ import annotations

from detente.games.bilateral_trade import measures, reading, strategies
from detente.games.bilateral_trade.rules import Bargaining, TradeState, TradeView, bargaining
from detente.games.family import Family, always, its_rules

__all__ = ["FAMILY", "Bargaining", "TradeState", "TradeView"]


def _tells_points(game: Bargaining) -> bool:
    return game.revealed


FAMILY = Family(
    name="bilateral trade",
    games={"bargaining": bargaining},
    strategies=strategies.TRADE,
    cooperator=always("truthful"),
    defector=always("greedy"),
    measures=measures.MEASURES,
    measure=measures.measure,
    facts=measures.FACTS,
    turn_facts=measures.turn_facts,
    reading=reading.reading,
    notes=reading.notes,
    outcome=reading.outcome,
    rules=its_rules,
    tells_points=_tells_points,
)
