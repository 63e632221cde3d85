"""Fingerprints to look at, several agents side by side: tables and curves, as picture, page and text.

    fingerprint.json ──> index.html, fingerprint.png

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table as Grid
from rich.text import Text

from detente import stored
from detente.reports.page import environment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLAIMS = {
    "upper": "told that one's own value is the higher one",
    "lower": "told that it is the lower one",
    "nothing": "told nothing usable",
}

UNIT = (-0.06, 1.06)  # limits of an axis for numbers in [0, 1]


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers, one row per agent; the page shades those in [0, 1]."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """One agent: places, values, and the ends of their intervals."""

    label: str
    places: tuple[float, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """One pair of axes."""

    title: str
    across: str
    up: str
    lines: tuple[Curve, ...]
    ticks: tuple[str, ...] = ()
    joined: bool = True  # whether the places follow on each other
    limits: tuple[float, float] | None = UNIT  # None: the values decide


def fingerprint_page(folder: Path) -> Path:
    """Write index.html and fingerprint.png into a fingerprint's folder; returns the page."""
    from detente.reports.plots import save, svg

    fingerprint = stored.fingerprint(folder / "fingerprint.json")
    drawn = picture(fingerprint)
    save(drawn, folder / "fingerprint.png")
    page = folder / "index.html"
    text = (
        environment()
        .get_template("fingerprint.html")
        .render(
            fingerprint=fingerprint,
            tables=tables(fingerprint),
            drawings=[(panel.title, svg(_alone(panel), panel.title)) for panel in curves(fingerprint)],
        )
    )
    page.write_text(text, encoding="utf-8")
    return page


def tables(fingerprint: Mapping[str, Any]) -> list[Table]:
    """Memory one and two in matrix games, shares asked for by claim in splitting games, the measures of other games."""
    agents = fingerprint["agents"]
    if "measures" in agents[0]:
        return [_measured(agents, name, keys) for name, keys in _by_table(agents).items()]
    if "memory_one" in agents[0]:
        titles = {"memory_one": "P(cooperate | last joint move)", "memory_two": "P(cooperate | last two joint moves)"}
        return [
            Table(title, tuple(agents[0][key]), tuple((agent["label"], tuple(agent[key].values())) for agent in agents))
            for key, title in titles.items()
        ]
    conditions = [(claim, greedy) for claim in CLAIMS for greedy in (False, True) if _responses(agents, claim)]
    heads = tuple(f"{claim}, other {'greedy' if greedy else 'fair'}" for claim, greedy in conditions)
    rows = tuple((agent["label"], tuple(_mean(agent, claim, greedy) for claim, greedy in conditions)) for agent in agents)
    return [Table("Share asked for, by what was told and by the other's last ask", heads, rows)]


