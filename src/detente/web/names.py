"""Names that a person chooses or types for an opponent: the offers of the page, and what a typed name may reach.

    "tit_for_tat"  "x@40"  "model:pocket" ──> opponent_name ──> a name that ``Policies`` resolves, never a path out of RUNS

Must not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from detente import briefing, foreign, games
from detente.config import Config, load
from detente.errors import UserError
from detente.games.base import Game
from detente.games.family import strategies_for
from detente.games.roles import roles
from detente.models import MODELS
from detente.players.scripted import NAMES
from detente.presets import preset_names
from detente.web.runs import Overview
from detente.web.safety import MissingError, inside, leads_out

OWN = "your own"  # the group of games that the command line named


def opponent_name(root: Path, typed: str, given: Path | None = None) -> str:
    """What a typed name stands for; UserError for what may not play.

    Run and adapter folders become paths below ``given``, the folder of runs as it was named, whose resolved path is ``root``.
    """
    name = typed.strip()
    if not name:
        raise UserError("Choose somebody to play against.")
    if name == "human":
        raise UserError("You are the person here; choose a script, a model or a run to play against.")
    if name in NAMES:
        return name
    if name.startswith(briefing.PREFIX):
        text, reader = briefing.parsed(name)
        if text not in briefing.texts():
            raise UserError(f"A page reads no file '{text}'; the briefings that it knows: {', '.join(briefing.texts())}.")
        return f"{briefing.PREFIX}{text}:{opponent_name(root, reader, given)}"
    if foreign.is_strategy(name):
        raise UserError(f"'{name}' names code, which no page runs; play against it with 'detente play'.")
    if name.startswith("model:"):
        return f"model:{_model(root, name.removeprefix('model:'))}"
    if re.match(r"[a-z]+:", name):  # such as axelrod:NAME, which Policies resolves
        return name
    path, at, version = name.rpartition("@") if re.search(r"@\d*$", name) else (name, "", "")
    folder = _below(root, path)
    if folder is not None:
        if leads_out(root, folder):
            raise UserError(f"'{path}' holds links that lead out of this folder of runs.")
        return f"{(given or root) / folder.relative_to(root)}{at}{version}"
    if "/" in path or Path(path).exists():
        raise UserError(f"There is no run or adapter folder '{path}' in this folder of runs.")
    return name


def offers(offered: Mapping[str, Mapping[str, Any]], overview: Overview) -> dict[str, Any]:
    """What the page lets a person choose from.

    {"games": {name: {"group", "about", "scripts", "game", "seats", "roles"}}, "runs", "models"}
    """
    runs = [
        {"name": name, "game": run.game, "algorithm": run.algorithm, "versions": [str(version) for version in versions]}
        for run in overview.runs
        for name, versions in run.agents
    ]
    return {"games": offered, "runs": runs, "models": [f"model:{name}" for name in MODELS]}


def offered_games(own: Mapping[str, Config]) -> dict[str, dict[str, Any]]:
    """The games that a person may play: one's own, those of presets, and others of the package. Makes one's own to see what they
    are; UserError where that fails."""
    made = {name: games.configured(config.game, config.measures) for name, config in own.items()}
    offered = {name: _offer(OWN, game, own[name].description or _about(type(game))) for name, game in made.items()}
    return dict(_games_of_the_package()) | offered


def _games_of_the_package() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in preset_names():
        config = load(name)
        yield name, _offer("presets", games.make(**config.game), config.description)
    for name, factory in games.GAMES.items():
        if name in preset_names():
            continue
        try:
            game = games.make(name)
        except UserError:  # it needs parameters, which only a preset has
            continue
        yield name, _offer("games with their default rules", game, _about(factory))


def _about(factory: object) -> str:
    return (factory.__doc__ or "").strip().partition("\n")[0]


def _offer(group: str, game: Game, about: str) -> dict[str, Any]:
    return {
        "group": group,
        "about": about,
        "game": game.name,
        "scripts": strategies_for(game),
        "seats": game.num_players,
        "roles": roles(game),
    }


def _model(root: Path, name: str) -> str:
    """The id of a model unchanged; a folder only below ``root``."""
    if name in MODELS:
        return name
    folder = _below(root, name)
    if folder is None and (Path(name).exists() or Path(name).is_absolute() or ".." in Path(name).parts):
        raise UserError(f"There is no model '{name}' in this folder of runs.")
    return name if folder is None else str(folder)


def _below(root: Path, name: str) -> Path | None:
    """The folder of that name below ``root``, also where the name begins with the root's own."""
    for candidate in (name, name.removeprefix(f"{root.name}/")):
        try:
            folder = inside(root, candidate)
        except MissingError:
            continue
        if folder.is_dir():
            return folder
    return None
