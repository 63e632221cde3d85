"""A round of a splitting game for a reader: what there was, who held what, whose word was true, what each received.

Read from the facts that the game puts on record. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detente.games import recorded
from detente.games.splitting import SplittingGame, named, number
from detente.records import Episode, Round, Turn


@dataclass(frozen=True, slots=True)
class Split:
    """One round in words; ``held`` and ``received`` by player. ``truth`` is what an honest player names, of ``vocabulary``."""

    stock: str
    held: tuple[str, ...]
    received: tuple[str, ...]
    truth: tuple[frozenset[str], ...]
    vocabulary: tuple[str, ...]

    def honest(self, message: Turn) -> bool | None:
        """Whether a message names the truth and only it; None where it claims nothing: it names no word, or every word."""
        words = named(message.action, self.vocabulary)
        if words == self.truth[message.player]:
            return True
        return False if 0 < len(words) < len(self.vocabulary) else None


def split(episode: Episode, played: Round) -> Split | None:
    """The round of a splitting game; None of other games."""
    game = _game(episode)
    if game is None:
        return None
    items = game.items
    values, truth = played.info["values"], played.info["truth"]
    return Split(
        stock=_amounts(played.info["stock"], items),
        held=tuple(_held(items, values[player], values[1 - player], truth[player]) for player in (0, 1)),
        received=tuple(_amounts(units, items) for units in played.info["received"]),
        truth=tuple(map(frozenset, truth)),
        vocabulary=game.vocabulary or items,
    )


def rules(episode: Episode) -> str:
    """The rules of a splitting game as its players are told them; "" of other games."""
    game = _game(episode)
    return "" if game is None else game.rules()


def _game(episode: Episode) -> SplittingGame | None:
    game = recorded(episode.game)
    return game if isinstance(game, SplittingGame) else None


def _amounts(units: Sequence[float], items: Sequence[str]) -> str:
    return ", ".join(f"{number(each)} {item}" for each, item in zip(units, items, strict=True))


def _held(items: Sequence[str], own: Sequence[int], other: Sequence[int], truth: Sequence[str]) -> str:
    """``rock, upper hand: coins 10``, or ``values hats 10, books 1, balls 1``."""
    worth = ", ".join(f"{item} {value}" for item, value in zip(items, own, strict=True))
    hand = [word for word in truth if word not in items]
    return f"{hand[0]}, {'upper' if own[0] > other[0] else 'lower'} hand: {worth}" if hand else f"values {worth}"
