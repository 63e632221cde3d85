"""The family of a mechanism around a game: it knows what the family of that game knows, and the mechanism's own.

    family of the game inside ┐
    FAMILY of all mechanisms  ┴── around ──> strategies of both, measures of both, who cooperates and defects

Must not import anything above games.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from detente.games.family import Family, family_of
from detente.games.mechanisms import measures, reading, strategies

BASE = Family(
    name="mechanisms",
    strategies=strategies.STRATEGIES,
    measures=measures.MEASURES,
    measure=measures.measure,
    reading=reading.reading,
    notes=reading.notes,
)


def around(game: Any) -> Family:
    """The family of a mechanism around the game ``game.of``."""
    inner, own = family_of(game.of), game.strategies()

    def can_play(played: Any, name: str) -> bool:
        if name in own:
            return inner.cooperator(played.of) is not None and inner.defector(played.of) is not None
        return name == "random" or inner.can_play(played.of, name)

    return replace(
        BASE,
        strategies=dict(strategies.of_the_game_inside(game.of)) | {"random": strategies.random_player} | own,
        can_play=can_play,
        seats=lambda played, name: played.seats_of(name),
        cooperator=lambda played: inner.cooperator(played.of),
        defector=lambda played: inner.defector(played.of),
        measures=tuple({known.name: known for known in (*inner.measures, *measures.MEASURES)}.values()),
        tells_points=lambda played: inner.tells_points(played.of),
        rules=lambda played: "",
    )
