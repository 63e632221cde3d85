"""A round of a public goods game for a reader: who was where, what it gave, the tokens that it received, and what it had before.

Also the round in a few words for a player who is about to play the game again.
"""

from __future__ import annotations

from collections.abc import Sequence

from detente.games.public_goods.measures import institutions
from detente.games.public_goods.points import punished, rewarded
from detente.games.public_goods.rounds import INSTITUTIONS
from detente.games.public_goods.terms import Terms
from detente.games.public_goods.words import number
from detente.games.reading import Notes
from detente.games.sides import mean
from detente.records import Round


def notes(game: Terms, played: Round) -> Notes:
    """The round in words: the pots, and for each player its institution, contribution, tokens received and points by stage."""
    where, given = institutions(played), played.info["contributions"]
    stock = "; ".join(filter(None, (_pot(game, institution, where, given) for institution in INSTITUTIONS)))
    return Notes(stock=stock, held=tuple(_player(game, played, player) for player in range(len(given))), received=())


def _pot(game: Terms, institution: str, where: Sequence[str], given: Sequence[int]) -> str:
    """``SI: 4 players gave 12.5 on average``."""
    inside = [level for level, own in zip(given, where, strict=True) if own == institution]
    if not inside:
        return ""
    before = f"{institution}: " if game.institutions else ""
    return f"{before}{len(inside)} player{'s' * (len(inside) != 1)} gave {number(sum(inside) / len(inside))} on average"


def _player(game: Terms, played: Round, player: int) -> str:
    """``SI, gave 20, tokens +2 -3, points 32 + 15``; ``gave 10 by chance`` where noise replaced what it said."""
    level = played.info["contributions"][player]
    said = [turn.action for turn in played.turns if turn.player == player and turn.topic == "contribution"]
    gave = f"gave {level}" if level in said else f"gave {level} by chance"
    if not game.institutions:
        return gave
    received = [row[player] for row in played.info["tokens"]]
    signs = [f"+{rewarded(received)}"] * (rewarded(received) > 0) + [f"-{punished(received)}"] * (punished(received) > 0)
    first, second = (number(stage[player]) for stage in played.info["stages"])
    parts = [institutions(played)[player], gave, *([f"tokens {' '.join(signs)}"] if signs else []), f"points {first} + {second}"]
    return ", ".join(parts)


def outcome(game: Terms, played: Round, player: int, seed: int) -> str:
    """What it gave and what the others gave on average, to the nearest level."""
    given = played.info["contributions"]
    theirs = mean(level for other, level in enumerate(given) if other != player) or 0.0
    nearest = min(game.steps, key=lambda level: abs(level - theirs))
    return f"you gave {given[player]}, they about {nearest}"
