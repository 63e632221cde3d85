"""How long the command line takes to answer: seconds of a new process, beside an interpreter that does nothing.

import detente, detente --help, list, train --dry-run, play ── in turn, repeats times ──> wall and CPU seconds
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import common
from benchmarks.common import Spent, say
from benchmarks.tables import Table, between, show

ANSWERS = (
    "--help",
    "list games",
    "train ipd --dry-run",
    "play ipd --seats tit_for_tat,always_defect",
    "play ipd --seats model:pocket,tit_for_tat",
)
COMMANDS: dict[str, Sequence[str]] = {
    "python, nothing": ("-c", "pass"),
    "import detente": ("-c", "import detente"),
    **{f"detente {words}": ("-m", "detente.cli", *words.split()) for words in ANSWERS},
}


def startup(
    repeats: Annotated[int, typer.Option(help="How often each command is run.")] = 5,
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """Seconds until a command has answered."""
    say(f"startup: {len(COMMANDS)} commands, {repeats} times each")
    show(common.save("startup", "cpu", measured(repeats), json, 1))


def measured(repeats: int) -> dict[str, Any]:
    """All commands in turn, after a first run that compiles what was not compiled."""
    spent: dict[str, list[Spent]] = {name: [] for name in COMMANDS}
    for words in COMMANDS.values():
        run(words)
    for _ in range(repeats):
        for name, words in COMMANDS.items():
            spent[name].append(run(words))
    return {name: common.seconds(times) for name, times in spent.items()}


def run(words: Sequence[str]) -> Spent:
    """One process to its end; ValueError if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ValueError(f"python {' '.join(words)} ended with status {process.returncode}")
    return Spent(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def tables(figures: dict[str, Any]) -> list[Table]:
    """A line per command."""
    rows = [[f"`{name}`", between(found["wall_s"]), between(found["cpu_s"])] for name, found in figures.items()]
    return [Table("Seconds of a process, median (least to greatest)", ["command", "wall", "CPU"], rows)]
