"""family.json: what is known of a game, as values, in the folder of whatever played it.

    game, its family ── described ──> Description ── write ──> FOLDER/family.json ── description ──> reports, exports, pages

Readers of the file need no code of the game's author, and run none. A folder without one, of an earlier version, is read as
the families of the package have it. Must not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from detente import games
from detente.errors import UserError
from detente.faults import first_fault
from detente.files import read_text, reason, replace_text
from detente.games.base import Game
from detente.games.family import Measure, family_of, strategies_for
from detente.games.own_measures import NAME, TAKEN
from detente.games.reading import PARTS, Reading, Result
from detente.matches import play_scripts
from detente.records import STRICT
from detente.stored_shapes import BIG
from detente.visible import visible

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FILE = "family.json"
FORMAT = 1
SIZE, LONGEST, MOST = 1 << 20, 10_000, 200  # bytes of a file; characters of a text and things in a list in it


@dataclass(frozen=True, kw_only=True)
class Description:
    """What is known of a game. ``references`` None: the package has the game, so that they can be played when needed."""

    __pydantic_config__ = STRICT
    measures: tuple[Measure, ...] = ()
    reading: Reading = field(default_factory=Reading)
    references: tuple[Result, ...] | None = None
    format: int = FORMAT

    @property
    def tables(self) -> frozenset[str]:
        """The measures that are tables."""
        return frozenset(measure.name for measure in self.measures if measure.table)

    def measure(self, name: str) -> Measure | None:
        """The measure of that name; None where nothing but the name is known."""
        return next((measure for measure in self.measures if measure.name == name), None)

    def words(self, name: str) -> str:
        """A measure in words."""
        known = self.measure(name)
        return known.words if known is not None and known.words else games.words(name)


def write(folder: Path, game: Game, strategies: Sequence[str] | None = None) -> None:
    """Write the file; see ``content``."""
    replace_text(folder / FILE, content(game, strategies))


def joined(folder: Path, game: Game) -> str:
    """The text of the file of a folder with episodes of several games: what it has already, with this game's measures. UserError as
    ``content``, and for a damaged file."""
    text = content(game, ())
    if not (folder / FILE).is_file():
        return text
    before = _read(folder / FILE)
    names = [measure["name"] for measure in before["measures"]]
    before["measures"] += [measure for measure in orjson.loads(text)["measures"] if measure["name"] not in names]
    return _text(before)


def content(game: Game, strategies: Sequence[str] | None = None) -> str:
    """The text of the file; UserError where what the family says cannot stand in one, so ask before a folder is begun.

    The scripts of a game that the package does not have play for its references here, against ``strategies`` (None: all that can
    play), for later it cannot be done.
    """
    family = family_of(game)
    played = None
    if games.recorded(game.parameters()) is None:
        played = family.references(game, play_scripts, strategies_for(game) if strategies is None else strategies)
    measures = tuple(_as_value(measure) for measure in family.measures)
    known = Description(measures=measures, reading=family.reading(game, play_scripts), references=played)
    try:
        plain = orjson.loads(orjson.dumps(known, option=orjson.OPT_SERIALIZE_NUMPY))
        _checked(plain)
    except (TypeError, ValueError) as error:
        raise UserError(f"What the family '{family.name}' says of {game.name} cannot be written down: {reason(error)}.") from error
    for measure in plain["measures"]:
        del measure["function"]
    return _text(plain)


def _text(plain: Any) -> str:
    return orjson.dumps(plain, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _as_value(measure: Any) -> Any:
    return measure if getattr(measure, "function", None) is None else replace(measure, function=None)


def description(folder: Path, options: Mapping[str, Any]) -> Description:
    """Of the game with these options, as the folder has it; UserError for a damaged file."""
    path = folder / FILE
    if path.is_file():
        return _checked(_read(path))
    game = games.recorded(options)
    family = family_of(game)
    return Description(measures=family.measures, reading=family.reading(game, play_scripts))


def _read(path: Path) -> Any:
    """The content of the file, once it was checked."""
    try:
        plain = orjson.loads(read_text(path, SIZE))
        _checked(plain)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as what is known of a game: {reason(error)}.") from error
    return plain


def described(folder: Path) -> tuple[Measure, ...]:
    """The measures that the file of the folder lists; () where there is no file. UserError for a damaged one."""
    return _checked(_read(folder / FILE)).measures if (folder / FILE).is_file() else ()


def references(known: Description, options: Mapping[str, Any], strategies: Sequence[str]) -> tuple[Result, ...]:
    """Scripted policies that stand beneath the learners who met these strategies."""
    if known.references is not None:
        return known.references
    game = games.recorded(options)
    return family_of(game).references(game, play_scripts, strategies)


def _checked(value: Any) -> Description:
    """The description that this JSON value is; ValueError for what no page could show."""
    from pydantic import ValidationError

    try:
        known = _reader().validate_json(orjson.dumps(_shown(value)))
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
    if known.format != FORMAT:
        raise ValueError(f"format: {known.format} is none that this version of detente knows")
    _check_names("measure", [measure.name for measure in known.measures], TAKEN)
    _check_names("chapter", [chapter.name for chapter in known.reading.chapters], PARTS)
    for chapter in known.reading.chapters:
        _require(chapter.most > 0, f"the greatest value of the chapter '{chapter.name}' should be above 0")
        _require(1 <= chapter.across <= MOST, f"the chapter '{chapter.name}' needs at least one plot in a row")
        for column in chapter.columns:
            _require(column.key.count("/") == 1, f"a column's key is TABLE/CONDITION, not '{column.key}'")
    return known


def _check_names(what: str, names: Sequence[str], taken: Sequence[str]) -> None:
    for name in names:
        _require(re.fullmatch(NAME, name), f"a {what}'s name is made of letters, digits and underscores, not '{name}'")
        _require(name not in taken, f"no {what} can be called '{name}', which every game has")
        _require(names.count(name) == 1, f"two {what}s are called '{name}'")


def _require(kept: object, fault: str) -> None:
    if not kept:
        raise ValueError(fault)


def _shown(value: Any) -> Any:
    """The value with everything in its texts to be seen; ValueError where something cannot be shown or drawn."""
    if isinstance(value, str):
        _require(len(value) <= LONGEST, f"it has a text of more than {LONGEST:,} characters")
        return visible(value, keep="\n")
    if isinstance(value, float | int):
        _require(abs(value) < BIG, f"the size of its numbers should be below {BIG:g}")
    if isinstance(value, list | dict):
        _require(len(value) <= MOST, f"it has a list of more than {MOST} things")
    if isinstance(value, list):
        return [_shown(part) for part in value]
    return {_shown(key): _shown(part) for key, part in value.items()} if isinstance(value, dict) else value


@cache
def _reader() -> TypeAdapter[Description]:
    from pydantic import TypeAdapter

    return TypeAdapter(Description)
