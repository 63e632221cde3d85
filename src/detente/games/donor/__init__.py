"""The donor game: gifts to strangers, who are known by what they gave."""

from __future__ import annotations

from functools import partial

from detente.games.donor import measures, reading, strategies
from detente.games.donor.rules import Donation, Donor, DonorState, DonorView, donor
from detente.games.donor.strategies import giver, reciprocal
from detente.games.family import Family, always, its_rules
from detente.games.references import played

__all__ = ["FAMILY", "Donation", "Donor", "DonorState", "DonorView", "giver", "reciprocal"]


FAMILY = Family(
    name="donor",
    games={"donor": donor},
    strategies=strategies.DONOR,
    can_play=strategies.can_play,
    cooperator=always("giver"),
    defector=always("selfish"),
    measures=measures.MEASURES,
    measure=measures.measure,
    facts=measures.FACTS,
    turn_facts=measures.turn_facts,
    reading=reading.reading,
    references=partial(played, reading.REFERENCES),
    notes=reading.notes,
    outcome=reading.outcome,
    rules=its_rules,
)
