"""``list``: the names of games, players, algorithms, presets, suites and models, one line each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from detente.cli.terminal import console, doing
from detente.errors import unknown


def list_names(
    what: Annotated[str, typer.Argument(metavar="KIND", help="games, players, axelrod, algorithms, presets, suites or models.")],
) -> None:
    """Say what there is, one line each."""
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    with doing(console(stderr=True), f"Looking for {what}"):  # what is listed may be read by a program
        described = LISTS[what]()
    width = max(map(len, described), default=0)
    for name, description in described.items():
        print(f"{name:<{width}}  {description}".rstrip())


def _games() -> Mapping[str, str]:
    from detente.games import GAMES

    return _first_lines(GAMES)


def _players() -> Mapping[str, str]:
    from detente.briefing import texts
    from detente.games import FAMILIES

    scripts = _first_lines({name: strategy for family in reversed(FAMILIES) for name, strategy in family.strategies.items()})
    where = {name: " and ".join(family.name for family in FAMILIES if name in family.strategies) for name in scripts}
    return {
        **{name: f"In {where[name]} games: {line}" for name, line in scripts.items()},
        "axelrod:NAME": "In matrix games with two actions: a strategy of the Axelrod library (see 'detente list axelrod').",
        "human": "You, at this terminal.",
        "model:ID": "A base model as it is, e.g. model:pocket (see 'detente list models').",
        "briefed:TEXT:NAME": f"A language model with a briefing: {', '.join(texts())}, or a file (briefed:liar:model:pocket).",
        "FOLDER": "A run folder (runs/x, or runs/x@40 for version 40) or an adapter folder; in a list, quote one with a comma.",
        "RUN/adapters/LEARNER": "One of several learners of a run (runs/x/adapters/rival, or runs/x/adapters/rival@40).",
        "MODULE:NAME": "A strategy of your own, e.g. my_rules:grudger; see docs/use-your-own.md.",
        "openai:MODEL@URL": "A model behind an OpenAI-compatible endpoint, e.g. openai:pocket@http://127.0.0.1:8000/v1.",
    }


def _axelrod() -> Mapping[str, str]:
    from detente.players.axelrod_library import described

    return described()


def _algorithms() -> Mapping[str, str]:
    from detente.options import ALGORITHMS

    return {**ALGORITHMS, "MODULE:FUNCTION": "your own, e.g. algorithm=my_algorithms:inequity (see docs/add-an-algorithm.md)"}


def _presets() -> Mapping[str, str]:
    from detente.config import load
    from detente.presets import preset_names

    return {name: load(name).description for name in preset_names()}


def _suites() -> Mapping[str, str]:
    from detente.evaluation.suites import load, suite_names

    return {name: load(name).description for name in suite_names()}


def _models() -> Mapping[str, str]:
    from detente.models import MODELS

    return MODELS


LISTS: dict[str, Callable[[], Mapping[str, str]]] = {
    "games": _games,
    "players": _players,
    "axelrod": _axelrod,
    "algorithms": _algorithms,
    "presets": _presets,
    "suites": _suites,
    "models": _models,
}


def _first_lines(documented: Mapping[str, object]) -> dict[str, str]:
    return {name: (inspect.getdoc(value) or "").partition("\n")[0] for name, value in documented.items()}
