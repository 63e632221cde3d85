"""Presets, and the overrides of a command line, as mappings of options that nobody has checked yet.

NAME.yaml here, a preset file, or a run folder's config.yaml ── extends ... ──> read ──┐
["game.rounds=3"] ── overrides ─────────────────────────────────────────────────── merged ──> detente.config
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from detente import former
from detente.engine_options import spelled_out
from detente.errors import UserError, unknown
from detente.files import read_text, reason
from detente.plain_yaml import SIZE, parse

STORED = "config.yaml"  # the options of a run folder
SUFFIXES = (".yaml", ".yml")  # of a preset file


def preset_names() -> list[str]:
    """The presets inside the package."""
    return sorted(p.name.removesuffix(".yaml") for p in resources.files("detente.presets").iterdir() if p.name.endswith(".yaml"))


def is_preset(name: str) -> bool:
    """Whether this names a preset, by its present or a former name, a preset file, or a run folder."""
    return name.endswith(SUFFIXES) or name in former.PRESETS or name in preset_names() or _is_run(name)


def read(name: str, extending: tuple[str, ...] = ()) -> dict[str, Any]:
    """The options of a preset, laid over those of the preset that it ``extends``."""
    if name in extending:
        raise UserError(f"The preset {name} extends itself: {' -> '.join((*extending, name))}.")
    own = _own_options(name)
    base = own.pop("extends", None)
    if base is None:
        return own
    return merged(read(str(base), (*extending, name)), own)


def merged(*layers: dict[str, Any]) -> dict[str, Any]:
    """The options of all layers; later ones win, and mappings are laid over each other key by key."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            before = result.get(key)
            if key == "game" and isinstance(before, str):
                before = {"name": before}
            result[key] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result


def without_own_options(data: dict[str, Any]) -> dict[str, Any]:
    """The options without ``credit.options``, which are those of their own algorithm and no other's."""
    credit = data.get("credit")
    return data | {"credit": {k: v for k, v in credit.items() if k != "options"}} if isinstance(credit, dict) else data


def mapping(preset: str, options: Any) -> dict[str, Any]:
    """The options, if they are a mapping; UserError names their preset."""
    if not isinstance(options, dict):
        raise UserError(f"The preset {preset} must be a mapping of options.")
    return options


def _own_options(name: str) -> dict[str, Any]:
    """What stands in the file of a preset itself."""
    name = former.PRESETS.get(name, name)
    file = name if name.endswith(SUFFIXES) else str(Path(name) / STORED)
    if name in preset_names():
        text = (resources.files("detente.presets") / f"{name}.yaml").read_text(encoding="utf-8")
    elif name.endswith(SUFFIXES) or _is_run(name):
        try:
            text = read_text(Path(file), SIZE)
        except (OSError, ValueError) as error:
            raise UserError(f"The preset file {file} cannot be read: {reason(error)}.") from error
    elif "/" in name:
        raise UserError(f"{name} is not a run folder: it has no {STORED}.")
    else:
        raise unknown("preset", name, preset_names())
    try:
        options = parse(text)
    except ValueError as error:
        raise UserError(f"The preset {name} is not valid YAML: {reason(error)}.") from error
    stored = Path(file).name == STORED
    present = spelled_out(former.renamed(mapping(name, options), notice=not stored))
    return former.completed(present) if stored else present


def _is_run(name: str) -> bool:
    return os.path.isfile(Path(name) / STORED)  # unlike Path.is_file, it calls a name that is too long no file


def given(overrides: Iterable[str]) -> dict[str, Any]:
    """``["game.rounds=3"]`` -> {"game": {"rounds": 3}}; of two values of one option the later one counts."""
    options: dict[str, Any] = {}
    for item in overrides:
        key, equals, text = item.partition("=")
        parts = key.split(".")
        if not equals or not all(parts):
            raise UserError(f"'{item}' is not of the form key=value, e.g. optimizer.lr=1e-4.")
        try:
            value = parse(text, typed=True)
        except ValueError as error:
            raise UserError(f"The option {key} is wrong: {reason(error)}.") from error
        for part in reversed(parts):
            value = {part: value}
        options = merged(options, spelled_out(former.renamed(value)))
    return options


def check_free(overrides: Iterable[str], fixed: Iterable[str]) -> None:
    """UserError where overrides say anything of the options ``fixed``, dotted names, which a program sets by itself."""
    options = given(overrides)
    for name in fixed:
        inside, parts = options, name.split(".")
        while parts and isinstance(inside, dict) and parts[0] in inside:
            inside = inside[parts.pop(0)]
        if not parts or not isinstance(inside, dict):  # game=ipd says game.name
            raise UserError(f"'{name}' is no option here: the program sets it by itself.")
