"""``train`` and ``report``: runs, and the pages about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detente.cli.terminal import Trust, console, doing, kept, say
from detente.files import folder_name

if TYPE_CHECKING:
    from detente.config import Config

# Options that name no other run, and those that have a place of their own.
BESIDE = ("algorithm=", "seed=", "remote.", "engine=", "engine.", "executor=", "executor.", "processes=", "shard=", "trackers=")


def train(
    target: Annotated[str, typer.Argument(metavar="PRESET", help="A preset, a preset file (.yaml) or a run folder.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Options, e.g. optimizer.lr=1e-4.")] = None,
    run: Annotated[Path | None, typer.Option(help="The run folder; an existing one is resumed.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Short for seed=N.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved options and stop.")] = False,
    report: Annotated[
        bool,
        typer.Option("--report/--no-report", envvar="DETENTE_REPORT", help="Write the report at the end, and say what to do next."),
    ] = True,
    trust: Trust = False,
) -> None:
    """Train a preset's learners. The same command on an existing run folder goes on where it stopped."""
    changes = [*(overrides or ()), *([] if seed is None else [f"seed={seed}"])]
    config, folder = resolved(target, changes, run, trust)
    refuse(config, folder)
    if dry_run:
        from detente.config import to_yaml

        print(to_yaml(config), end="")
        return
    from detente.cli.afterwards import Afterwards
    from detente.learning.ranks import helping
    from detente.progress import Progress

    screen = console()
    if helping():
        screen.quiet = True  # the process that is helped speaks
    say(screen, f"Training {config.preset} with {config.algorithms} in {folder}")
    with kept(folder), Progress(screen) as progress:
        from detente.learning import loop  # takes seconds, as loading the model does

        loop.train(config, folder, watchers=[progress, *([Afterwards(screen)] if report else [])])


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders.")],
    out: Annotated[Path | None, typer.Option(help="The page to write.", show_default=False)] = None,
) -> None:
    """Write one HTML page about a run, or about several side by side."""
    from detente import reports

    screen = console()
    with doing(screen, f"Drawing the report of {', '.join(map(str, runs))}"):
        page = reports.report(runs, out)
    if len(runs) > 1:
        screen.print(reports.contrast_table(runs))
    say(screen, f"Wrote {page}")


def resolved(target: str, overrides: Sequence[str], run: Path | None, trust: bool) -> tuple[Config, Path]:
    """The options of a run and its folder; a run folder is a preset of its own, and the place to go on."""
    from detente.config import load

    stored = Path(target) / "config.yaml"
    if stored.is_file():
        return load(str(stored), overrides, trust=trust), run or Path(target)
    config = load(target, overrides, trust=trust)
    return config, run or _default_run(config, overrides)


def refuse(config: Config, folder: Path) -> None:
    """UserError, before anything is said or loaded, for options that cannot be trained with, or not in this folder."""
    from detente.learning.checks import check
    from detente.learning.run_folder import check_folder

    check(config, begun=(folder / "config.yaml").exists())
    check_folder(folder, config, rates=True)


def _default_run(config: Config, overrides: Iterable[str]) -> Path:
    """runs/PRESET/ALGORITHM-seedN, followed by the other overrides: two different commands never meet in one folder.

    What only says how the run is computed and what remote models may cost is left out, so that a command with a raised limit,
    another server or more processes goes on where it stopped.
    """
    others = [item for item in overrides if not item.startswith(BESIDE)]
    parts = [config.algorithm, f"seed{config.seed}", *others]
    return Path("runs", config.preset, folder_name(*parts))
