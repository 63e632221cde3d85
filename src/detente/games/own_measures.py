"""A user's own measures, beside those of a game's family: ``module:attribute``, a function or a ``Measure`` with one.

    game, names ── with_measures ──> the same game, in which these are measured too

Must not import anything above games.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from detente import foreign
from detente.errors import UserError
from detente.games.family import Family, Measure, family_of
from detente.games.guard import brief, is_number, is_ours, watched
from detente.games.sides import Scalars, Side, Tables
from detente.records import Episode

G = TypeVar("G")
NAME = r"\w{1,80}"  # of what names metrics, columns and files
OF_EVERY_GAME = ("reward", "opponent_reward", "invalid")
OF_TRAINING = (  # what the other metrics of a run begin with
    *("audit", "capped", "credit", "critic_loss", "entropy", "eval", "grad_norm", "iteration", "kl", "loss", "mismatch"),
    *("observation_loss", "ratio", "remote", "role", "self_play", "shaped_reward", "steps", "time", "tokens", "vs"),
)
TAKEN = (*OF_EVERY_GAME, *OF_TRAINING)


def with_measures(game: G, names: Sequence[str]) -> G:
    """The game with more to measure; UserError for what is no measure, and for two of one name."""
    if not names:
        return game
    family: Family = family_of(game)  # type: ignore[arg-type]
    own = tuple(_measure(name) for name in names)
    known = [measure.name for measure in family.measures]
    for measure in own:
        if measure.name in (*known, *TAKEN):
            raise UserError(f"There is a number '{measure.name}' already; give the measure of your own another name.")
        known.append(measure.name)
    twin = copy.copy(game)
    try:
        object.__setattr__(twin, "family", extended(family, own))  # of this one object, which may be frozen
    except AttributeError:
        raise UserError(f"The game {game.name} cannot have more measures, as its class has __slots__.") from None  # type: ignore[attr-defined]
    return twin


def extended(family: Family, own: Sequence[Measure]) -> Family:
    """A family that measures these too."""

    def measure(game: Any, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
        scalars, tables = family.measure(game, sides)
        seen = own if sides else ()
        numbers = {known.name: _value(known, game, sides) for known in seen if not known.table}
        rows = {known.name: _value(known, game, sides) for known in seen if known.table}
        empty = {known.name: dict.fromkeys(known.table) for known in own if known.table}
        return {**scalars, **numbers}, {**tables, **empty, **rows}

    return replace(family, measures=(*family.measures, *own), measure=measure)


def own_values(game: Any, episode: Episode) -> tuple[dict[str, float | None], ...]:
    """For each player the numbers that nobody could read off the episode without somebody's own code; () where there are none.

    None for all of them where one cannot be measured of one side of one episode.
    """
    family = family_of(game)
    names = [known.name for known in family.measures if not known.table and (known.function or not is_ours(game))]
    return tuple(_side_values(family, game, (episode, player), names) for player in range(episode.num_players) if names)


def _side_values(family: Family, game: Any, side: Side, names: Sequence[str]) -> dict[str, float | None]:
    try:
        scalars, _ = family.measure(game, [side])
    except UserError:  # it may need several; where it fails with all of them it will say so
        return dict.fromkeys(names)
    return {name: _plain(scalars.get(name)) for name in names}


def _measure(name: str) -> Measure:
    if not foreign.is_foreign(name):
        raise UserError(f"'{name}' does not name a measure: a measure of your own is module:attribute, such as my_measures:gini.")
    value = foreign.attribute(name, "measure")
    if isinstance(value, Measure) and value.function is not None:
        measure = value
    elif callable(value) and not isinstance(value, type):
        meaning = (inspect.getdoc(value) or "").partition("\n")[0]
        short = name.partition(":")[2]
        measure = Measure(short, meaning, head=short.replace("_", " "), function=value)
    else:
        raise UserError(f"'{name}' does not name a measure: it is no function and no Measure with a function, but {brief(value)}.")
    if wrong := [condition for condition in measure.table if not condition or "/" in condition]:
        raise UserError(f"A condition of the measure '{name}' is a few words without a slash, not '{wrong[0]}'.")
    if not re.fullmatch(NAME, measure.name):
        raise UserError(f"A measure's name is made of letters, digits and underscores, not '{measure.name}'.")
    return replace(measure, function=watched(measure.function, f"The measure '{name}'", ""))  # type: ignore[arg-type]


def _value(measure: Measure, game: Any, sides: Sequence[Side]) -> Any:
    """What the measure's function says of these sides; UserError for what is no number, and no table of a table."""
    value = measure.function(game, sides)  # type: ignore[misc]
    right = "a finite number, or None where nothing was seen"
    if measure.table:
        right = f"such a number for each of {', '.join(measure.table)}"
        whole = isinstance(value, Mapping) and {*value} == {*measure.table} and all(map(is_number, value.values()))
    else:
        whole = is_number(value)
    if not whole:
        raise UserError(f"The measure '{measure.name}' returned {brief(value)}; it should be {right}.")
    return {key: _plain(cell) for key, cell in value.items()} if measure.table else _plain(value)


def _plain(value: Any) -> float | None:
    """As JSON has it: NumPy's numbers and others become floats."""
    return value if value is None or type(value) in (int, float) else float(value)
