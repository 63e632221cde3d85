"""Who sits where by the names in ``seats``: always the same or, with ``opponents.rotate``, another name on each seat every time.

    seats [a, b, c, d], three players ── training: drawn for each group ──> (c, a, d)
                                      └─ evaluation: in turn ──> (a, b, c) (b, c, d) (c, d, a) (d, a, b)

Must not import torch.
"""

from __future__ import annotations

from detente.config import Config
from detente.games import configured
from detente.seeding import stream

Names = tuple[str, ...]  # one for each seat


def players_of(config: Config) -> int:
    """The players of the game, where there may be more names than seats; else as many as names."""
    return configured(config.game).num_players if config.opponents.rotate else len(config.seats)


def drawn(config: Config, players: int, iteration: int, group: int) -> Names:
    """The names on the seats of a group in an iteration, counted from 0: every order is equally likely where they rotate."""
    if not config.opponents.rotate:
        return config.seats
    return tuple(stream(config.seed, "seats", iteration, group).sample(config.seats, players))


def in_turn(config: Config, players: int) -> list[Names]:
    """The orders that an evaluation plays: where names rotate, as many as there are names, and each sits once on every seat."""
    if not config.opponents.rotate:
        return [config.seats]
    count = len(config.seats)
    return [tuple(config.seats[(first + seat) % count] for seat in range(players)) for first in range(count)]


def own_seats(config: Config, name: str, players: int) -> list[int]:
    """The seats that a name takes, from 0 on: where names rotate all of them."""
    if config.opponents.rotate:
        return [*range(players)]
    return [seat for seat, sitting in enumerate(config.seats) if sitting == name]
