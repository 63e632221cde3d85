"""The same agents in a game under several mechanisms: an arena for each, and their cells beside each other.

    game, "repetition:look_back=1" ── under ──> {"name": "repetition", "of": game, "look_back": 1}
    settings (game x mechanism) ──> an arena each ──> mechanisms.json

An arena that is there goes on where it was stopped. Files: GAME/MECHANISM/ (the arenas).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from detente.config import Config
from detente.errors import UserError, as_typed, unknown
from detente.evaluation import arena as cross_play
from detente.evaluation.agents import participants
from detente.files import folder_name
from detente.games import configured, mechanisms
from detente.games.annotations import fits, words
from detente.games.base import Game
from detente.games.family import strategies_for
from detente.plain_yaml import parse
from detente.policies import Policies

NONE = "none"
SHARED = (
    "game_options",
    "agents",
    "cells",
    "over_roles",
    "ranking",
    "population",
)  # what a comparison has of the result of an arena


class Watch(cross_play.Watch, Protocol):
    """Hears how far a comparison is, each of its arenas, and what they have come to so far."""

    def setting(self, number: int, count: int, setting: Setting) -> None: ...
    def compared(self, content: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class Setting:
    """A game under a mechanism, by the names that readers know, with the parameters of the whole, and who plays."""

    game: str
    mechanism: str
    parameters: Mapping[str, Any]
    agents: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its arena lies, below that of the comparison."""
        return Path(folder_name(self.game), folder_name(self.mechanism))


def under(game: Mapping[str, Any], mechanism: str) -> dict[str, Any]:
    """The parameters of a game under a mechanism, ``NAME`` or ``NAME:option=value,option=value``; ``none`` is the game alone.

    UserError for a mechanism that there is not, and for options that are none.
    """
    name, colon, text = mechanism.partition(":")
    if name == NONE and not colon:
        return dict(game)
    if name not in mechanisms.FAMILY.games:
        raise unknown("mechanism", name, (NONE, *mechanisms.FAMILY.games))
    known, options = mechanisms.options(name), dict[str, Any]()
    if colon and not known:
        raise UserError(f"The mechanism {name} has no options; name it without the colon and what follows.")
    for item in _items(text) if colon else ():
        option, equals, value = item.strip().partition("=")
        if option in ("of", "name"):
            raise UserError(f"The mechanism '{mechanism}' stands around the game of the arena, so it takes no option '{option}'.")
        if not equals or option in options:
            raise UserError(
                f"The mechanism '{mechanism}' should be {name}, or with options such as {name}:{_example(name)}, each of them once."
            )
        if option not in known:
            raise unknown("option", option, known, f"The mechanism {name}")
        try:
            options[option] = parse(value)
        except ValueError as error:
            raise UserError(f"The option {option} of the mechanism {name} is not valid YAML: {value!r}.") from error
        if not fits(options[option], known[option]):
            right = words(known[option])
            raise UserError(f"The option {option} of the mechanism {name} should be {right}, not {as_typed(options[option])}.")
    return {"name": name, "of": dict(game)} | options


def _items(text: str) -> list[str]:
    """What stands between commas, but for those in brackets: ``payments=[0,2],x=1`` has two."""
    items, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth <= 0:
            items.append("")
        else:
            items[-1] += letter
    return items


def _example(name: str) -> str:
    return {"contract": "payments=[0,2]", "reputation": "told=joint"}.get(name, "look_back=1")


def settings(game: Mapping[str, Any], names: Sequence[str], agents: Sequence[str], title: str) -> list[Setting]:
    """A game without and with each of the mechanisms; scripts that use a mechanism take part where there is one for them.

    UserError where a mechanism cannot stand around the game, where it comes twice, and for those who would not play.
    """
    chosen = list(dict.fromkeys([NONE, *names]))
    if twice := [name for name in names if [NONE, *names].count(name) > 1 and name != NONE]:
        raise UserError(f"The mechanism {twice[0]} is named twice.")
    made = [(name, parameters, configured(parameters)) for name in chosen for parameters in [under(game, name)]]
    return taking_part(agents, [Setting(title, name, parameters, able(agents, played)) for name, parameters, played in made])


def taking_part(agents: Sequence[str], chosen: list[Setting]) -> list[Setting]:
    """The settings; UserError for one in which nobody plays, and for an agent that plays in none."""
    for setting in chosen:
        if not setting.agents:
            raise UserError(
                f"Nobody plays {setting.game} with the mechanism {setting.mechanism}; besides scripts of mechanisms "
                f"({', '.join(agents)}) name another agent, such as a model or random."
            )
    played = {name for setting in chosen for name in setting.agents}
    if idle := [name for name in agents if name not in played]:
        raise UserError(f"{idle[0]} uses a mechanism that is none of those named here, so it would play nowhere; leave it out.")
    return chosen


def able(agents: Sequence[str], game: Game) -> tuple[str, ...]:
    """The agents without those scripts of mechanisms that have nothing to use in this game."""
    return tuple(name for name in agents if name not in mechanisms.FAMILY.strategies or name in strategies_for(game))


def compare(
    config: Config,
    chosen: Sequence[Setting],
    folder: Path,
    *,
    episodes: int = 64,
    watch: Watch | None = None,
    anywhere: bool = False,
) -> Generator[dict[str, Any], None, None]:
    """Play what is missing of every arena; after each of them, what all so far have come to: the content of mechanisms.json.

    ``config`` gives the way models answer and the seed. UserError as for an arena.
    """
    if (folder / cross_play.ASKED).exists():
        raise UserError(f"The folder {folder} is that of a single arena; {cross_play.ANOTHER}.")
    entries: list[dict[str, Any]] = []
    with closing(Policies.of(_config(config, chosen[0]))) as policies:
        for setting in chosen:  # whoever cannot play somewhere is told before anything is played
            participants(policies.within(configured(setting.parameters, config.measures)), setting.agents, anywhere=anywhere)
        for number, setting in enumerate(chosen, start=1):
            if watch is not None:
                watch.setting(number, len(chosen), setting)
            own, place = _config(config, setting), folder / setting.folder
            result = cross_play.arena(
                own, setting.agents, place, episodes=episodes, watch=watch, anywhere=anywhere, policies=policies
            )
            names = {"game": setting.game, "mechanism": setting.mechanism, "folder": setting.folder.as_posix()}
            entries.append(names | {part: result[part] for part in SHARED if part in result})
            yield {"seed": config.seed, "episodes": episodes, "arenas": len(chosen), "entries": [*entries]}


def _config(config: Config, setting: Setting) -> Config:
    return config.model_copy(update={"game": dict(setting.parameters)})
