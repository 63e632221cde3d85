"""``export``: episodes and metrics as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from detente.cli.terminal import console, say


def export(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SOURCE", help="Run folders, arena folders, files of episodes (.jsonl, .jsonl.gz).")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The folder to write to; by default SOURCE/export, or export.", show_default=False)
    ] = None,
    format: Annotated[
        Literal["parquet", "csv"], typer.Option(help="What the tables are: Parquet, or CSV as spreadsheets read it.")
    ] = "parquet",
) -> None:
    """Write episodes and metrics as Parquet or CSV tables, one row per turn."""
    from rich.filesize import decimal
    from rich.progress import Progress

    from detente.export import export as write

    screen = console()
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task("exporting", total=None)
        exported = write(sources, out, lambda done, total: progress.update(task, completed=done, total=total), format=format)
    for path in exported.unfinished:
        say(screen, f"Left out the unfinished last line of {path}")
    for table in exported.tables:
        said = f"Wrote {table.path}: {table.rows} rows, {decimal(table.size)}"
        say(screen, said)
