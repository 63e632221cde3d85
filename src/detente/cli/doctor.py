"""``doctor``: what a run will need, before anything runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detente.cli.terminal import Trust, console, doing, say
from detente.cli.training import resolved
from detente.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from detente.needs.doctor import Diagnosis

GIB = 1 << 30
MARKS = {True: "ok", False: "NO", None: "?"}


def doctor(
    target: Annotated[str, typer.Argument(metavar="PRESET", help="A preset, a preset file (.yaml) or a run folder.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Options, as for train.")] = None,
    run: Annotated[Path | None, typer.Option(help="The run folder, for the disk that it lies on.", show_default=False)] = None,
    device_memory: Annotated[
        float | None, typer.Option(help="Plan for a GPU of so many GiB in place of this machine.", show_default=False)
    ] = None,
    gpus: Annotated[int, typer.Option(help="Plan for so many of them.")] = 1,
    shape: Annotated[
        str | None,
        typer.Option(help="Sizes of the model: a config.json, or layers=28,hidden=3584,inner=18944,heads=28,vocab=152064."),
    ] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Try no episodes: formulas alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    trust: Trust = False,
) -> None:
    """Say what a run will need: memory, disk and time, whether it fits, and which options would make it fit.

    A few episodes are played and learned from, where the model is on this machine; nothing is written. Status 0: it fits; 1: it
    does not.
    """
    if device_memory is not None and not 0 < device_memory < 1e6:
        raise UserError(f"--device-memory is the memory of one GPU in GiB, such as 80, not {device_memory:g}.")
    if not 1 <= gpus <= 10_000:
        raise UserError(f"--gpus is a number of GPUs from 1 on, not {gpus}.")
    config, folder = resolved(target, overrides or (), run, trust)
    screen = console()
    with doing(console(stderr=True), f"Looking at what {config.preset} needs"):
        from detente.needs.doctor import Target, examined

        there = Target(None if device_memory is None else device_memory * GIB, gpus)
        diagnosis = examined(config, folder, there, shape, measure=not estimate)
    if as_json:
        print(json.dumps(as_values(diagnosis), indent=2))
    else:
        _show(screen, diagnosis)
    if not diagnosis.fits:
        raise typer.Exit(1)


def as_values(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as JSON has it: bytes and seconds, the peak, and the verdict."""
    values = asdict(diagnosis)
    values["memory"]["peak"] = diagnosis.memory.peak
    return values | {"fits": diagnosis.fits, "verdict": verdict(diagnosis)}


def verdict(diagnosis: Diagnosis) -> str:
    """One line."""
    needs = f"{_gib(diagnosis.memory.peak)} of {_gib(diagnosis.room)}"
    disk = sum(diagnosis.disk.values())
    failed = [check.what for check in diagnosis.checks if check.passed is False]
    if diagnosis.fits:
        estimated = "" if diagnosis.said.measured else " (estimates)"
        return f"It fits: {needs}, {_bytes(disk)} of disk, {_duration(sum(diagnosis.seconds.values()))} an iteration{estimated}."
    faults = [f"it needs {needs}"] if not diagnosis.has_memory else []
    faults += [] if diagnosis.has_disk else [f"it needs {_bytes(disk)} of disk, and {_bytes(diagnosis.free or 0)} are free"]
    faults += [f"this is wrong: {', '.join(failed)}"] if failed else []
    return f"It does not fit: {'; '.join(faults)}."


def remedies(diagnosis: Diagnosis) -> Iterator[str]:
    """Which options would make it fit, into memory and on the disk; nothing where nothing has to change."""
    if not diagnosis.has_memory and diagnosis.changes is None:
        yield "No option makes it fit: choose a smaller model, or a device with more memory."
    elif diagnosis.changes is not None:
        yield f"It would fit with: {_words(diagnosis.changes.options)} ({_gib(diagnosis.changes.memory.peak)})"
    if not diagnosis.has_disk and diagnosis.smaller is None:
        yield "No option makes the run folder small enough: make room on the disk, or name a folder on another one with --run."
    elif diagnosis.smaller is not None:
        yield f"The disk would have room with: {_words(diagnosis.smaller)} (or a folder on another one, --run; see docs/disk.md)"


def _words(options: Mapping[str, object]) -> str:
    return " ".join(f"{key}={str(value).lower()}" for key, value in options.items())


def _show(screen: Console, diagnosis: Diagnosis) -> None:
    from rich.table import Table

    for name, source in diagnosis.shapes.items():
        say(screen, f"{name}, {diagnosis.dtype}: {source}")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(min_width=44)
    table.add_column(justify="right")
    table.add_column()
    memory, fuller = diagnosis.memory, "play"
    if sum(memory.update.values()) > sum(memory.play.values()):
        fuller = "update"
    _part(table, f"Memory: {diagnosis.device}", _gib(diagnosis.room), "")
    for phase, parts in (("", memory.always), ("play", memory.play), ("update", memory.update)):
        for what, size in parts.items():
            _part(table, f"  {what}", _gib(size), "" if phase in ("", fuller) else f"not while it is fullest, in {fuller}")
    _part(table, "  at most at once", _gib(memory.peak), "")
    free = "" if diagnosis.free is None else f"{_bytes(diagnosis.free)} free"
    _part(table, "Disk: the run folder at its end", _bytes(sum(diagnosis.disk.values())), free)
    for what, size in diagnosis.disk.items():
        _part(table, f"  {what}", _bytes(size), "")
    _part(table, "Time of an iteration", _duration(sum(diagnosis.seconds.values())), diagnosis.timed)
    for what, spent in diagnosis.seconds.items():
        _part(table, f"  {what}", _duration(spent), "")
    _part(table, "Checks", "", "")
    for check in diagnosis.checks:
        _part(table, f"  {check.what}", MARKS[check.passed], check.seen)
    screen.print(table)
    say(screen, verdict(diagnosis))
    for sentence in remedies(diagnosis):
        say(screen, sentence)


def _part(table: Table, *cells: str) -> None:
    from rich.text import Text

    table.add_row(*map(Text, cells))


def _gib(size: float) -> str:
    return f"{size / GIB:.2f} GiB" if size < 10 * GIB else f"{size / GIB:.1f} GiB"


def _bytes(size: float) -> str:
    from rich.filesize import decimal

    return decimal(int(size))


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