def _by_table(agents: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The measures of each table under its name, and all other measures under ""."""
    keys = dict.fromkeys(key for agent in agents for key, value in agent["measures"].items() if value is not None)
    grouped: dict[str, list[str]] = {}
    for key in keys:
        grouped.setdefault(key.rpartition("/")[0], []).append(key)
    return grouped


def _measured(agents: Sequence[Mapping[str, Any]], name: str, keys: Sequence[str]) -> Table:
    title = f"{name.replace('_', ' ').capitalize()}, against players at random" if name else "Against players at random"
    heads = tuple(key.rpartition("/")[2].replace("_", " ") for key in keys)
    return Table(title, heads, tuple((agent["label"], tuple(agent["measures"].get(key) for key in keys)) for agent in agents))


def _responses(agents: Sequence[Mapping[str, Any]], claim: str) -> bool:
    """Whether any agent met the claim."""
    return any(response["told"] == claim for agent in agents for response in agent["responses"])


def _after_asks(agent: Mapping[str, Any], claim: str) -> list[Mapping[str, Any]]:
    """The responses to a claim after the other has asked for a share."""
    return [response for response in agent["responses"] if response["told"] == claim and response["last"] is not None]


def _mean(agent: Mapping[str, Any], claim: str, greedy: bool) -> float | None:
    """The mean share over the asks after a greedy, or a fair, ask of the other."""
    responses = [response for response in _after_asks(agent, claim) if (response["last"] > 0.5) == greedy]
    asks = sum(response["asks"] for response in responses)
    return sum(response["share"]["mean"] * response["asks"] for response in responses) / asks if asks else None


def curves(fingerprint: Mapping[str, Any]) -> list[Curves]:
    """Both tables and the course of forgiveness in matrix games, the response curves in splitting games, tables in others."""
    agents = fingerprint["agents"]
    if "measures" in agents[0]:
        every = tables(fingerprint)
        return [_points(table, "", "", None) for table in every[1:] or every]
    if "forgiveness" in agents[0]:
        rounds = agents[0]["forgiveness"]
        ticks = tuple(f"{point['round']}\nafter {rounds[i - 1]['other']}" if i else "1" for i, point in enumerate(rounds))
        lines = []
        for agent in agents:
            values = tuple(point["cooperate"] for point in agent["forgiveness"])
            lines.append(Curve(agent["label"], tuple(point["round"] for point in agent["forgiveness"]), values, values, values))
        title = "P(cooperate) against one that defects once"
        course = Curves(title, "round, and the other's last move", "P(cooperate)", tuple(lines), ticks)
        return [*(_points(table) for table in tables(fingerprint)), course]
    return [
        Curves(
            f"Asks, {CLAIMS[claim]}",
            "share that the other asked for last",
            "share asked",
            tuple(_response(agent, claim) for agent in agents),
        )
        for claim in CLAIMS
        if _responses(agents, claim)
    ]


def _points(
    table: Table,
    across: str = "joint moves, one's own first, older ones above",
    up: str = "P(cooperate)",
    limits: tuple[float, float] | None = UNIT,
) -> Curves:
    """A table as points: one place for every head."""
    places = tuple(float(i) for i in range(1, len(table.heads) + 1))
    lines = []
    for label, row in table.rows:
        values = tuple(0.0 if value is None else value for value in row)
        lines.append(Curve(label, places, values, values, values))
    ticks = tuple(head.replace(" ", "\n") for head in table.heads)
    return Curves(table.title, across, up, tuple(lines), ticks, joined=False, limits=limits)


def _response(agent: Mapping[str, Any], claim: str) -> Curve:
    responses = _after_asks(agent, claim)
    shares = [response["share"] for response in responses]
    means = tuple(share["mean"] for share in shares)
    low, high = (tuple(share["mean"] if share[key] is None else share[key] for share in shares) for key in ("low", "high"))
    return Curve(agent["label"], tuple(response["last"] for response in responses), means, low, high)


def picture(fingerprint: Mapping[str, Any]) -> Figure:
    """All curves in a row, with one legend."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from detente.reports.plots import SERIES, STYLE

    panels = curves(fingerprint)
    labels = [line.label for line in panels[0].lines]
    with matplotlib.rc_context(STYLE):
        drawn = Figure(
            figsize=(4.6 * len(panels) + (1 if len(panels) == 1 else 0), 3.1 + 0.22 * -(-len(labels) // (2 * len(panels)))),
            layout="constrained",
        )
        for axes, panel in zip(drawn.subplots(1, len(panels), squeeze=False).flat, panels, strict=True):
            _draw(axes, panel)
            axes.set_title(panel.title, fontsize=9)
        handles = [Line2D([], [], color=SERIES[i % len(SERIES)], ls=_style(i), lw=2) for i in range(len(labels))]
        drawn.legend(handles, labels, loc="outside upper left", ncols=2 * len(panels), handlelength=1.6)
    return drawn


def _alone(panel: Curves) -> Figure:
    import matplotlib
    from matplotlib.figure import Figure

    from detente.reports.plots import STYLE

    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(4.9, 2.9), layout="constrained")
        _draw(drawn.subplots(), panel)
    return drawn


def _draw(axes: Axes, panel: Curves) -> None:
    from detente.reports.plots import SERIES

    for i, line in enumerate(panel.lines):
        colour = SERIES[i % len(SERIES)]
        if panel.joined:
            axes.plot(line.places, line.values, color=colour, ls=_style(i), lw=1.8, marker="o", ms=3)
        else:  # side by side, so that equal values do not hide each other
            aside = (i - (len(panel.lines) - 1) / 2) * 0.6 / len(panel.lines)
            axes.plot(
                [place + aside for place in line.places], line.values, color=colour, ls="", marker="os"[i >= len(SERIES)], ms=4
            )
        if line.low != line.values or line.high != line.values:
            axes.fill_between(line.places, line.low, line.high, color=colour, alpha=0.15, lw=0)
    if panel.ticks:
        axes.set_xticks(range(1, len(panel.ticks) + 1), panel.ticks)
    if panel.limits is not None:
        axes.set_ylim(*panel.limits)
    axes.set_xlabel(panel.across)
    axes.set_ylabel(panel.up)


def _style(number: int) -> str:
    """Agents beyond the sixth have the colours of the first agents, dashed."""
    from detente.reports.plots import SERIES

    return "-" if number < len(SERIES) else "--"


def grids(fingerprint: Mapping[str, Any]) -> list[Grid]:
    """The tables for the terminal."""
    drawn = []
    for table in tables(fingerprint):
        grid = Grid(title=table.title, title_justify="left")
        grid.add_column("")
        for head in table.heads:
            grid.add_column(head.replace(" ", "\n"), justify="right")
        for label, values in table.rows:
            grid.add_row(Text(label, style="bold"), *("–" if value is None else f"{value:.2f}" for value in values))
        drawn.append(grid)
    return drawn
