"""A transfer to look at: the table in the terminal, and a page with a picture.

    content of transfer.json ──> index.html, transfer.png, and the table of the terminal

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from detente.evaluation.statistics import in_words
from detente.reports.page import environment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Transfer = Mapping[str, Any]
SELF = "itself"


def transfer_page(folder: Path, transfer: Transfer) -> Path:
    """Write index.html and transfer.png into a transfer's folder; returns the page."""
    from detente.reports.plots import save, svg

    drawn = picture(transfer)
    save(drawn, folder / "transfer.png")
    text = (
        environment()
        .get_template("transfer.html")
        .render(
            transfer=transfer,
            rows=[(row, list(zip(transfer["groups"], row["cells"], strict=True))) for row in transfer["table"]],
            partners=usual(transfer),
            others=others(transfer),
            measures=measures(transfer),
            skipped=list(skipped(transfer)),
            drawing=svg(drawn, "points relative to mutual defection and cooperation"),
        )
    )
    page = folder / "index.html"
    page.write_text(text, encoding="utf-8")
    return page


def partners(transfer: Transfer) -> list[str]:
    """Every partner in the order of the suite."""
    return list(dict.fromkeys(name for row in transfer["table"] for cell in row["cells"] for name in cell.get("against", ())))


def measures(transfer: Transfer) -> list[str]:
    """The heads of the measures that rows tell."""
    return list(dict.fromkeys(row["measure"] for row in transfer["table"] if row["measure"]))


def usual(transfer: Transfer) -> list[str]:
    """The partners of at least half of the rows, which have columns of their own in the terminal and in the picture."""
    rows = [{name for cell in row["cells"] for name in cell.get("against", ())} for row in transfer["table"]]
    return [name for name in partners(transfer) if 2 * sum(name in row for row in rows) >= len(rows)]


def others(transfer: Transfer) -> list[tuple[str, str, str, Mapping[str, Any]]]:
    """(row, agent, partner, what came of it) for every other partner."""
    known = usual(transfer)
    return [
        (row["row"], group["label"], name, met)
        for row in transfer["table"]
        for group, cell in zip(transfer["groups"], row["cells"], strict=True)
        for name, met in cell.get("against", {}).items()
        if name not in known
    ]


def skipped(transfer: Transfer) -> Iterator[str]:
    """A sentence for each reason why a group does not play rows."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in transfer["table"]:
        for group, cell in zip(transfer["groups"], row["cells"], strict=True):
            if "skipped" in cell:
                reasons.setdefault((group["label"], cell["skipped"]), []).append(row["row"])
    for (label, why), names in reasons.items():
        yield f"{label} does not play {', '.join(names)}: {why}"


def grid(transfer: Transfer) -> Table:
    """A line for each row and group that plays it; against partners own / theirs."""
    columns = usual(transfer)
    drawn = Table(caption="points per round; relative: 0 mutual defection, 1 mutual cooperation; against partners: own / theirs")
    drawn.caption_justify = "left"
    drawn.add_column("row", style="bold", overflow="fold")
    drawn.add_column("agent", overflow="fold")
    several = any(len(group["agents"]) > 1 for group in transfer["groups"])
    heads = ("with itself", *(("over seeds",) if several else ()), "relative", *measures(transfer), *(f"vs {c}" for c in columns))
    for head in heads:
        drawn.add_column(head.replace(" ", "\n").replace("_", " "), justify="right", vertical="middle")
    for row in transfer["table"]:
        for place, (group, cell) in enumerate(zip(transfer["groups"], row["cells"], strict=True)):
            if "skipped" in cell:
                continue
            own = cell["self_play"]
            drawn.add_row(
                Text(row["row"] if place == 0 else ""),
                Text(group["label"]),
                _interval(own["reward"]),
                *((_interval(own["reward"]["over_seeds"]),) if several else ()),
                _number(own["reward"]["relative"]),
                *(_number(own["measure"]) if head == row["measure"] else "–" for head in measures(transfer)),
                *(_pair(cell["against"].get(name)) for name in columns),
                end_section=place == len(row["cells"]) - 1,
            )
    return drawn


def _interval(estimate: Mapping[str, float | None] | None) -> str:
    return "–" if estimate is None else in_words(estimate)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _pair(met: Mapping[str, Any] | None) -> str:
    return "–" if met is None else f"{met['reward']['mean']:.2f} / {met['opponent_reward']['mean']:.2f}"


def picture(transfer: Transfer) -> Figure:
    """Relative points by row, with oneself and with the usual partners; one dot for each group, a line over its interval."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from detente.reports.plots import SERIES, STYLE, fit

    rows = [row for row in transfer["table"] if row["cooperation"] is not None]
    panels = [SELF, *usual(transfer)]
    labels = [group["label"] for group in transfer["groups"]]
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(2.4 + 2.6 * len(panels), 1.5 + 0.3 * max(1, len(rows))), layout="constrained")
        titles = []
        for place, (axes, panel) in enumerate(zip(drawn.subplots(1, len(panels), squeeze=False).flat, panels, strict=True)):
            _dots(axes, rows, panel, len(labels))
            titles.append(axes.set_title(f"with {panel.replace('_', ' ')}", fontsize=9))
            axes.set_yticks(range(len(rows)), [row["row"] for row in rows] if place == 0 else [""] * len(rows))
        handles = [Line2D([], [], color=SERIES[i % len(SERIES)], marker="o", ls="") for i in range(len(labels))]
        drawn.legend(handles, labels, loc="outside upper left", ncols=2)
        drawn.supxlabel("points per round, 0 mutual defection, 1 mutual cooperation", fontsize=9)
        fit(titles)
    return drawn


def _dots(axes: Axes, rows: Sequence[Mapping[str, Any]], panel: str, groups: int) -> None:
    from detente.reports.plots import INK, MUTED, SERIES

    for end in (0, 1):
        axes.axvline(end, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=1)
    for place, row in enumerate(rows):
        for number, cell in enumerate(row["cells"]):
            met = cell.get("self_play") if panel == SELF else cell.get("against", {}).get(panel)
            if met is None:
                continue
            at, colour = place + (number - (groups - 1) / 2) * 0.5 / groups, SERIES[number % len(SERIES)]
            shown = met["reward"]["over_seeds"] or met["reward"]
            low, high = (_relative(row, shown["mean"] if shown[end] is None else shown[end]) for end in ("low", "high"))
            axes.plot([low, high], [at, at], color=colour, lw=1.4)
            axes.plot([met["reward"]["relative"]], [at], color=colour, marker="o", ms=4, ls="")
    axes.set_ylim(max(1, len(rows)) - 0.4, -0.6)
    axes.tick_params(axis="y", labelcolor=INK, length=0)


def _relative(row: Mapping[str, Any], points: float) -> float:
    return float((points - row["defection"]) / (row["cooperation"] - row["defection"]))
