"""Code that an option names: ``module:attribute`` is a game, an algorithm ... from outside the package.

    a command line names it ──────────────────────────────> imported
    a preset or a run folder names it ── trusted? ── yes ──> imported
                                             └────── no ──> UserError: which module, where it lies, what to say

To import it is to run it, so a file may not decide that. Nothing is imported to find out where a module lies.
Standard library only.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from typing import Any, NamedTuple

from detente.errors import UserError

FORM = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")

# Options that may name code, with the noun for what it is; * stands for every key of a mapping and every item of a list.
OPTIONS = {
    "game": "game",
    "game.name": "game",
    "game.of": "game",  # inside a mechanism, and a mechanism may be inside another one
    "game.of.name": "game",
    "game.of.of": "game",
    "game.of.of.name": "game",
    "algorithm": "algorithm",
    "learners.*.algorithm": "algorithm",
    "seats.*": "strategy",
    "opponents.scripts.*": "strategy",
    "evaluation.against.*": "strategy",
    "measures.*": "measure",
    "reward": "reward",
    "learners.*.reward": "reward",
    "trackers.*": "tracker",
}
EXAMPLES = {
    "game": "my_games:Chess",
    "algorithm": "my_algorithms:inequity",
    "strategy": "my_rules:grudger",
    "measure": "my_measures:gini",
    "reward": "my_rewards:prosocial",
    "tracker": "my_trackers:Lines",
}
PLAYERS = ("model:", "axelrod:", "openai:", "briefed:")  # names of players that are no code


class Named(NamedTuple):
    """An option that names code: ``("learners.bob.algorithm", "mine:inequity", "algorithm")``."""

    option: str
    name: str
    noun: str


def is_foreign(name: object) -> bool:
    """Whether this names code, or tries to."""
    return isinstance(name, str) and ":" in name


def is_strategy(name: object) -> bool:
    """Whether the name of a player names code, a user's own strategy."""
    return isinstance(name, str) and FORM.fullmatch(name) is not None and not name.startswith(PLAYERS)


def named(options: Mapping[str, Any]) -> Iterator[Named]:
    """Every option that names code, in options as a file or a command line writes them (nested mappings)."""
    for pattern, noun in OPTIONS.items():
        for option, value in _values(options, pattern.split(".")):
            if is_strategy(value) if noun == "strategy" else is_foreign(value):
                yield Named(option, value, noun)


def check_trusted(file: str, options: Mapping[str, Any], given: Mapping[str, Any], *, trusted: bool) -> None:
    """UserError for code that the options name because ``file`` does: unless trusted, it must be among those ``given`` by hand."""
    if trusted:
        return
    by_hand = set(named(given))
    for option, name, noun in named(options):
        if (option, name, noun) not in by_hand:
            module = name.partition(":")[0]
            raise UserError(
                f"{file} names the {noun} '{name}', which would run code of the module {module} ({whereabouts(module)}); "
                f"add --trust (trust=True in Python) if you trust both, or name the {noun} yourself: {option}={name}."
            )


def fault(what: str, error: Exception, where: str = "") -> UserError:
    """The sentence for what a user's own code raised; a UserError stays as it is."""
    inside = f" in {where}" if where else ""
    return error if isinstance(error, UserError) else UserError(f"{what} raised {said(error)}{inside}; --debug shows where.")


def whereabouts(module: str) -> str:
    """Where a module lies, "/home/me/mine.py"; nothing is imported, its packages neither."""
    spec, path = None, None
    for part in _prefixes(module):
        spec = _spec(part, path)
        if spec is None:
            return "which Python does not find"
        path = spec.submodule_search_locations
    if spec is None or spec.origin is None:
        return "a folder without code of its own" if spec else "which Python does not find"
    return spec.origin if spec.has_location else "a part of Python itself"


def check_form(name: str, noun: str) -> None:
    """UserError unless the name has the form of one for code."""
    if not FORM.fullmatch(name):
        raise UserError(f"'{name}' does not name {a(noun)}: {a(noun)} of your own is module:attribute, such as {EXAMPLES[noun]}.")


def imported(name: str, noun: str) -> Callable[..., Any]:
    """The function or class that the name stands for, a ``noun``. This runs the module's code; UserError where there is none."""
    value = attribute(name, noun)
    if not callable(value):
        wrong = f"{name.partition(':')[2]} is no class or function, but {type(value).__name__}"
        raise UserError(f"'{name}' does not name {a(noun)}: {wrong}.")
    return value  # type: ignore[no-any-return]


def attribute(name: str, noun: str) -> Any:
    """What the name stands for, a ``noun``. This runs the module's code; UserError where there is nothing of that name."""
    check_form(name, noun)
    wrong = f"'{name}' does not name {a(noun)}"
    module, _, inner = name.partition(":")
    _look_here()
    try:
        return getattr(importlib.import_module(module), inner)
    except Exception as error:  # the module may raise anything
        missing = isinstance(error, ModuleNotFoundError) and error.name in _prefixes(module)
        where = "; modules are looked for in the present folder and where Python finds them" if missing else ""
        raise UserError(f"{wrong} that can be imported: {said(error)}{where}.") from error


def called(name: str, factory: Callable[..., Any], parameters: dict[str, Any], members: tuple[str, ...]) -> Any:
    """The game that the factory makes of the parameters; UserError where it fails, or where the game lacks one of the members."""
    try:
        made = factory(**parameters)
    except UserError:
        raise
    except Exception as error:  # and so may its function
        raise UserError(f"The game '{name}' does not take these parameters: {said(error)}.") from error
    missing = [member for member in members if not hasattr(made, member)]
    if missing:
        raise UserError(f"'{name}' makes no game: {type(made).__name__} has no {', '.join(missing)}; see docs/add-a-game.md.")
    return made


def a(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def said(error: Exception) -> str:
    """What a stranger's code raised, in one line without a full stop."""
    return " ".join(f"{type(error).__name__} {error}".split()).rstrip(".")


def _values(options: Any, pattern: list[str], before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """(dotted option, value) of everything that the pattern leads to."""
    if not pattern:
        yield ".".join(before), options
        return
    inner = options if isinstance(options, Mapping) else dict(enumerate(options)) if isinstance(options, list | tuple) else {}
    for key, value in inner.items():
        if pattern[0] in ("*", str(key)):
            yield from _values(value, pattern[1:], (*before, str(key)))


def _look_here() -> None:
    """Let Python find modules of the current folder too, after all others: where a command runs, that is where one's own lie."""
    with suppress(OSError):  # the folder may be gone
        if not {"", os.getcwd()} & {*sys.path}:
            sys.path.append(os.getcwd())


def _prefixes(module: str) -> list[str]:
    """``a.b.c`` -> a, a.b, a.b.c."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _spec(module: str, path: Any) -> ModuleSpec | None:
    """Where Python would look, by its own finders."""
    try:
        if path is None:
            own = BuiltinImporter.find_spec(module) or FrozenImporter.find_spec(module)
            return PathFinder.find_spec(module) or own or PathFinder.find_spec(module, [os.getcwd()])
        return PathFinder.find_spec(module, path)
    except (ImportError, ValueError, OSError):
        return None
