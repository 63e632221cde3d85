"""The same agents under several mechanisms, to look at: a table for each game in the terminal and on a page.

    content of mechanisms.json, published numbers ── tables ──> index.html, and the tables of the terminal

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from detente.evaluation.statistics import in_words
from detente.games.roles import in_role
from detente.reports.page import environment

Content = Mapping[str, Any]
Pair = tuple[str, str, str]
Published = Mapping[str, Mapping[str, tuple[float, float, float]]]  # [game][mechanism]: mean, minimum and maximum


@dataclass(frozen=True, slots=True)
class Row:
    """One agent, in its role where seats differ or in the mean over its roles, against another, by mechanism; None where one of
    them does not play."""

    label: str
    agent: str
    against: str
    cells: tuple[Mapping[str, Any] | None, ...]


@dataclass(frozen=True, slots=True)
class GameTable:
    """A game: its mechanisms with the folders of their arenas, what every pair got, and published numbers by mechanism."""

    game: str
    mechanisms: tuple[str, ...]
    folders: tuple[str, ...]
    rows: tuple[Row, ...]
    published: tuple[tuple[float, float, float] | None, ...]


def tables(content: Content, published: Published) -> list[GameTable]:
    """A table for each game, in the order played."""
    return [_table(content, game, published.get(game, {})) for game in dict.fromkeys(entry["game"] for entry in content["entries"])]


def _table(content: Content, game: str, published: Mapping[str, tuple[float, float, float]]) -> GameTable:
    entries = [entry for entry in content["entries"] if entry["game"] == game]
    by_mechanism = [_over_roles(entry) | _pairs(entry) for entry in entries]
    pairs = dict.fromkeys(pair for cells in by_mechanism for pair in cells)
    in_order = sorted(pairs, key=lambda pair: pair[0] != pair[1])  # those over all roles first
    return GameTable(
        game,
        tuple(entry["mechanism"] for entry in entries),
        tuple(entry["folder"] for entry in entries),
        tuple(Row(*pair, tuple(cells.get(pair) for cells in by_mechanism)) for pair in in_order),
        tuple(published.get(entry["mechanism"]) for entry in entries) if published else (),
    )


def _over_roles(entry: Content) -> dict[Pair, Mapping[str, Any]]:
    """What pairs got in the mean over the roles of the first, by the labels of both; empty where seats do not differ."""
    labels = [agent["label"] for agent in entry["agents"]]
    return {(labels[mean["row"]], labels[mean["row"]], labels[mean["column"]]): mean for mean in entry.get("over_roles", ())}


def _pairs(entry: Content) -> dict[Pair, Mapping[str, Any]]:
    """The cells of an arena by the label of the first agent, the same in its role, and the label of the second."""
    labels = [agent["label"] for agent in entry["agents"]]
    return {
        (labels[cell["row"]], in_role(labels[cell["row"]], cell.get("role", "")), labels[cell["column"]]): cell
        for cell in entry["cells"]
    }


def mechanisms_page(folder: Path, content: Content, published: Published | None = None, credit: str = "") -> Path:
    """Write index.html into the folder of a comparison; returns the page. ``credit`` says where published numbers are from."""
    shown = {"content": content, "tables": tables(content, published or {}), "credit": credit}
    page = folder / "index.html"
    page.write_text(environment().get_template("mechanisms.html").render(**shown), encoding="utf-8")
    return page


def mechanism_tables(content: Content, published: Published | None = None) -> Group:
    """The tables for the terminal, without what scripts get from each other where a model plays."""
    return Group(*(_drawn(table, _scripts(content)) for table in tables(content, published or {})))


def _scripts(content: Content) -> set[str]:
    agents = [agent for entry in content["entries"] for agent in entry["agents"]]
    models = any(agent["kind"] != "script" for agent in agents)
    return {agent["label"] for agent in agents if agent["kind"] == "script"} if models else set()


def _drawn(table: GameTable, scripts: set[str]) -> Table:
    drawn = Table(title=f"{table.game}: points per round of the agent", title_justify="left")
    for head in ("agent", "against"):
        drawn.add_column(head, overflow="fold")
    for name in table.mechanisms:
        drawn.add_column(Text(name), justify="right", overflow="fold")
    for row in table.rows:
        if row.label not in scripts:
            drawn.add_row(Text(row.agent), Text(row.against), *map(_cell, row.cells))
    if table.published:
        drawn.add_section()
        drawn.add_row(Text("published"), Text("mean of six models"), *map(_reference, table.published))
    return drawn


def _cell(cell: Mapping[str, Any] | None) -> str:
    return "–" if cell is None else in_words(cell["reward"])


def _reference(numbers: Sequence[float] | None) -> str:
    return "–" if numbers is None else f"{numbers[0]:.2f} ({numbers[1]:.2f}-{numbers[2]:.2f})"
