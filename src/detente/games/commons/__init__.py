"""The commons: one stock, from which all take and which grows back."""

from __future__ import annotations

from functools import partial

from detente.games.commons import measures, reading, strategies
from detente.games.commons.rules import Commons, CommonsState, CommonsView, Month, commons
from detente.games.family import Family, always, its_rules
from detente.games.references import played

__all__ = ["FAMILY", "Commons", "CommonsState", "CommonsView", "Month"]


FAMILY = Family(
    name="commons",
    games={"commons": commons},
    strategies=strategies.COMMONS,
    cooperator=always("sustainable"),
    defector=always("greedy"),
    measures=measures.MEASURES,
    measure=measures.measure,
    facts=measures.FACTS,
    turn_facts=measures.turn_facts,
    reading=reading.reading,
    references=partial(played, reading.REFERENCES),
    notes=reading.notes,
    outcome=reading.outcome,
    rules=its_rules,
    tells_points=always(True),
)
