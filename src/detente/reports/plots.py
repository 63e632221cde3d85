"""Figures from numbers: curves over iterations and bars per strategy, as inline SVG for the page and as PNG files.

    Panel (curves, anchors) ──┐
                              ├──> figure([...]) ──> svg(figure, name), save(figure, path)
    Bars (one per learner) ───┘

A figure draws on nothing global. Its colours stand for roles: in the SVG they become the page's CSS variables, so that one
drawing serves the light and the dark scheme. Must not import torch.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, MultipleLocator

from detente.games.reading import Anchor
from detente.reports.run import Series

INK, MUTED, GRID = "#1f2430", "#6b7281", "#e3e6eb"
# Okabe and Ito, Color Universal Design, 2008: distinguishable with every common colour vision; yellow is too pale on white.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
ROLES = {INK: "ink", MUTED: "muted", GRID: "grid"} | {colour: f"series-{i}" for i, colour in enumerate(SERIES)}

THICKNESS, GAP = 0.2, 0.2  # of bars and between groups of bars, inches
WIDTH, SMALL = 4.6, 9  # of a plot in inches, and of small words in points: 10 pixels on a page of 400
ROOM = 0.17  # of a number beside a bar, in parts of the axis

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "detente",
    "text.parse_math": False,  # a name may hold a dollar sign
    "font.size": 10,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.labelcolor": INK,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One curve; ``colour`` counts the curves of the page."""

    label: str
    colour: int
    series: Series
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes with curves over iterations; without ``limits`` the values decide."""

    name: str
    title: str
    lines: tuple[Line, ...]
    anchors: tuple[Anchor, ...] = ()
    limits: tuple[float, float] | None = None
    small: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """One value of a curve's learner, with the ends of its interval where it has one."""

    colour: int
    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The bars of one strategy, and the mark of the reference policy where it is known."""

    name: str
    bars: tuple[Bar, ...]
    mark: float | None

    @property
    def values(self) -> tuple[float, ...]:
        """Every number of the group."""
        bars = [value for bar in self.bars for value in (bar.value, *(bar.interval or ()))]
        return (*bars, *(() if self.mark is None else (self.mark,)))


@dataclass(frozen=True, slots=True)
class Bars:
    """One pair of axes with groups of horizontal bars, drawn over ``limits``."""

    name: str
    title: str
    groups: tuple[Group, ...]
    limits: tuple[float, float]
    small: bool = False


def figure(plots: Sequence[Panel | Bars], columns: int, legend: Mapping[str, int] | None = None) -> Figure:
    """A grid of plots; with a ``legend`` (label -> colour) it also has titles, without one the page names everything."""
    columns = min(columns, len(plots))
    rows = -(-len(plots) // columns)
    width, height = max(_size(plot) for plot in plots)
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(width * columns, height * rows + (0.3 if legend else 0)), layout="constrained")
        grid = drawn.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(plots) :]:
            axes.remove()
        for axes, plot in zip(grid.flat, plots, strict=False):
            if isinstance(plot, Panel):
                _panel(axes, plot)
            else:
                _bars(axes, plot)
        if legend:
            titled = zip(grid.flat, plots, strict=False)
            titles = [axes.set_title(plot.title, fontsize=8 if plot.small else 11) for axes, plot in titled]
            handles = [Line2D([], [], color=_colour(colour), lw=2.5) for colour in legend.values()]
            drawn.legend(handles, list(legend), loc="outside upper left", ncols=min(2 * columns, len(legend)), handlelength=1.2)
            fit(titles)
    return drawn


def fit(titles: Sequence[Text]) -> None:
    """Break titles that are wider than their axes into lines; to be called last, since all else decides how wide axes are."""
    wide = [title for title in titles if title.axes and _width(title) > _width(title.axes)]
    if wide and (drawn := wide[0].get_figure(root=True)):
        drawn.draw_without_rendering()
    for title in wide:
        words, lines = title.get_text().split(), [""]
        for word in words:
            title.set_text(f"{lines[-1]} {word}".strip())
            if lines[-1] and title.axes and _width(title) > _width(title.axes):
                lines.append(word)
            else:
                lines[-1] = title.get_text()
        title.set_text("\n".join(lines))


def _width(artist: Artist) -> float:
    """In pixels."""
    return float(artist.get_window_extent().width)


def svg(drawn: Figure, name: str) -> str:
    """The figure as an SVG element for the page: colours as CSS variables, ids made unique by ``name``, text kept as text."""
    name = re.sub(r"\W+", "-", name)
    out = io.StringIO()
    with matplotlib.rc_context(STYLE):
        drawn.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</defs>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text)
    text = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{name}">', text, count=1)
    for pattern in (r'(\bid=")', r"(url\(#)", r'(href="#)'):
        text = re.sub(pattern, rf"\1{name}-", text)
    for colour, role in ROLES.items():
        text = text.replace(colour, f"var(--{role})")
    return text


def save(drawn: Figure, path: Path) -> None:
    """The figure as a PNG on white."""
    with matplotlib.rc_context(STYLE):
        drawn.savefig(path, dpi=160, facecolor="white")


def _size(plot: Panel | Bars) -> tuple[float, float]:
    """Width and height in inches: small enough that text stays readable when a telephone shows the drawing."""
    if isinstance(plot, Bars):
        return WIDTH, 0.7 + sum(THICKNESS * len(group.bars) + GAP for group in plot.groups)
    return (2.3, 1.6) if plot.small else (WIDTH, 2.8)


def _panel(axes: Axes, panel: Panel) -> None:
    few = max(len(line.series.values) for line in panel.lines) < 25
    for line in panel.lines:
        series, colour = line.series, _colour(line.colour)
        style = "--" if line.dashed else "-"
        axes.plot(series.iterations, series.values, color=colour, lw=1.8, ls=style, marker="o" if few else "", ms=3)
        if (series.low, series.high) != (series.values, series.values):
            axes.fill_between(series.iterations, series.low, series.high, color=colour, alpha=0.18, lw=0)
    values = [value for line in panel.lines for series in (line.series.low, line.series.high) for value in series]
    values += [anchor.value for anchor in panel.anchors]
    low, high = panel.limits or (min(values), max(values))
    room = (high - low) * 0.06 or abs(high) * 0.1 or 0.1
    axes.set_ylim(low - room, high + room)
    _anchors(axes, panel.anchors)
    axes.xaxis.set_major_locator(MaxNLocator(4 if panel.small else 7, integer=True, min_n_ticks=1))
    shares = MultipleLocator(0.5 if panel.small else 0.2)
    axes.yaxis.set_major_locator(shares if panel.limits == (0, 1) else MaxNLocator(4 if panel.small else 6))
    axes.tick_params(length=3)
    if not panel.small:
        axes.set_xlabel("iteration")


def _bars(axes: Axes, plot: Bars) -> None:
    low, high = plot.limits
    span = high - low or 1.0
    place, middles = 0.0, []
    for group in plot.groups:
        top = place
        for bar in group.bars:
            axes.barh(place, bar.value, THICKNESS * 0.84, color=_colour(bar.colour))
            if bar.interval is not None:
                axes.plot(bar.interval, [place] * 2, color=INK, lw=1.2, marker="|", ms=5)
            end = max(bar.value, 0.0, *(bar.interval or ()))
            # Whether the mark would cross the number.
            crossed = group.mark is not None and end - span * 0.02 <= group.mark <= end + span * ROOM
            beside = max(end, group.mark) if crossed and group.mark is not None else end
            axes.text(beside + span * 0.02, place, f"{bar.value:.2f}", va="center", fontsize=SMALL, color=MUTED)
            place += THICKNESS
        if group.mark is not None:
            axes.plot([group.mark] * 2, [top - THICKNESS * 0.6, place - THICKNESS * 0.4], color=INK, lw=1.8)
        middles.append((top + place - THICKNESS) / 2)
        place += GAP
    axes.set_yticks(middles, [group.name for group in plot.groups])
    axes.tick_params(axis="y", labelcolor=INK, length=0)
    axes.grid(axis="y", visible=False)
    axes.set_ylim(place - GAP, -THICKNESS)
    axes.set_xlim(low, high + span * ROOM)
    axes.set_xlabel("points per round")


def _anchors(axes: Axes, anchors: Sequence[Anchor]) -> None:
    for anchor in anchors:
        axes.axhline(anchor.value, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=1)
    named = sorted((anchor for anchor in anchors if anchor.label), key=lambda anchor: anchor.value)
    low, high = axes.get_ylim()
    room = (high - low) * 0.16  # the height of a label of two lines
    for anchor, at in zip(named, apart([anchor.value for anchor in named], room), strict=True):
        axes.text(1.02, at, anchor.label, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL, color=MUTED)


def apart(values: Sequence[float], room: float) -> list[float]:
    """Move sorted values as little as needed so that neighbours are at least ``room`` apart; each cluster keeps its mean."""
    clusters: list[list[float]] = []
    for value in values:
        clusters.append([value])
        while len(clusters) > 1 and _spread(clusters[-1], room)[0] - _spread(clusters[-2], room)[-1] < room:
            last = clusters.pop()
            clusters[-1] += last
    return [place for cluster in clusters for place in _spread(cluster, room)]


def _spread(cluster: Sequence[float], room: float) -> list[float]:
    first = sum(cluster) / len(cluster) - room * (len(cluster) - 1) / 2
    return [first + room * i for i in range(len(cluster))]


def _colour(number: int) -> str:
    return SERIES[number % len(SERIES)]
