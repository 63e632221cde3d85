"""The donor game: gifts to strangers, who are known by what they gave."""

from __future__ import annotations

from functools import partial

from detente.games.donor import measures, reading, strategies
from detente.games.donor.rules import Donation, Donor, DonorState, DonorView, donor
from detente.games.donor.strategies import giver, reciprocal
from detente.games.family import Family
from detente.games.references import played

__all__ = ["FAMILY", "Donation", "Donor", "DonorState", "DonorView", "giver", "reciprocal"]


def _cooperator(game: Donor) -> str:
    return "giver"


def _defector(game: Donor) -> str:
    return "selfish"


def _rules(game: Donor) -> str:
    return game.rules()


def _tells_points(game: Donor) -> bool:
    return False


FAMILY = Family(
    name="donor",
    games={"donor": donor},
    strategies=strategies.DONOR,
    can_play=strategies.can_play,
    cooperator=_cooperator,
    defector=_defector,
    measures=measures.MEASURES,
    measure=measures.measure,
    facts=measures.FACTS,
    turn_facts=measures.turn_facts,
    reading=reading.reading,
    references=partial(played, reading.REFERENCES),
    notes=reading.notes,
    outcome=reading.outcome,
    rules=_rules,
    tells_points=_tells_points,
)
