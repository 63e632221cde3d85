"""``arena``: who does how well against whom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detente.cli.terminal import console

if TYPE_CHECKING:
    from rich.console import Console

Preset = Annotated[str, typer.Argument(metavar="PRESET", help="A preset or a preset file (.yaml): the game and how models answer.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Options, e.g. game.rounds=20 seed=1.")]


def arena(
    preset: Preset,
    agents: Annotated[str, typer.Option(help="Who plays, separated by commas: see 'detente list players'.")],
    overrides: Overrides = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes per table, each with a game seed of its own.")] = 64,
    out: Annotated[
        Path | None, typer.Option(help="The folder; an unfinished arena goes on.", show_default="runs/arena/PRESET")
    ] = None,
) -> None:
    """Play every agent against every agent: a matrix of points with intervals, a ranking, a heatmap and a page."""
    from detente import api
    from detente.config import load
    from detente.reports.cross_play import cross_play_tables

    config = load(preset, overrides or ())
    folder = out or Path("runs", "arena", config.preset)
    screen = console()
    screen.print(f"Playing {config.preset} in {folder}", highlight=False, soft_wrap=True)
    with Tables(screen) as watch:
        found = api.arena(config, [name.strip() for name in agents.split(",")], folder, episodes=episodes, watch=watch)
    screen.print(cross_play_tables(found))
    screen.print(f"Wrote {folder / 'arena.json'}, arena.png and {folder / 'index.html'}", highlight=False, soft_wrap=True)


class Tables:
    """The progress of an arena: a bar in a terminal, else a line per table."""

    def __init__(self, screen: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.screen = screen
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("episodes"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)

    def __enter__(self) -> Tables:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def begin(self, tables: int, finished: int, episodes: int) -> None:
        """So many tables, of which some are there already."""
        self.tables, self.at = tables, finished
        self.task = self.bar.add_task("", total=tables * episodes, completed=finished * episodes)
        if finished:
            self.screen.print(f"{finished} of {tables} tables are there already", highlight=False)

    def table(self, names: Sequence[str]) -> None:
        """A table begins."""
        self.at += 1
        line = f"table {self.at} of {self.tables}: {' against '.join(names)}"
        self.bar.update(self.task, description=line)
        if not self.screen.is_terminal:
            self.screen.print(line, highlight=False, markup=False, soft_wrap=True)

    def episode(self) -> None:
        """An episode is finished."""
        self.bar.advance(self.task)
