"""Public goods games: rules, strategies, measures."""

from __future__ import annotations

from functools import partial

from detente.games.family import Family
from detente.games.public_goods import measures, notes, reading, strategies
from detente.games.public_goods.rules import PublicGoods, public_goods
from detente.games.public_goods.strategies import sanctioner
from detente.games.references import played
from detente.games.stage_game import StageGame

__all__ = ["FAMILY", "PublicGoods", "public_goods", "sanctioner"]


def _stage_game(game: PublicGoods) -> StageGame | None:
    """Contributions alone, where there is but one institution."""
    if game.institutions:
        return None
    return StageGame(game.steps, game.players, game.stakes, lambda moves: game.stakes.first(game.unchosen, moves))


FAMILY = Family(
    name="public goods",
    games={"public_goods": public_goods},
    strategies=strategies.STRATEGIES,
    can_play=strategies.can_play,
    cooperator=strategies.cooperator,
    defector=strategies.defector,
    measures=measures.MEASURES,
    measure=measures.measure,
    facts=measures.FACTS,
    turn_facts=measures.turn_facts,
    exploited=measures.exploited,
    reading=reading.reading,
    references=partial(played, reading.REFERENCES),
    notes=notes.notes,
    outcome=notes.outcome,
    stage_game=_stage_game,
)
