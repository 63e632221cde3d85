"""An arena for the page: the results as a coloured table, the ranking, and the episodes of every cell.

    arena.json ──> Board ── rows of Cell (value, interval, shade) ──> a cell opens episodes/I-J.jsonl.gz of its seatings

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detente import jsonl, stored
from detente.evaluation.statistics import ends
from detente.family_file import Description
from detente.games.roles import in_role
from detente.reports.cross_play import known, title
from detente.web.safety import MissingError

REWARDS = {"reward": "points of the row", "opponent_reward": "points of the column"}


@dataclass(frozen=True, slots=True)
class Value:
    """A mean, and what stands beside it: its interval, where there is one."""

    mean: float | None
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """Row agent against column agent, where seats differ in a role: ``values`` by measure; ``address`` names it in addresses."""

    row: int
    column: int
    values: Mapping[str, Value]
    seatings: tuple[tuple[int, ...], ...]
    role: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Rank:
    """One line of the ranking, in a role where seats differ; the rewards are points per round."""

    rank: int
    label: str
    reward: Value
    self_play: float | None
    worst: float | None
    worst_against: str


@dataclass(frozen=True, slots=True)
class Standing:
    """One line of the ranking by the rules of Axelrod's tournaments; the score is in points per round."""

    rank: int
    agent: int
    score: float | None
    wins: float | None
    cooperation: float | None


@dataclass(frozen=True, slots=True)
class Member:
    """One line of the ranking of agents as strategies of a population; the rating is in points per round."""

    rank: int
    agent: int
    share: float | None
    mean_share: float | None
    deviation_rating: float | None


@dataclass(frozen=True, slots=True)
class Board:
    """A finished arena. ``facts``: game, preset, seed, episodes and unit."""

    facts: Mapping[str, Any]
    labels: tuple[str, ...]
    kinds: tuple[str, ...]
    cells: Mapping[tuple[int, str, int], Cell]  # by row, role and column
    ranking: tuple[Rank, ...]
    tournament: tuple[Standing, ...]  # empty where the game has no such ranking
    population: tuple[Member, ...]  # the same
    known: Description

    @property
    def sides(self) -> tuple[tuple[int, str, str], ...]:
        """The rows of the table: the agent, its role, and both in words."""
        pairs = dict.fromkeys((row, role) for row, role, _ in self.cells)
        return tuple((row, role, in_role(self.labels[row], role)) for row, role in pairs)

    @property
    def measures(self) -> dict[str, str]:
        """The measures that the table can show, with their words."""
        names = dict.fromkeys(name for cell in self.cells.values() for name in cell.values if name not in REWARDS)
        return REWARDS | {name: self.known.words(name) for name in names}

    def shade(self, measure: str, value: float) -> float:
        """The position of a value between the minimum (0) and the maximum (1) of the table."""
        means = [cell.values[measure].mean for cell in self.cells.values() if measure in cell.values]
        known = [mean for mean in means if mean is not None]
        low, high = min(known), max(known)
        return (value - low) / (high - low) if high > low else 0.5


def board(folder: Path) -> Board:
    """The arena of a folder; UserError where arena.json is none."""
    content = stored.arena(folder / "arena.json")
    labels = tuple(agent["label"] for agent in content["agents"])
    roles = list(dict.fromkeys(["", *(line.get("role", "") for line in (*content["cells"], *content["ranking"]))]))
    cells = {(cell["row"], cell.get("role", ""), cell["column"]): _cell(cell, roles) for cell in content["cells"]}
    ranking = tuple(
        _rank(line, labels)
        for line in sorted(content["ranking"], key=lambda line: (roles.index(line.get("role", "")), line["rank"]))
    )
    tournament = tuple(_standing(line) for line in content.get("tournament") or ())
    population = tuple(_member(line) for line in content.get("population") or ())
    facts = {"game": title(content)} | {name: content.get(name) for name in ("preset", "seed", "episodes", "unit")}
    kinds = tuple(agent.get("kind", "") for agent in content["agents"])
    return Board(facts, labels, kinds, cells, ranking, tournament, population, known(folder, content))


def cell_files(folder: Path, address: str) -> tuple[str, list[Path]]:
    """The title and the files of a cell: the episodes of its seatings."""
    arena = board(folder)
    cell = next((cell for cell in arena.cells.values() if cell.address == address), None)
    if cell is None:
        raise MissingError(f"The arena {folder.name} has no cell '{address}'.")
    files = [jsonl.file(folder / "episodes", "-".join(map(str, seating))) for seating in cell.seatings]
    return f"{in_role(arena.labels[cell.row], cell.role)} against {arena.labels[cell.column]}", files


def seatings_played(folder: Path) -> int:
    """How many seatings of an arena have been played so far."""
    return len(jsonl.files(folder / "episodes"))


def _cell(cell: Mapping[str, Any], roles: list[str]) -> Cell:
    values = {name: _value(cell[name]) for name in REWARDS}
    values |= {name: Value(_number(value)) for name, value in (cell.get("measures") or {}).items()}
    row, column, role = cell["row"], cell["column"], cell.get("role", "")
    address = f"{row}-{column}" + (f"-{roles.index(role)}" if role else "")
    return Cell(row, column, values, tuple(tuple(seating) for seating in cell["tables"]), role, address)


def _rank(line: Mapping[str, Any], labels: tuple[str, ...]) -> Rank:
    return Rank(
        rank=line["rank"],
        label=in_role(labels[line["agent"]], line.get("role", "")),
        reward=_value(line["reward"]),
        self_play=_number(line.get("self_play")),
        worst=_number(line.get("worst")),
        worst_against="" if line.get("worst_against") is None else labels[line["worst_against"]],
    )


def _standing(line: Mapping[str, Any]) -> Standing:
    numbers = {key: _number(line.get(key)) for key in ("score", "wins", "cooperation")}
    return Standing(rank=line["rank"], agent=line["agent"], **numbers)


def _member(line: Mapping[str, Any]) -> Member:
    numbers = {key: _number(line.get(key)) for key in ("share", "mean_share", "deviation_rating")}
    return Member(rank=line["rank"], agent=line["agent"], **numbers)


def _value(estimate: Mapping[str, Any]) -> Value:
    return Value(_number(estimate["mean"]), ends(estimate))


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
