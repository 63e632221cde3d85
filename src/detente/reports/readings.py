"""How the family of a game reads it, with references that are played here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detente.games import family_of, recorded
from detente.games.reading import Reading
from detente.matches import play_scripts


def reading(options: Mapping[str, Any]) -> Reading:
    """Of the game with these options; of one that the package does not have only what was measured is known."""
    game = recorded(options)
    return family_of(game).reading(game, play_scripts)
