"""Suites: the games in which transfer measures agents, from YAML.

    description: ...                     # optional
    episodes: 32                         # per agent and partner
    partners: [tit_for_tat]              # of rows that name none of their own
    rows:
      - name: other labels
        game: {name: ipd, labels: [Q, Z]}
        partners: [always_defect]

Must not import torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from detente import foreign
from detente.errors import UserError, unknown
from detente.faults import first_fault
from detente.files import read_text, reason
from detente.games import make, names
from detente.games.base import Game
from detente.games.family import can_face
from detente.games.roles import roles
from detente.plain_yaml import SIZE, parse
from detente.players.address import elsewhere
from detente.policies import located

ENDINGS = (".yaml", ".yml")


class Row(BaseModel):
    """A game with its parameters, and the partners that an agent meets in it beside itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1, max_length=60)
    game: dict[str, Any]
    partners: tuple[str, ...] | None = None

    @field_validator("game", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        value = {"name": value} if isinstance(value, str) else value
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            raise ValueError("a game is a mapping with a name, such as {name: ipd, rounds: 3}")
        return value


class Suite(BaseModel):
    """What an agent is measured in; ``episodes`` per agent and partner. Read by ``load``, every row has its partners."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    description: str = ""
    episodes: int = Field(32, ge=2, le=100_000)
    partners: tuple[str, ...] = ()
    rows: tuple[Row, ...] = Field(min_length=1, max_length=1000)


def suite_names() -> list[str]:
    """The suites inside the package."""
    return sorted(p.name.removesuffix(".yaml") for p in resources.files("detente.suites").iterdir() if p.name.endswith(".yaml"))


def load(name: str, *, trust: bool = False) -> Suite:
    """The suite of that name, or YAML file, with a game and partners that can play it in every row; UserError for the first fault.

    A file that names code, or a partner on another machine, needs ``trust``.
    """
    suite = _read(name)
    _check_trusted(name, suite, trust)
    if twice := [row for row, count in Counter(row.name for row in suite.rows).items() if count > 1]:
        raise UserError(f"The suite {name} has two rows with the name '{twice[0]}'.")
    rows = tuple(row.model_copy(update={"partners": _partners(suite, row)}) for row in suite.rows)
    for row in rows:
        try:
            _check(row, game(row))
        except UserError as error:
            raise UserError(f"The row '{row.name}' of the suite {name} is wrong: {str(error).rstrip('.')}.") from error
    return suite.model_copy(update={"rows": rows})


def game(row: Row) -> Game:
    """The game of a row."""
    return make(**row.game)


def _read(name: str) -> Suite:
    if name.endswith(ENDINGS):
        try:
            text = read_text(Path(name), SIZE)
        except (OSError, ValueError) as error:
            raise UserError(f"The suite file {name} cannot be read: {reason(error)}.") from error
    elif name in suite_names():
        text = (resources.files("detente.suites") / f"{name}.yaml").read_text(encoding="utf-8")
    else:
        raise unknown("suite", name, suite_names())
    try:
        return Suite.model_validate(parse(text))
    except ValidationError as error:
        raise UserError(f"{name} is no suite: {first_fault(error)}.") from error
    except ValueError as error:
        raise UserError(f"The suite {name} is not valid YAML: {reason(error)}.") from error


def _partners(suite: Suite, row: Row) -> tuple[str, ...]:
    return suite.partners if row.partners is None else row.partners


def _check(row: Row, played: Game) -> None:
    """UserError for a game whose seats differ, and for partners that cannot play it."""
    if roles(played):
        raise UserError(f"the seats of {played.name} differ, and transfer measures games whose seats are alike")
    for partner in row.partners or ():
        policy, _ = located(partner, played)
        if policy.kind == "human":
            raise UserError("a person would be asked thousands of times; name another partner")
        if not can_face(played, partner, 0):
            raise UserError(f"'{partner}' cannot take the seats opposite to an agent in {played.name}")
    if len(set(row.partners or ())) < len(row.partners or ()):
        raise UserError(f"it names a partner twice: {', '.join(row.partners or ())}")


def _check_trusted(file: str, suite: Suite, trust: bool) -> None:
    """UserError for code, and for another machine, that a file names, unless it is trusted."""
    if trust:
        return
    for noun, name in _named(suite):
        if noun == "partner" and elsewhere(name):
            raise UserError(
                f"The suite {file} names the partner '{name}', which would send requests and your key to another machine; "
                "add --trust (trust=True in Python) if you trust both."
            )
        if foreign.is_foreign(name) if noun == "game" else foreign.is_strategy(name):
            module = name.partition(":")[0]
            raise UserError(
                f"The suite {file} names the {noun} '{name}', which would run code of the module {module} "
                f"({foreign.whereabouts(module)}); add --trust (trust=True in Python) if you trust both."
            )


def _named(suite: Suite) -> Iterator[tuple[str, str]]:
    for row in suite.rows:
        yield from (("game", name) for name in names(row.game))
        yield from (("partner", partner) for partner in _partners(suite, row))
