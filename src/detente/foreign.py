"""Code that a name stands for: ``module:attribute`` is a game that somebody wrote outside of the package.

    a command line names it ──────────────────────────────> imported
    a preset or a run folder names it ── trusted? ── yes ──> imported
                                             └────── no ──> UserError: which module, where it lies, what to say

Whoever imports it runs it, so a file may not decide that. Nothing is imported to find out where a module lies.
Standard library only.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from typing import Any

from detente.errors import UserError

FORM = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_foreign(name: object) -> bool:
    """Whether this names code, or tries to."""
    return isinstance(name, str) and ":" in name


def check_trusted(file: str, name: str, *, trusted: bool) -> None:
    """UserError unless the code that ``file`` names may be run."""
    if not trusted:
        module = name.partition(":")[0]
        raise UserError(
            f"{file} names the game '{name}', which would run code of the module {module} ({whereabouts(module)}); add --trust "
            f"(trust=True in Python) if you trust both, or name the game yourself: game.name={name}."
        )


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


def imported(name: str) -> Callable[..., Any]:
    """What the name stands for. This runs the module's code; UserError where there is no such thing to call."""
    if not FORM.fullmatch(name):
        raise UserError(f"'{name}' does not name a game: a game of your own is module:attribute, such as my_games:Chess.")
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the module may raise anything
        raise UserError(f"'{name}' does not name a game that can be imported: {_told(error)}.") from error
    if not callable(found):
        raise UserError(f"'{name}' does not name a game: {attribute} is no class or function, but {type(found).__name__}.")
    return found  # type: ignore[no-any-return]


def called(name: str, factory: Callable[..., Any], parameters: dict[str, Any], members: tuple[str, ...]) -> Any:
    """What the factory makes of the parameters; UserError where it fails, or where what it makes lacks one of the members."""
    try:
        made = factory(**parameters)
    except UserError:
        raise
    except Exception as error:  # and so may its function
        raise UserError(f"The game '{name}' does not take these parameters: {_told(error)}.") from error
    missing = [member for member in members if not hasattr(made, member)]
    if missing:
        raise UserError(f"'{name}' makes no game: {type(made).__name__} has no {', '.join(missing)}; see docs/add-a-game.md.")
    return made


def _prefixes(module: str) -> list[str]:
    """``a.b.c`` -> a, a.b, a.b.c."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _spec(module: str, path: Any) -> ModuleSpec | None:
    """Where Python would look, by its own finders."""
    try:
        if path is None:
            own = BuiltinImporter.find_spec(module) or FrozenImporter.find_spec(module)
            return PathFinder.find_spec(module) or own
        return PathFinder.find_spec(module, path)
    except (ImportError, ValueError, OSError):
        return None


def _told(error: Exception) -> str:
    return " ".join(f"{type(error).__name__} {error}".split()).rstrip(".")
