"""Which family a game belongs to. A new kind of games is one line in ``FAMILIES``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from detente.games import recorded
from detente.games.base import Game
from detente.reports.dilemma import dilemma
from detente.reports.family import Family
from detente.reports.splitting import splitting

FAMILIES: tuple[Callable[[Game], Family | None], ...] = (dilemma, splitting)


def family(options: Mapping[str, Any]) -> Family:
    """The family of the game with these options: the first that knows it, else the one that knows nothing."""
    game = recorded(options)
    if game is None:
        return Family()
    return next((found for known in FAMILIES if (found := known(game)) is not None), Family())
