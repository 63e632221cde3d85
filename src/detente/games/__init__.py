"""The games, by name: ``make("ipd", rounds=20)``.

A family of games is a folder and a line in ``FAMILIES``; ``"module:attribute"`` makes a game that lives elsewhere. A mechanism is a
game around a game, its parameter ``of``: ``make("repetition", of={"name": "ipd", "rounds": 1})``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from detente import foreign
from detente.errors import UserError, as_typed, unknown
from detente.games import bilateral_trade, commons, donor, investor, matrix, mechanisms, public_goods, splitting
from detente.games.annotations import check_types
from detente.games.base import Action, Game, Observation, State, Step
from detente.games.family import Family, Measure, family_of
from detente.games.own_measures import with_measures

__all__ = [
    "FAMILIES",
    "GAMES",
    "Action",
    "Family",
    "Game",
    "Measure",
    "Observation",
    "State",
    "Step",
    "configured",
    "family_of",
    "make",
    "names",
    "recorded",
    "words",
]

FAMILIES: tuple[Family, ...] = (
    matrix.FAMILY,
    splitting.FAMILY,
    public_goods.FAMILY,
    commons.FAMILY,
    donor.FAMILY,
    investor.FAMILY,
    bilateral_trade.FAMILY,
    mechanisms.FAMILY,
)
GAMES: dict[str, Callable[..., Game]] = {name: game for family in FAMILIES for name, game in family.games.items()}
MEASURES = {measure.name: measure for family in FAMILIES for measure in family.measures}
WORDS = {"reward": "points per round"} | {name: measure.words for name, measure in MEASURES.items() if measure.words}

INSIDE = {"name": "ipd", "rounds": 1}  # the game in a mechanism that names none
DEEPEST = 2  # mechanisms around each other
MEMBERS = tuple(name for name in vars(Game) if not name.startswith("_"))  # what every game has


def make(name: str, **parameters: Any) -> Game:
    """The game of that name, or what ``module:attribute`` points to, called with the parameters.

    The latter runs whatever code that is; ``detente.config.load`` asks before a file may name it.
    """
    if foreign.is_foreign(name):
        factory = foreign.imported(name, "game")
        check_types(factory, name, parameters)
        game: Game = foreign.called(name, factory, parameters, MEMBERS)
    elif name not in GAMES:
        raise unknown("game", name, GAMES)
    else:
        if name in mechanisms.FAMILY.games:
            parameters = parameters | {"of": _inside(name, parameters.get("of", INSIDE))}
        try:
            game = GAMES[name](**parameters)
        except TypeError as error:
            raise UserError(f"The game '{name}' does not take these parameters: {error}.") from error
    check_types(game, name, parameters)
    return game


def _inside(mechanism: str, of: Any) -> Game:
    """The game inside a mechanism: a name, a name with parameters, or the game itself."""
    if isinstance(of, str):
        return make(of)
    if isinstance(of, Mapping) and isinstance(of.get("name"), str):
        if len(names(of)) > DEEPEST:
            raise UserError(f"The mechanism {mechanism} is around a game, or around a mechanism that is around a game, no deeper.")
        return make(**of)
    if all(hasattr(of, member) for member in MEMBERS):
        inner: Game = of
        return inner
    if isinstance(of, Mapping) and "name" not in of:
        raise UserError(f"The game inside the mechanism {mechanism} has no name; give it one, such as game.of.name=ipd.")
    raise UserError(f"The mechanism {mechanism} is around a game, such as game.of.name=ipd, not {as_typed(of)}.")


def names(parameters: Any) -> list[str]:
    """The name of a game, and of what is inside of it, from its parameters: what decides which code runs."""
    result: list[str] = []
    while isinstance(parameters, Mapping):
        result.append(str(parameters.get("name")))
        parameters = parameters.get("of")
    return result + ([] if parameters is None else [str(parameters)])


def configured(options: Mapping[str, Any], measures: Sequence[str] = ()) -> Game:
    """The game of a run: its name and parameters, with the user's own measures (``module:attribute``)."""
    return with_measures(make(**options), measures)


def words(measure: str) -> str:
    """A measure in words; of a measure that no family of the package has, its name."""
    return WORDS.get(measure, measure.replace("_", " "))


def recorded(parameters: Mapping[str, Any]) -> Game | None:
    """The game that a file says was played; None where this version of detente has no such game.

    A game from outside the package counts as unknown: the content of a file must not decide which code is run.
    """
    return _recorded(json.dumps(parameters))


@lru_cache(maxsize=64)
def _recorded(parameters: str) -> Game | None:
    stored = json.loads(parameters)
    try:
        return make(**stored) if {*names(stored)} <= {*GAMES} and isinstance(stored["name"], str) else None
    except UserError:
        return None
