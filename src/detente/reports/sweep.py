"""A sweep to look at: tables for the terminal, and a page with two pictures.

    content of sweep.json ──> index.html, measure.png, verdicts.png, and the tables of the terminal

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from detente.evaluation.statistics import in_words
from detente.reports.page import environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Sweep = Mapping[str, Any]  # the content of sweep.json
Estimate = Mapping[str, Any]
DETAILS = 12  # measures in the table of the page


def sweep_page(folder: Path, sweep: Sweep) -> Path:
    """Write index.html, measure.png and verdicts.png into a folder; returns the page."""
    from detente.reports.plots import save, svg

    verdicts, panels = verdict_picture(sweep), [measure_picture(sweep, [panel]) for panel in sweep["panels"]]
    save(verdicts, folder / "verdicts.png")
    if panels:
        save(measure_picture(sweep, sweep["panels"]), folder / "measure.png")
    page = folder / "index.html"
    text = (
        environment()
        .get_template("sweep.html")
        .render(
            sweep=sweep,
            total=sum(sweep["runs"].values()),
            several=several(sweep),
            details=details(sweep),
            words=words(sweep),
            estimate=estimate,
            verdicts=svg(verdicts, "verdicts"),
            panels=[svg(drawn, f"measure {number}") for number, drawn in enumerate(panels)],
        )
    )
    page.write_text(text, encoding="utf-8")
    return page


def several(sweep: Sweep) -> bool:
    """Whether there are several learners, or roles."""
    return len({line["agent"] for line in sweep["settings"]}) > 1


def details(sweep: Sweep) -> list[str]:
    """The measures of the page's table: the one that is shown, the others of self-play, and the tables of the game."""
    names = list(dict.fromkeys(name for line in sweep["settings"] for name in line["measures"]))
    shown = [name for name in names if name.startswith("self_play/") and not name.endswith(("/low", "/high", "/invalid"))]
    shown += [name for name in names if not name.startswith(("self_play/", "vs/", "partners/"))]
    return list(dict.fromkeys([sweep["measure"], *shown]))[:DETAILS]


def words(sweep: Sweep) -> list[str]:
    """Every verdict that came."""
    return list(dict.fromkeys(word for line in sweep["settings"] for word in line["verdicts"]))


def estimate(value: Estimate | None) -> str:
    """``1.40 [1.38, 1.42]``; a dash for what was not measured."""
    return "–" if value is None else in_words(value)


def sweep_tables(sweep: Sweep) -> Group:
    """The cross tables that were asked for, or the measure and the verdicts of every setting, for the terminal."""
    parts = map(_cross_table, sweep["tables"]) if sweep["tables"] else [_setting_table(sweep)]
    return Group(*(line for part in parts for line in part))


def _cross_table(crossed: Mapping[str, Any]) -> tuple[Text, Table]:
    table = Table()
    for head in ("", *crossed["columns"]):
        table.add_column(Text(head), justify="right" if head else "left")
    for line in crossed["lines"]:
        table.add_row(Text(line["label"]), *map(estimate, line["cells"]))
    return Text(f"{crossed['measure']} of {crossed['agent']}, mean and 95 % interval over seeds"), table


def _setting_table(sweep: Sweep) -> tuple[Text, Table]:
    table = Table()
    for head in ("setting", *(["learner"] if several(sweep) else []), "seeds", sweep["measure"], "verdicts"):
        table.add_column(head, justify="right" if head in ("seeds", sweep["measure"]) else "left", overflow="fold")
    for line in sweep["settings"]:
        table.add_row(
            Text(line["label"] or sweep["preset"]),
            *([Text(line["agent"])] if several(sweep) else []),
            str(len(line["seeds"])),
            estimate(line["measures"].get(sweep["measure"])),
            Text("\n".join(f"{word} {estimate(value)}" for word, value in line["verdicts"].items())),
        )
    return Text("means with t intervals over seeds, shares of seeds with Wilson's"), table


def measure_picture(sweep: Sweep, panels: Sequence[Mapping[str, Any]]) -> Figure:
    """The measure against swept options: means over seeds with t intervals, a colour for each setting of the others."""
    import matplotlib
    from matplotlib.figure import Figure

    from detente.reports.plots import MUTED, SERIES, STYLE

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(4.6 * columns, 3.2 * rows), layout="constrained")
        grid = drawn.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        for axes, panel in zip(grid.flat, panels, strict=False):
            for number, line in enumerate(panel["lines"]):
                colour = SERIES[number % len(SERIES)]
                shift = (number - (len(panel["lines"]) - 1) / 2) * 0.08
                known = [(at + shift, value) for at, value in enumerate(line["estimates"]) if value is not None]
                for at, value in known:
                    if value["low"] is not None:
                        axes.plot([at, at], [value["low"], value["high"]], color=colour, lw=1.4)
                places, means = [at for at, _ in known], [value["mean"] for _, value in known]
                axes.plot(places, means, color=colour, marker="o", ms=4, lw=1, label=line["label"])
            axes.set_xticks(range(len(panel["values"])), [_short(value) for value in panel["values"]])
            axes.set_xlim(-0.5, len(panel["values"]) - 0.5)
            axes.tick_params(axis="x", labelcolor=MUTED, length=0)
            axes.set_xlabel(panel["option"] + (f", {panel['agent']}" if several(sweep) else ""))
            axes.set_ylabel(sweep["measure"])
            if any(line["label"] for line in panel["lines"]):
                axes.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
    return drawn


def verdict_picture(sweep: Sweep) -> Figure:
    """The share of seeds with each verdict, a row for every setting, with Wilson's intervals."""
    import matplotlib
    from matplotlib.figure import Figure

    from detente.reports.plots import INK, SERIES, STYLE

    lines, names = sweep["settings"], words(sweep)
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(6.4, 1.2 + (0.16 + 0.12 * len(names)) * len(lines)), layout="constrained")
        axes = drawn.subplots()
        handles = {}
        for place, number, word, value in _shares(lines, names):
            at, colour = place + (number - (len(names) - 1) / 2) * 0.7 / len(names), SERIES[number % len(SERIES)]
            axes.plot([value["low"], value["high"]], [at, at], color=colour, lw=1.4)
            handles[word] = axes.plot([value["mean"]], [at], color=colour, marker="o", ms=4, ls="")[0]
        axes.set_yticks(range(len(lines)), [_short(_row_label(sweep, line), 48) for line in lines])
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_xlim(-0.02, 1.02)
        axes.tick_params(axis="y", labelcolor=INK, length=0)
        axes.set_xlabel("share of seeds")
        drawn.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=2)
    return drawn


def _shares(lines: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterator[tuple[int, int, str, Estimate]]:
    """(row, number of the verdict, verdict, its share) for every verdict that a setting has."""
    for place, line in enumerate(lines):
        for number, word in enumerate(names):
            if word in line["verdicts"]:
                yield place, number, word, line["verdicts"][word]


def _row_label(sweep: Sweep, line: Mapping[str, Any]) -> str:
    return ", ".join(filter(None, (line["label"], line["agent"] if several(sweep) else ""))) or str(sweep["preset"])


def _short(label: str, most: int = 20) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}…"
