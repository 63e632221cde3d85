"""Games and families from outside the package, whose faults become one sentence: which game, in which method, what is wrong.

    game of the package ──> itself          a user's own game ── guarded ──> the same game, whose methods are checked

The same for the functions of a family. Must not import anything above games.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import wraps
from typing import Any, TypeVar

from detente.errors import UserError
from detente.foreign import fault
from detente.games.base import Game, Observation, Step

F = TypeVar("F")
METHODS = ("reset", "to_act", "observe", "parse", "default_action", "step", "parameters")

MOST_STEPS = 10_000  # of one episode


def is_ours(game: object) -> bool:
    """Whether the game's class belongs to the package."""
    return type(game).__module__.partition(".")[0] == "detente"


def guarded(game: Game) -> Game:
    """A game to play: the game itself where the package has it; else it raises UserError for whatever goes wrong inside it."""
    return game if is_ours(game) or isinstance(game, Guarded) else Guarded(game)


def check_length(game: Game, steps: int) -> None:
    """UserError where an episode of a game from outside the package has had so many steps that it will surely never end."""
    if steps > MOST_STEPS and not is_ours(game):
        raise UserError(
            f"The game {game.name} was not done after {MOST_STEPS:,} steps; its step should say done=True at some time."
        )


class Guarded:
    """A game whose methods are checked."""

    def __init__(self, game: Game) -> None:
        self._game = game
        checks = {"to_act": self._acting, "observe": self._observed, "step": self._stepped}
        for method in METHODS:
            setattr(self, method, watched(getattr(game, method), f"The game {game.name}", method, checks.get(method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._game, name)

    def _acting(self, acting: Any) -> str:
        seats = range(self._game.num_players)
        whole = isinstance(acting, tuple | list) and len(acting) > 0 and all(acting.count(p) == 1 and p in seats for p in acting)
        return "" if whole else f"the players who answer, at least one of {', '.join(map(str, seats))} until the game is done"

    def _observed(self, observation: Any) -> str:
        return "" if isinstance(observation, Observation) else "an Observation"

    def _stepped(self, step: Any) -> str:
        if not isinstance(step, Step):
            return "a Step"
        if step.rewards is None:
            return "rewards with the last step" if step.done else ""
        count = self._game.num_players
        whole = isinstance(step.rewards, tuple | list) and len(step.rewards) == count and all(map(is_finite, step.rewards))
        return "" if whole else f"{count} rewards, one finite number per player"


def watched(call: Callable[..., F], whose: str, name: str, check: Callable[[F], str] | None = None) -> Callable[..., F]:
    """The call; UserError where it raises something, or where the check says what it should have returned."""

    @wraps(call)
    def called(*given: Any) -> F:
        try:
            result = call(*given)
        except Exception as error:
            raise fault(whose, error, name) from error
        if check is not None and (right := check(result)):
            raise UserError(f"{whose} returned {brief(result)} in {name}; it should be {right}.")
        return result

    return called


def guarded_family(family: Any, game: Game) -> Any:
    """The family of a user's own game, whose functions are checked."""
    named = {field.name: getattr(family, field.name) for field in fields(family)}
    whose = f"The family '{named['name']}' of the game {game.name}"
    checks = {"measure": _measured}
    calls = {name: watched(call, whose, name, checks.get(name)) for name, call in named.items() if callable(call)}
    return replace(family, **calls)


def _measured(result: Any) -> str:
    right = "numbers by name and tables by name, ({'giving': 0.5}, {}), where a number is finite or None"
    if not (isinstance(result, tuple) and len(result) == 2 and all(isinstance(part, Mapping) for part in result)):
        return right
    scalars, tables = result
    whole = all(map(is_number, scalars.values())) and all(isinstance(table, Mapping) for table in tables.values())
    cells = [cell for table in tables.values() for cell in table.values()] if whole else []
    numbers = [number for cell in cells for number in (cell.values() if isinstance(cell, Mapping) else (cell,))]
    return "" if whole and all(map(is_number, numbers)) else right


def is_number(value: Any) -> bool:
    """Whether a measure may be this: a finite number, or None where nothing was seen."""
    return value is None or is_finite(value)


def is_finite(value: Any) -> bool:
    """Whether this is a finite number; NumPy's are numbers too."""
    try:
        return not isinstance(value, str) and math.isfinite(value)
    except (TypeError, ValueError, OverflowError):
        return False


def brief(value: object, longest: int = 80) -> str:
    """A value as a sentence can repeat it."""
    text = " ".join(repr(value).split())
    return text if len(text) <= longest else f"{text[:longest]} ..."
