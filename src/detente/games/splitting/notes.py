"""A round of a splitting game for a reader: the stock, what each player held, whether its messages were true, what it received.

Read from the facts that the game writes into the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from detente.games.reading import Notes
from detente.games.splitting.rules import SplittingGame
from detente.games.splitting.words import named, number
from detente.records import Round, Turn


def notes(game: SplittingGame, played: Round) -> Notes:
    """The round in words; a player holds what it knows of the deal."""
    items = game.items
    values, truth = played.info["values"], played.info["truth"]
    return Notes(
        stock=_amounts(played.info["stock"], items),
        held=tuple(_held(items, values[player], values[1 - player], truth[player]) for player in (0, 1)),
        received=tuple(_amounts(units, items) for units in played.info["received"]),
        honest=partial(honest, tuple(map(frozenset, truth)), game.vocabulary or items),
    )


def honest(truth: Sequence[frozenset[str]], vocabulary: Sequence[str], message: Turn) -> bool | None:
    """Whether a message names the truth and only it; None where it claims nothing: it names no word, or every word."""
    words = named(message.action, vocabulary)
    if words == truth[message.player]:
        return True
    return False if 0 < len(words) < len(vocabulary) else None


def _amounts(units: Sequence[float], items: Sequence[str]) -> str:
    return ", ".join(f"{number(amount)} {item}" for amount, item in zip(units, items, strict=True))


def _held(items: Sequence[str], own: Sequence[int], other: Sequence[int], truth: Sequence[str]) -> str:
    """``rock, upper hand: coins 10``, or ``values hats 10, books 1, balls 1``."""
    worth = ", ".join(f"{item} {value}" for item, value in zip(items, own, strict=True))
    hand = [word for word in truth if word not in items]
    return f"{hand[0]}, {'upper' if own[0] > other[0] else 'lower'} hand: {worth}" if hand else f"values {worth}"
