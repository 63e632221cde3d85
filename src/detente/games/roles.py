"""Roles: what the seats of a game are to a player where they differ, as investor and trustee do.

    game ── symmetric? ── yes ──> no roles: what a policy does on one seat it does on any
                      └── no ───> a role for each seat: ``game.roles``, else "seat 1", "seat 2" ...

A game without ``symmetric`` counts as symmetric. Must not import anything above games.
"""

from __future__ import annotations

from typing import Any

from detente.errors import UserError, as_typed

LONGEST = 40  # characters of a role


def roles(game: Any) -> tuple[str, ...]:
    """The role of each seat; () where seats do not differ, and where there is no game. UserError for roles that name no seats."""
    if getattr(game, "symmetric", True):
        return ()
    named = getattr(game, "roles", None)
    if named is None:
        return tuple(f"seat {number}" for number in range(1, game.num_players + 1))
    if not isinstance(named, (tuple, list)) or len(named) != game.num_players or len(set(map(str, named))) != len(named):
        raise UserError(
            f"The game {game.name} should have one role for each of its seats ({game.num_players}), not {as_typed(named)}."
        )
    if wrong := [role for role in named if not _is_role(role)]:
        raise UserError(f"A role of the game {game.name} is a few words without a slash, not {as_typed(wrong[0])}.")
    return tuple(named)


def seat_name(game: Any, seat: int) -> str:
    """The role of a seat, or its number, counted from 1."""
    named = roles(game)
    return named[seat] if named else f"seat {seat + 1}"


def in_role(name: str, role: str) -> str:
    """``main as trustee``; the name alone where there is no role."""
    return f"{name} as {role}" if role else name


def prefix(role: str) -> str:
    """What a metric of one role begins with, ``role/trustee/``; "" where there is no role."""
    return f"role/{role}/" if role else ""


def _is_role(role: object) -> bool:
    return isinstance(role, str) and 0 < len(role) <= LONGEST and role.isprintable() and role == role.strip() and "/" not in role
