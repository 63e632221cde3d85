"""What the parameters of the games have in common: the horizon, JSON, and one sentence for a wrong option."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from detente.errors import UserError, as_typed, unknown

G = TypeVar("G")
MOST_ROUNDS = 1000  # more than anyone waits for
MOST = 1000  # of what is shared and what it is worth: an answer's pattern lists every amount


def build(game: type[G], defaults: dict[str, Any], given: dict[str, Any]) -> G:
    """The dataclass ``game`` with these parameters; UserError names the nearest option where there is none of that name."""
    known = [f"game.{field.name}" for field in fields(game)]  # type: ignore[arg-type]
    for name in given:
        if f"game.{name}" not in known:
            raise unknown("option", f"game.{name}", known)
    return game(**defaults | given)


def added(default: Any) -> Any:
    """A parameter that earlier versions did not have: on record only where it is set, so that folders of theirs can go on."""
    return field(default=default, metadata={"added": True})


def as_json(game: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON values, those that were ``added`` where they are set; tuples become lists."""
    values = {parameter: getattr(game, parameter.name) for parameter in fields(game)}
    return {p.name: _plain(value) for p, value in values.items() if "added" not in p.metadata or value != p.default}


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def draw_horizon(rng: random.Random, rounds: int, continuation: float | None, max_rounds: int) -> int:
    """How many rounds an episode has: ``rounds``, or after each round one more with probability ``continuation``."""
    if continuation is None:
        return rounds
    horizon = 1
    while horizon < max_rounds and rng.random() < continuation:
        horizon += 1
    return horizon


def without_effect(parameters: Mapping[str, Any]) -> str | None:
    """Of the options of a horizon the one that says nothing beside the others; None where there is no horizon."""
    if not {"rounds", "continuation", "max_rounds"} <= parameters.keys():
        return None
    return "max_rounds" if parameters["continuation"] is None else "rounds"


def check_horizon(rounds: Any, continuation: Any, max_rounds: Any) -> None:
    """UserError unless ``draw_horizon`` can use these."""
    check_count("rounds", rounds, 1, MOST_ROUNDS)
    check_count("max_rounds", max_rounds, 1, MOST_ROUNDS)
    if continuation is not None and not (isinstance(continuation, int | float) and 0 <= continuation < 1):
        raise UserError(f"The continuation probability lies in [0, 1), not {as_typed(continuation)}.")


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """How long a game lasts: ``rounds`` rounds, or with ``continuation`` after each round another one with that probability, at
    most ``max_rounds`` in all."""

    rounds: int = 10
    continuation: float | None = None
    max_rounds: int = 50

    def __post_init__(self) -> None:
        check_horizon(self.rounds, self.continuation, self.max_rounds)

    def draw_horizon(self, rng: random.Random) -> int:
        """How many rounds an episode has."""
        return draw_horizon(rng, self.rounds, self.continuation, self.max_rounds)


def check_share(option: str, value: Any) -> None:
    """UserError unless this is a number from 0 to 1."""
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise UserError(f"The option {option} is a probability, a number from 0 to 1, not {as_typed(value)}.")


def check_count(option: str, value: Any, minimum: int, maximum: int) -> None:
    """UserError unless this is a whole number between the two."""
    if type(value) is not int or not minimum <= value <= maximum:
        raise UserError(f"The option {option} is a whole number from {minimum} to {maximum}, not {as_typed(value)}.")


def check_switch(option: str, value: Any) -> None:
    """UserError unless this is true or false."""
    if type(value) is not bool:
        raise UserError(f"The option {option} is true or false, not {as_typed(value)}.")


def check_choice(option: str, value: Any, known: Iterable[str]) -> None:
    """UserError unless this is one of the known words."""
    if value not in known:
        raise unknown("value", str(value), known, f"The option {option}")
