"""Games that vary while a run trains: stages, choices and ranges for parameters of its game.

    vary.rounds.stages=[5,10,20] ── iteration, group ──> rounds ──> the game of that group

What a group plays follows from the seed of the run, the iteration and the group, so nothing is saved for resuming. Evaluations and
measures keep to the game as it is. Must not import torch.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import prod
from statistics import fmean
from types import MappingProxyType
from typing import Any

from detente.config import Config
from detente.errors import UserError
from detente.games import configured
from detente.games.base import Game
from detente.games.parameters import without_effect
from detente.seeding import stream
from detente.variation_options import Variation

MOST = 1000  # games that are tried before a training starts
BETWEEN = 0.382  # of a range, a value that is tried beside its ends

Parameters = Mapping[str, Any]
NONE: Mapping[Any, Any] = MappingProxyType({})


def game_at(config: Config, iteration: int, group: int, setting: Parameters = NONE) -> Game:
    """The game that a group plays in an iteration, counted from 0; a ``setting`` stands in the place of what would be drawn."""
    return _game(config, {**parameters_at(config, iteration, group), **setting})


def games_by_group(config: Config, iteration: int, settings: Mapping[int, Parameters] = NONE) -> dict[int, Game]:
    """The game of each group of an iteration, with the settings of some; empty where nothing varies."""
    return {group: game_at(config, iteration, group, settings.get(group, NONE)) for group in _groups(config)} if config.vary else {}


def varied(config: Config, iteration: int, settings: Mapping[int, Parameters] = NONE) -> dict[str, float]:
    """The metrics of an iteration: of each parameter that varies the mean over groups. Left out are parameters that can be
    something else than a number, and those without effect on the game of some group."""
    drawn = [{**parameters_at(config, iteration, group), **settings.get(group, NONE)} for group in _groups(config)]
    silent = {without_effect(game.parameters()) for game in games_by_group(config, iteration, settings).values()}
    shown = [name for name, variation in config.vary.items() if _are_numbers(variation) and name not in silent]
    return {f"vary/{name}": fmean(parameters[name] for parameters in drawn) for name in shown}


def fresh_setting(config: Config, iteration: int, group: int) -> dict[str, Any]:
    """What a group draws by choices and ranges, as JSON has it; stages have their time and are drawn by nobody."""
    parameters = parameters_at(config, iteration, group)
    drawn = {name: parameters[name] for name, variation in config.vary.items() if variation.stages is None}
    return dict(json.loads(json.dumps(drawn)))


def parameters_at(config: Config, iteration: int, group: int) -> dict[str, Any]:
    """The parameters that vary, as they are for a group in an iteration, counted from 0."""
    return {
        name: _value(variation, iteration, stream(config.seed, "vary", iteration, group, name))
        for name, variation in config.vary.items()
    }


def possible_games(config: Config, check: Callable[[Game], None] | None = None) -> dict[int, list[Game]]:
    """The games that the options lead to, by the iteration from which on they are played; of a range those of its ends and of a
    number between. Empty where nothing varies. UserError names the values of a game that cannot be made, or that ``check``
    refuses, and a parameter that has no effect on any game."""
    if not config.vary:
        return {}
    starts = _starts(config)
    most = len(starts) * prod(len(_possible(variation, 0)) for variation in config.vary.values())
    if most > MOST:
        raise UserError(f"vary makes up to {most} games, more than the {MOST} that are tried before it starts; leave some out.")
    possible = {start: [_checked(config, values, check) for values in _combined(config, start)] for start in starts}
    _check_effect(config, [game for together in possible.values() for game in together])
    return possible


def _check_effect(config: Config, possible: Sequence[Game]) -> None:
    """UserError for a parameter that varies and changes none of the games."""
    silent = {without_effect(game.parameters()) for game in possible}
    for name in config.vary:
        if silent == {name}:
            beside = "a continuation is set" if name == "rounds" else "no continuation is set"
            raise UserError(f"vary.{name} changes nothing, because {beside}; leave out vary.{name}, or change the continuation.")


def _are_numbers(variation: Variation) -> bool:
    """Whether all values that there can be are numbers."""
    return all(type(value) in (int, float) for value in variation.stages or variation.choices or _ends(variation))


def _groups(config: Config) -> range:
    return range(config.episodes // config.group_size)


def _game(config: Config, parameters: Parameters) -> Game:
    return configured({**config.game, **parameters}, config.measures)


def _value(variation: Variation, iteration: int, rng: random.Random) -> Any:
    if variation.stages is not None:
        return _stage(variation.stages, iteration // variation.lasts)
    if variation.choices is not None:
        return rng.choice(variation.choices)
    return rng.uniform(*_ends(variation))


def _stage(stages: Sequence[Any], number: int) -> Any:
    """The last stage stays."""
    return stages[min(number, len(stages) - 1)]


def _ends(variation: Variation) -> tuple[float, float]:
    assert variation.range is not None, "a variation has one form"
    return variation.range


def _starts(config: Config) -> list[int]:
    """The iterations in which a stage of some parameter begins."""
    staged = [variation for variation in config.vary.values() if variation.stages is not None]
    return sorted({0, *(number * v.lasts for v in staged for number in range(len(v.stages or ())))})


def _possible(variation: Variation, iteration: int) -> Sequence[Any]:
    """The values to be tried of those that a parameter can have in an iteration."""
    if variation.stages is not None:
        return (_stage(variation.stages, iteration // variation.lasts),)
    if variation.choices is not None:
        return variation.choices
    low, high = _ends(variation)
    return low, low + BETWEEN * (high - low), high


def _combined(config: Config, iteration: int) -> list[dict[str, Any]]:
    """What the parameters that vary can be together in an iteration."""
    values = product(*(_possible(variation, iteration) for variation in config.vary.values()))
    return [dict(zip(config.vary, together, strict=True)) for together in values]


def _checked(config: Config, parameters: Parameters, check: Callable[[Game], None] | None) -> Game:
    try:
        game = _game(config, parameters)
        if check is not None:
            check(game)
    except UserError as error:
        values = " and ".join(f"vary.{name}={value}" for name, value in parameters.items())
        raise UserError(f"There is no game for {values}: {error}{_advice(config, parameters)}") from error
    return game


def _advice(config: Config, parameters: Parameters) -> str:
    """What would be right where a range draws numbers with a fraction, and the game takes whole ones."""
    whole = {name: int(value) for name, value in parameters.items() if isinstance(value, float) and value.is_integer()}
    ranges = [name for name in whole if config.vary[name].range is not None]
    try:
        _game(config, {**parameters, **whole})
    except UserError:
        return ""
    return f" A range draws numbers with a fraction; list whole ones as vary.{ranges[0]}.choices." if ranges else ""
