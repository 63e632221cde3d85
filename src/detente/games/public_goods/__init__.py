"""Public goods games: rules, strategies."""

from __future__ import annotations

from detente.games.family import Family
from detente.games.public_goods import strategies
from detente.games.public_goods.rules import PublicGoods, public_goods

__all__ = ["FAMILY", "PublicGoods", "public_goods"]


def _tells_points(game: PublicGoods) -> bool:
    return True


FAMILY = Family(
    name="public goods",
    games={"public_goods": public_goods},
    strategies=strategies.STRATEGIES,
    can_play=strategies.can_play,
    cooperator=strategies.cooperator,
    defector=strategies.defector,
    tells_points=_tells_points,
)
