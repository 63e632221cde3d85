"""The parameters of a game against the annotations of its dataclass: one sentence for a value of another type.

    game.rounds=abc ── int ──> "The parameter game.rounds of my_games:Chess should be a whole number, not 'abc'."

Annotations of other kinds are not checked. Standard library only.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from detente.errors import UserError, as_typed

PLAIN: dict[Any, tuple[str, str, Callable[[Any], bool]]] = {  # type -> its words for one value and for several, what it takes
    int: ("a whole number", "whole numbers", lambda value: isinstance(value, Integral) and not isinstance(value, bool)),
    float: ("a number", "numbers", lambda value: isinstance(value, Real) and not isinstance(value, bool)),
    bool: ("true or false", "true or false", lambda value: isinstance(value, bool)),
    str: ("text", "texts", lambda value: isinstance(value, str)),
    type(None): ("null", "null", lambda value: value is None),
}
LISTS = (tuple, list, Sequence)
UNIONS = (Union, types.UnionType)


def check_types(game: object, name: str, given: Mapping[str, Any]) -> None:
    """UserError for the first parameter that is not of the type of its field; ``game`` is a game or its class."""
    hints = annotated(game if isinstance(game, type) else type(game))
    for parameter, value in given.items():
        if parameter in hints and not fits(value, hints[parameter]):
            right = words(hints[parameter])
            raise UserError(f"The parameter game.{parameter} of {name} should be {right}, not {as_typed(value)}.")


def fits(value: Any, annotation: Any) -> bool:
    """Whether the value is of the annotated type, as YAML can say it: a list stands for a tuple, a whole number for a float."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in PLAIN:
        return PLAIN[annotation][2](value)
    if origin is Annotated:
        return fits(value, inner[0])
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in inner)
    if origin in UNIONS:
        return any(fits(value, choice) for choice in inner)
    if annotation in LISTS or origin in LISTS:
        return isinstance(value, list | tuple) and _items_fit(value, inner, any_length=origin is not tuple or inner[-1:] == (...,))
    if annotation is dict or origin in (dict, Mapping):
        keys, values = inner or (Any, Any)
        return isinstance(value, Mapping) and all(fits(k, keys) and fits(v, values) for k, v in value.items())
    return True


def words(annotation: Any, *, several: bool = False) -> str:
    """A type as a sentence says it: ``a list of whole numbers``."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in PLAIN:
        alone, many, _ = PLAIN[annotation]
        return many if several else alone
    if origin is Annotated:
        return words(inner[0], several=several)
    if origin is Literal:
        return " or ".join(f"'{choice}'" if isinstance(choice, str) else str(choice).lower() for choice in inner)
    if origin in UNIONS:
        return " or ".join(words(choice, several=several) for choice in inner)
    if annotation in LISTS or origin in LISTS:
        start = "lists" if several else "a list"
        if origin is tuple and inner and inner[-1] is not ...:
            return f"{start} of {' and '.join(words(item) for item in inner)}"
        return f"{start} of {words(inner[0], several=True)}" if inner else start
    if annotation is dict or origin in (dict, Mapping):
        return "mappings" if several else "a mapping"
    return "values" if several else getattr(annotation, "__name__", str(annotation))


def _items_fit(items: Sequence[Any], inner: tuple[Any, ...], *, any_length: bool) -> bool:
    if not inner:
        return True
    if any_length:
        return all(fits(item, inner[0]) for item in items)
    return len(items) == len(inner) and all(map(fits, items, inner))


@lru_cache(maxsize=256)
def annotated(game: type) -> dict[str, Any]:
    """The annotations of the fields by name; none where it is no dataclass, or where its annotations cannot be looked up."""
    if not is_dataclass(game):
        return {}
    try:
        hints = get_type_hints(game, include_extras=True)
    except Exception:  # a name that only type checkers import, and anything else
        return {}
    return {field.name: hints[field.name] for field in fields(game)}
