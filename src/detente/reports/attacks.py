"""What attacks through messages do to agents, to look at: a table, a picture of the differences, and a page of both.

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from detente.evaluation.statistics import ends
from detente.reports.page import environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Attacks = Mapping[str, Any]  # what attacks.json holds


def attacks_page(folder: Path, attacks: Attacks) -> Path:
    """Write index.html and attacks.png into the folder; returns the page."""
    from detente.reports.plots import save, svg

    drawn = picture(attacks)
    save(drawn, folder / "attacks.png")
    page = folder / "index.html"
    text = environment().get_template("attacks.html").render(attacks=attacks, drawing=svg(drawn, "attacks"))
    page.write_text(text, encoding="utf-8")
    return page


def table(attacks: Attacks) -> Table:
    """A row per agent and attack, for the terminal."""
    drawn = Table(title="against the honest player → against the attack; the difference [95 %]", title_justify="left")
    drawn.add_column("agent")
    drawn.add_column("attack")
    for words in attacks["measures"].values():
        drawn.add_column(words, justify="right")
    for agent in attacks["agents"]:
        for number, row in enumerate(agent["attacks"]):
            name = Text(agent["label"] if number == 0 else "", style="bold")
            drawn.add_row(name, row["attack"], *map(_cell, row["measures"].values()), end_section=row is agent["attacks"][-1])
    return drawn


def _cell(moved: Mapping[str, Mapping[str, float | None]] | None) -> Text:
    if moved is None:
        return Text("–")
    difference = moved["difference"]
    text = Text(f"{moved['honest']['mean']:.2f} → {moved['attacked']['mean']:.2f}\n{difference['mean']:+.2f}")
    return text.append(f" {ends(difference)}", style="dim") if ends(difference) else text


def picture(attacks: Attacks) -> Figure:
    """The differences with their intervals: a panel per measure, a row per attack, a colour per agent."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from detente.reports.plots import INK, SERIES, STYLE, fit

    agents, names = attacks["agents"], [row["attack"] for row in attacks["agents"][0]["attacks"]]
    tall = 1.6 + len(names) * max(0.45, 0.22 * len(agents))
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(2.2 + 3 * len(attacks["measures"]), tall), layout="constrained")
        panels = drawn.subplots(1, len(attacks["measures"]), sharey=True, squeeze=False)[0]
        titles = [axes.set_title(words) for axes, words in zip(panels, attacks["measures"].values(), strict=True)]
        for axes, measure in zip(panels, attacks["measures"], strict=True):
            axes.axvline(0, color=INK, lw=0.8)
            for number, agent in enumerate(agents):
                aside = (number - (len(agents) - 1) / 2) * 0.7 / len(agents)
                for place, row in enumerate(agent["attacks"]):
                    if row["measures"][measure] is None:
                        continue
                    difference = row["measures"][measure]["difference"]
                    mean, colour = difference["mean"], SERIES[number % len(SERIES)]
                    low, high = (mean if difference[end] is None else difference[end] for end in ("low", "high"))
                    axes.plot([low, high], [place + aside] * 2, color=colour, lw=1.6)
                    axes.plot([mean], [place + aside], color=colour, marker="os"[number >= len(SERIES)], ms=4.5)
            axes.set_xlabel("difference")
            axes.margins(x=0.15)
        marks = [
            Line2D([], [], ls="", marker="os"[number >= len(SERIES)], color=SERIES[number % len(SERIES)], label=agent["label"])
            for number, agent in enumerate(agents)
        ]
        drawn.legend(handles=marks, loc="outside lower center", ncols=min(4, len(agents)), frameon=False)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].set_ylim(len(names) - 0.5, -0.5)
        fit(titles)
    return drawn
