"""An arena to look at: the heatmap as a picture, and a page with the matrix, the ranking and what every pair did.

    arena.json ──> index.html, arena.png, and the tables of the terminal

Must not import torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from detente import stored
from detente.evaluation.statistics import ends
from detente.family_file import Description, description
from detente.files import dotted
from detente.games import names
from detente.games.roles import in_role
from detente.reports.page import environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Arena = Mapping[str, Any]


def cross_play_page(folder: Path) -> Path:
    """Write index.html and arena.png into an arena's folder; returns the page."""
    from detente.reports.plots import save

    content = stored.arena(folder / "arena.json")
    save(heatmap(content), folder / "arena.png")
    page = folder / "index.html"
    shown = page_data(content, known(folder, content))
    page.write_text(environment().get_template("cross_play.html").render(**shown), encoding="utf-8")
    return page


def known(folder: Path, arena: Arena) -> Description:
    """What is known of the game of an arena; an old arena may not say its parameters."""
    return description(folder, arena.get("game_options") or {"name": arena.get("game")})


def page_data(arena: Arena, game: Description) -> dict[str, Any]:
    """What the page shows: the matrix, each cell with its place between the minimum (0) and maximum (1) mean, and the measures."""
    rows = matrix(arena)
    means = [cell["reward"]["mean"] for cell in arena["cells"]]
    low, span = min(means), (max(means) - min(means)) or 1.0
    options = arena.get("game_options") or {}
    measures = dict.fromkeys(name for cell in arena["cells"] for name, value in cell["measures"].items() if value is not None)
    return {
        "arena": arena,
        "labels": [agent["label"] for agent in arena["agents"]],
        "sides": sides(arena),
        "rows": [[cell and {**cell, "shade": (cell["reward"]["mean"] - low) / span} for cell in row] for row in rows],
        "measures": {name: game.words(name) for name in measures},
        "played": title(arena),
        "options": {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in dotted({"game": options}).items()
        },
    }


def title(arena: Arena) -> str:
    """What is played: a game, or a mechanism around the game inside."""
    options = arena.get("game_options") or {}
    return " around ".join([str(arena.get("game")), *names(options.get("of"))])


def sides(arena: Arena) -> list[str]:
    """The name of every row: an agent, where seats differ in one of its roles."""
    return [in_role(arena["agents"][row]["label"], role) for row, role in _sides(arena)]


def matrix(arena: Arena) -> list[list[dict[str, Any] | None]]:
    """The cells, row by row; None for agents that did not meet."""
    by_place = {(cell["row"], cell.get("role", ""), cell["column"]): cell for cell in arena["cells"]}
    return [[by_place.get((*side, column)) for column in range(len(arena["agents"]))] for side in _sides(arena)]


def _sides(arena: Arena) -> list[tuple[int, str]]:
    """The row agents and their roles, in order."""
    return list(dict.fromkeys((cell["row"], cell.get("role", "")) for cell in arena["cells"]))


def heatmap(arena: Arena) -> Figure:
    """The mean reward of each row agent against each column agent."""
    import matplotlib
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    from detente.reports.plots import INK, SERIES, STYLE, fit

    labels = [agent["label"] for agent in arena["agents"]]
    means = [[nan if cell is None else cell["reward"]["mean"] for cell in row] for row in matrix(arena)]
    known = [cell["reward"]["mean"] for cell in arena["cells"]]
    low, high = min(known), max(known)
    wide, tall = (max(3.2, 0.95 * count + 1.6) for count in (len(labels), len(means)))
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(wide + 1.4, tall), layout="constrained")
        axes = drawn.subplots()
        shades = LinearSegmentedColormap.from_list("shades", ["#f3f8fc", SERIES[0]])
        picture = axes.imshow(means, cmap=shades, vmin=low, vmax=max(high, low + 1e-9))
        for i, row in enumerate(means):
            for j, mean in enumerate(row):
                if isnan(mean):
                    continue
                dark = mean - low > 0.75 * (high - low)
                axes.text(j, i, f"{mean:.2f}", ha="center", va="center", color="white" if dark else INK, fontsize=9)
        axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(means)), sides(arena))
        axes.tick_params(length=0, labelcolor=INK)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_xlabel("against")
        title = axes.set_title(f"{arena['game']}: points per round of the row")
        bar = drawn.colorbar(picture, ax=axes, shrink=0.7)
        bar.outline.set_visible(False)
        bar.set_label("points per round")
        fit([title])
    return drawn


def cross_play_tables(arena: Arena) -> Group:
    """The matrix and the ranking, for the terminal."""
    labels = [agent["label"] for agent in arena["agents"]]
    table = Table(title="points per round of the row agent against the column agent", title_justify="left")
    table.add_column("")
    for label in labels:
        table.add_column(Text(label), justify="right", overflow="fold")
    for side, row in zip(sides(arena), matrix(arena), strict=True):
        table.add_row(Text(side, style="bold"), *(Text("–") if cell is None else _cell(cell["reward"]) for cell in row))
    ranked = Table(title="ranking by the mean against everybody, oneself included", title_justify="left")
    for head in ("", "agent", "mean", "in self-play", "worst", "against"):
        ranked.add_column(head, justify="left" if head in ("agent", "against") else "right")
    for place in arena["ranking"]:
        numbers = ["–" if place[key] is None else f"{place[key]:.2f}" for key in ("self_play", "worst")]
        who = Text(in_role(labels[place["agent"]], place.get("role", "")))
        ranked.add_row(str(place["rank"]), who, _cell(place["reward"], " "), *numbers, Text(labels[place["worst_against"]]))
    more = {"tournament": _tournament, "population": _population}
    return Group(table, ranked, *(draw(arena, labels) for part, draw in more.items() if arena.get(part)))


def _tournament(arena: Arena, labels: Sequence[str]) -> Table:
    table = Table(title="as Axelrod's tournaments rank: median over game seeds, oneself left out", title_justify="left")
    for head in ("", "agent", "score", "wins", "cooperates"):
        table.add_column(head, justify="left" if head == "agent" else "right")
    for place in arena["tournament"]:
        rate = "–" if place["cooperation"] is None else f"{place['cooperation']:.2f}"
        table.add_row(str(place["rank"]), Text(labels[place["agent"]]), f"{place['score']:.2f}", f"{place['wins']:g}", rate)
    return table


def _population(arena: Arena, labels: Sequence[str]) -> Table:
    table = Table(title="as strategies of a population: shares by replicator dynamics, deviation rating", title_justify="left")
    for head in ("", "agent", "share", "mean over starts", "deviation rating"):
        table.add_column(head, justify="left" if head == "agent" else "right")
    for place in arena["population"]:
        numbers = [place.get(key) for key in ("share", "mean_share", "deviation_rating")]
        shown = ["–" if value is None else f"{value:.2f}" for value in numbers]
        table.add_row(str(place["rank"]), Text(labels[place["agent"]]), *shown)
    return table


def _cell(estimate: Mapping[str, Any], between: str = "\n") -> Text:
    text = Text(f"{estimate['mean']:.2f}", style="bold")
    return text.append(f"{between}{ends(estimate)}", style="not bold dim") if ends(estimate) else text
