"""The two trainings of ``make quickstart``: one after the other on all cores, and side by side with one thread each.

reinforce, advantage_alignment ── processes of their own, in turn or at once, repeats times ──> wall seconds, and their ratio
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.common import interleaved, say
from benchmarks.tables import Table, between, show

ARMS = ("reinforce", "advantage_alignment")
ALONE, TOGETHER = "one after the other", "side by side"


def arms(
    iterations: Annotated[int, typer.Option(help="Of each training.")] = 80,
    repeats: Annotated[int, typer.Option(help="How often both ways are timed.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """Seconds of two trainings, one after the other and at the same time."""
    say(f"arms: {iterations} iterations of {' and '.join(ARMS)}, both ways, {repeats} times each")
    show(common.save("arms", "cpu", measured(iterations, repeats), json))


def measured(iterations: int, repeats: int) -> dict[str, Any]:
    """Both ways in turn; every training starts anew."""
    ways = {ALONE: lambda: alone(iterations), TOGETHER: lambda: together(iterations)}
    spent = interleaved(ways, repeats)
    seconds = {way: common.seconds(times) for way, times in spent.items()}
    return {"ways": seconds, "ratio": common.ratio(spent[TOGETHER], spent[ALONE])}


def alone(iterations: int) -> None:
    """Each training to its end before the next begins."""
    with tempfile.TemporaryDirectory() as folder:
        for arm in ARMS:
            ended(begun(arm, iterations, Path(folder)))


def together(iterations: int) -> None:
    """Both at the same time, with one thread each."""
    with tempfile.TemporaryDirectory() as folder:
        for process in [begun(arm, iterations, Path(folder), threads=1) for arm in ARMS]:
            ended(process)


def begun(arm: str, iterations: int, folder: Path, threads: int | None = None) -> subprocess.Popen[bytes]:
    """A training in a process of its own."""
    words = ["train", "ipd", f"algorithm={arm}", f"iterations={iterations}", "--run", str(folder / arm), "--no-report"]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    return subprocess.Popen([sys.executable, "-m", "detente.cli", *words], stdout=subprocess.DEVNULL, env=environment)


def ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for a training; ValueError if it failed."""
    if process.wait():
        raise ValueError(f"A training ended with status {process.returncode}.")


def tables(figures: dict[str, Any]) -> list[Table]:
    """A line per way."""
    rows = [[way, between(spent["wall_s"])] for way, spent in figures["ways"].items()]
    rows.append([f"ratio, {TOGETHER} / {ALONE}", between(figures["ratio"])])
    return [Table("Wall seconds of both trainings, median (least to greatest)", ["way", "wall"], rows)]
