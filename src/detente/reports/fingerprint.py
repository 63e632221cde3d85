"""Fingerprints to look at, several agents side by side: the page, and curves as a picture.

    fingerprint.json ──> index.html, fingerprint.png

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detente import stored
from detente.family_file import description
from detente.reports.fingerprint_tables import CLAIMS, Table, after_asks, given_tables, met, tables
from detente.reports.page import environment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNIT = (-0.06, 1.06)  # limits of an axis for numbers in [0, 1]


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
            tables=tables(fingerprint, description(folder, {"name": fingerprint.get("game")})),
            drawings=[(panel.title, svg(_alone(panel), panel.title)) for panel in curves(fingerprint)],
        )
    )
    page.write_text(text, encoding="utf-8")
    return page


def curves(fingerprint: Mapping[str, Any]) -> list[Curves]:
    """Both tables and the course of forgiveness in matrix games, the response curves in splitting games, tables in others."""
    agents = fingerprint["agents"]
    if "measures" in agents[0]:
        every = tables(fingerprint)
        return [_points(table, "", "", None) for table in every[1:] or every]
    if "forgiveness" in agents[0]:
        rounds = agents[0]["forgiveness"]
        ticks = tuple(f"{point['round']}\n{rounds[i - 1]['other']}" if i else "1" for i, point in enumerate(rounds))
        lines = []
        for agent in agents:
            values = tuple(point["cooperate"] for point in agent["forgiveness"])
            lines.append(Curve(agent["label"], tuple(point["round"] for point in agent["forgiveness"]), values, values, values))
        title = "P(cooperate) against one that defects once"
        course = Curves(title, "round, and the other's last move", "P(cooperate)", tuple(lines), ticks)
        return [*(_points(table) for table in given_tables(agents)), course]
    return [
        Curves(
            f"Asks, {CLAIMS[claim]}",
            "share that the other asked for last",
            "share asked",
            tuple(_response(agent, claim) for agent in agents),
        )
        for claim in CLAIMS
        if met(agents, claim)
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
    responses = after_asks(agent, claim)
    shares = [response["share"] for response in responses]
    means = tuple(share["mean"] for share in shares)
    low, high = (tuple(share["mean"] if share[key] is None else share[key] for share in shares) for key in ("low", "high"))
    return Curve(agent["label"], tuple(response["last"] for response in responses), means, low, high)


def picture(fingerprint: Mapping[str, Any]) -> Figure:
    """All curves in a row, with one legend."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from detente.reports.plots import SERIES, STYLE, fit

    panels = curves(fingerprint)
    labels = [line.label for line in panels[0].lines]
    with matplotlib.rc_context(STYLE):
        drawn = Figure(
            figsize=(4.6 * len(panels) + (1 if len(panels) == 1 else 0), 3.1 + 0.22 * -(-len(labels) // (2 * len(panels)))),
            layout="constrained",
        )
        places = list(drawn.subplots(1, len(panels), squeeze=False).flat)
        for axes, panel in zip(places, panels, strict=True):
            _draw(axes, panel)
        titles = [axes.set_title(panel.title, fontsize=9) for axes, panel in zip(places, panels, strict=True)]
        handles = [Line2D([], [], color=SERIES[i % len(SERIES)], ls=_style(i), lw=2) for i in range(len(labels))]
        drawn.legend(handles, labels, loc="outside upper left", ncols=2 * len(panels), handlelength=1.6)
        fit(titles)
    return drawn


def _alone(panel: Curves) -> Figure:
    import matplotlib
    from matplotlib.figure import Figure

    from detente.reports.plots import STYLE, WIDTH

    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(WIDTH, 2.9), layout="constrained")
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
            places = [place + aside for place in line.places]
            axes.plot(places, line.values, color=colour, ls="", marker="os"[i >= len(SERIES)], ms=4)
            axes.vlines(places, line.low, line.high, color=colour, lw=1.2)
        if panel.joined and (line.low, line.high) != (line.values, line.values):
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
