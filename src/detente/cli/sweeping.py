"""``sweep`` and ``sweep-report``: every combination of some options, and what came of it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detente.cli.terminal import Trust, console, doing, kept, say, whole_numbers
from detente.errors import UserError, counted
from detente.files import folder_name

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from detente.sweeps.runs import Sweep, Task

LOOK_S = 5.0  # between two looks at how long iterations take


def sweep(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="A preset, a preset file (.yaml) or a run folder.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Options of every run. A list of values is swept: 'credit.beta=[1,2]'; an option that is a list itself is by a "
            "list of lists: 'seats=[\\[main,main],\\[main,tit_for_tat]]'.",  # what is in brackets would be taken for markup
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Seeds, e.g. 0,42,1337; 0:12 are 0 to 11 (unset: the preset's).", show_default=False)
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="Options that are set together, under a name: 'plain: algorithm=reinforce'; may be repeated."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=1000, help="Runs that train at the same time, with threads=1 unless set.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="The folder; a sweep that is there goes on.", show_default="runs/sweeps/PRESET-...")
    ] = None,
    outcomes: Annotated[
        Path | None,
        typer.Option(
            help="outcomes.parquet of this sweep, whose runs count as done (unset: that of the folder).", show_default=False
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count the runs, estimate the time, and stop.")] = False,
    trust: Trust = False,
) -> None:
    """Train a preset with every combination of options and seeds, a run folder each. The same command goes on where it stopped."""
    from detente.sweeps.sweep import opened
    from detente.sweeps.sweep import sweep as train

    screen = console()
    arms = dict(map(_arm, arm or ()))
    if len(arms) < len(arm or ()):
        raise UserError("Two arms of the sweep have the same name; give each its own.")
    folder = out or Path("runs", "sweeps", folder_name(Path(preset).stem, *arms, *(overrides or ())))
    options: dict[str, Any] = {
        "seeds": None if seeds is None else whole_numbers(seeds),
        "arms": arms,
        "outcomes": outcomes,
        "trust": trust,
    }
    if dry_run:
        _plan(screen, opened(preset, overrides or (), folder, **options)[0], jobs)
        return
    with kept(folder), Runs(screen, jobs) as watch:
        train(preset, overrides or (), folder, jobs=jobs, watch=watch, **options)
    _report(screen, folder, None, None, None, None)


def report(
    source: Annotated[Path, typer.Argument(metavar="FOLDER|FILE", help="The folder of a sweep, or its outcomes.parquet.")],
    rows: Annotated[
        str | None, typer.Option(help="A cross table: the swept option of its rows, or seed.", show_default=False)
    ] = None,
    columns: Annotated[str | None, typer.Option(help="The swept option of its columns, or seed.", show_default=False)] = None,
    measure: Annotated[str | None, typer.Option(help="A column of the outcomes.", show_default="self_play/reward")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the page goes.", show_default="the folder, or one called like the file")
    ] = None,
) -> None:
    """Tables, pictures and a page about a sweep: means with intervals over seeds, and the shares of seeds with each verdict."""
    _report(console(), source, measure, rows, columns, out)


def _report(screen: Console, source: Path, measure: str | None, rows: str | None, columns: str | None, out: Path | None) -> None:
    from detente.reports.sweep import sweep_tables
    from detente.sweeps.sweep import sweep_report

    with doing(screen, f"Drawing what came of {source}"):
        content, page = sweep_report(source, measure=measure, rows=rows, columns=columns, out=out)
    screen.print(sweep_tables(content))
    if content["not_done"]:
        say(screen, f"Not done: {', '.join(f'{name} ({status})' for name, status in content['not_done'].items())}")
    say(
        screen,
        f"Wrote {page}, measure.png, verdicts.png, sweep.json{', outcomes.parquet and outcomes.csv' if source.is_dir() else ''}",
    )


class Runs:
    """The progress of a sweep: in a terminal a table of the runs that train, and a line for every run that ends."""

    def __init__(self, screen: Console, jobs: int) -> None:
        from rich.live import Live

        self.screen, self.jobs = screen, jobs
        self.sweep: Sweep | None = None
        self.tasks: Sequence[Task] = ()
        self.looked, self.left = -LOOK_S, ""
        self.live = Live(get_renderable=self._picture, console=screen, transient=True, refresh_per_second=4)

    def __enter__(self) -> Runs:
        if self.screen.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def begin(self, sweep: Sweep) -> None:
        """So many runs are to be trained, unless they are done already."""
        self.sweep = sweep
        done = f"; {len(sweep.done)} done already" if sweep.done else ""
        say(self.screen, f"Training {counted(len(sweep.tasks), 'run')} in {sweep.folder}{done}")

    def running(self, tasks: Sequence[Task]) -> None:
        """These runs train at the moment."""
        self.tasks = tasks

    def ended(self, task: Task, fault: str | None) -> None:
        """A run is done, or failed."""
        if self.sweep is None:
            return
        self.looked = -LOOK_S
        number = len(self.sweep.tasks) - len(self.sweep.missing)
        what = f"done, {number} of {len(self.sweep.tasks)}" if fault is None else f"failed: {fault}"
        say(self.screen, "; ".join(filter(None, (f"{task.name} {what}", self._time_left()))))

    def stopping(self) -> None:
        """Ctrl-C was heard."""
        say(self.screen, "stopping after the present iterations are saved; Ctrl-C again stops at once")

    def _time_left(self) -> str:
        if self.sweep is not None and time.monotonic() - self.looked >= LOOK_S:
            self.looked = time.monotonic()
            seconds = self.sweep.seconds_left()
            self.left = "" if not seconds else f"about {duration(seconds / min(self.jobs, len(self.sweep.missing)))} left"
        return self.left

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        from detente.stored import newest_metrics

        if self.sweep is None:
            return Text("checking the runs")
        parts = [f"{len(self.sweep.tasks) - len(self.sweep.missing)} of {len(self.sweep.tasks)} done", f"{len(self.tasks)} running"]
        failed = sum(task.name in self.sweep.failed for task in self.sweep.missing)
        parts += [*([f"{failed} failed"] if failed else []), *filter(None, [self._time_left()])]
        table = Table.grid(padding=(0, 2))
        for task in self.tasks:
            newest = next(newest_metrics(task.training.run / "metrics.jsonl"), {"iteration": 0})
            table.add_row(Text(task.name), f"iteration {newest['iteration']} of {task.training.config.iterations}")
        return Group(Text(", ".join(parts)), table)


def duration(seconds: float) -> str:
    """``1:02:03``."""
    return str(timedelta(seconds=round(seconds)))


def _plan(screen: Console, sweep: Sweep, jobs: int) -> None:
    """Say which runs there would be, and how long they take as far as that is known."""
    for task in sweep.tasks:
        say(screen, f"{task.name}{' (done)' if task.name in sweep.done else ''}")
    missing, seconds = len(sweep.missing), sweep.seconds_left()
    say(screen, f"{counted(len(sweep.tasks), 'run')}, {len(sweep.done)} done, {missing} to train")
    if not missing:
        return
    if seconds is None:
        say(
            screen,
            f"How long that takes is not known, as nothing has been trained in {sweep.folder}: run the command for a minute, stop "
            "it with Ctrl-C, and ask again.",
        )
    else:
        say(
            screen,
            f"About {duration(seconds / min(jobs, missing))} with --jobs {jobs}, as iterations in {sweep.folder} took so far",
        )


def _arm(text: str) -> tuple[str, list[str]]:
    """``plain: algorithm=reinforce seed=3`` as a name and its options."""
    name, colon, options = text.partition(":")
    if not colon or not name.strip() or "=" in name:
        raise UserError(f"'{text}' is no arm; one is a name and its options, e.g. --arm 'plain: algorithm=reinforce'.")
    try:
        return name.strip(), shlex.split(options)
    except ValueError as error:
        raise UserError(f"The options of the arm '{name.strip()}' cannot be read: {str(error).lower()}.") from error
