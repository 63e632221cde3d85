"""The games, by name: ``make("ipd", rounds=20)``.

Adding a game is one file and one line in ``GAMES``; ``"module:attribute"`` makes a game that lives elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from detente import foreign
from detente.errors import UserError, unknown
from detente.games import deal_or_no_deal, item_split, matrix, trust_and_split
from detente.games.base import Action, Game, Observation, State, Step

__all__ = ["GAMES", "Action", "Game", "Observation", "State", "Step", "make", "recorded"]

GAMES: dict[str, Callable[..., Game]] = {
    "ipd": matrix.ipd,
    "stag_hunt": matrix.stag_hunt,
    "chicken": matrix.chicken,
    "matching_pennies": matrix.matching_pennies,
    "matrix": matrix.matrix,
    "split_no_comm": item_split.split_no_comm,
    "trust_and_split": trust_and_split.trust_and_split,
    "trust_and_split_items": item_split.trust_and_split_items,
    "deal_or_no_deal": deal_or_no_deal.deal_or_no_deal,
}


MEMBERS = tuple(name for name in vars(Game) if not name.startswith("_"))  # what every game has


def make(name: str, **parameters: Any) -> Game:
    """The game of that name, or what ``module:attribute`` points to, called with the parameters.

    The latter runs whatever code that is; ``detente.config.load`` asks before a file may name it.
    """
    if foreign.is_foreign(name):
        return foreign.called(name, foreign.imported(name), parameters, MEMBERS)  # type: ignore[no-any-return]
    factory = GAMES.get(name)
    if factory is None:
        raise unknown("game", name, GAMES)
    try:
        return factory(**parameters)
    except TypeError as error:
        raise UserError(f"The game '{name}' does not take these parameters: {error}.") from error


def recorded(parameters: Mapping[str, Any]) -> Game | None:
    """The game that a file says was played; None where this version of detente has no such game.

    A game that lives elsewhere counts as unknown: what somebody wrote into a file must not decide which code is run.
    """
    return _recorded(json.dumps(parameters))


@lru_cache(maxsize=64)
def _recorded(parameters: str) -> Game | None:
    found = json.loads(parameters)
    try:
        return make(**found) if found.get("name") in [*GAMES] else None  # a list: the name may be anything
    except UserError:
        return None
