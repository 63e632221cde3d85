"""The curves of scaling as one picture, both axes logarithmic, a dotted line where cost would be linear."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

AXES = {
    "episodes": "episodes",
    "rounds": "rounds",
    "message": "tokens per message",
    "adapters": "adapters in one batch",
    "length": "tokens per chat",
    "vocabulary": "words in the vocabulary",
}


def draw(figures: Mapping[str, Any], target: Path) -> None:
    """Write a PNG with a panel per curve."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    curves = figures["curves"]
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel, (name, curve) in zip(panels, curves.items(), strict=False):
        scale = 1e6 if curve["unit"] == "bytes" else 1
        for line, values in curve["lines"].items():
            panel.plot(curve["x"], [value / scale for value in values], marker="o", label=line)
        first = min(values[0] for values in curve["lines"].values()) / scale
        panel.plot(curve["x"], [first * x / curve["x"][0] for x in curve["x"]], ":", color="grey", label="linear")
        panel.set(xscale="log", yscale="log", xlabel=AXES[name], ylabel="peak memory, MB" if scale > 1 else "seconds")
        panel.set_xticks(curve["x"], [f"{x:,.0f}" for x in curve["x"]])
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_minor_formatter(NullFormatter())
        panel.legend(frameon=False, fontsize="small")
        panel.grid(alpha=0.3)
    for panel in panels[len(curves) :]:
        panel.remove()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)
