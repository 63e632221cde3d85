"""Rollouts beside updates: the same training with overlap=0 and overlap=1.

overlap=0, overlap=1 ── a training in a process of its own, in turn, repeats times ──> seconds of its iterations, and their ratio
"""

from __future__ import annotations

import json as json_text
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.common import say, spread
from benchmarks.tables import Table, between, show

WAYS = ("overlap=0", "overlap=1")


def overlap(
    preset: Annotated[str, typer.Option(help="What is trained.")] = "ipd",
    iterations: Annotated[int, typer.Option(help="Of each training.")] = 10,
    option: Annotated[list[str], typer.Option(help="Further options, KEY=VALUE.")] = ["threads=1"],  # noqa: B006
    repeats: Annotated[int, typer.Option(help="How often both ways are timed.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """Seconds of a training whose rollouts wait for updates, and of one whose rollouts play beside them."""
    say(f"overlap: {iterations} iterations of {preset} with {' '.join(option)}, both ways, {repeats} times each")
    show(common.save("overlap", "cpu", measured(preset, iterations, option, repeats), json))


def measured(preset: str, iterations: int, options: Sequence[str], repeats: int) -> dict[str, Any]:
    """Both ways in turn; the first is how many times as long as the second."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            seconds[way].append(spent(preset, [way, f"iterations={iterations}", "evaluation.episodes=0", *options]))
    first, second = (seconds[way] for way in WAYS)
    pairs = [waits / beside for waits, beside in zip(first, second, strict=True)]
    return {
        "preset": preset,
        "options": list(options),
        "iterations": iterations,
        "wall_s": {way: spread(times) for way, times in seconds.items()},
        "ratio": spread(pairs),
    }


def spent(preset: str, options: Sequence[str]) -> float:
    """Seconds of all iterations of a new training, start and end of its process not counted; ValueError if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = ["train", preset, *options, "--run", str(run), "--no-report"]
        if status := subprocess.run([sys.executable, "-m", "detente.cli", *words], stdout=subprocess.DEVNULL).returncode:
            raise ValueError(f"A training ended with status {status}.")
        lines = (run / "metrics.jsonl").read_text().splitlines()
        return float(sum(json_text.loads(line)["time/total_s"] for line in lines))


def tables(figures: dict[str, Any]) -> list[Table]:
    """A line per way."""
    rows = [[way, between(times)] for way, times in figures["wall_s"].items()]
    rows.append([f"ratio, {' / '.join(WAYS)}", between(figures["ratio"])])
    title = f"Wall seconds of {figures['iterations']} iterations of {figures['preset']}, median (least to greatest)"
    return [Table(title, ["way", "wall"], rows)]
