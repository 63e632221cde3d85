"""The commands; the only place that reads the command line, and the only one that turns an error into a sentence.

    detente train | play | report | list  ──> one call into the library

Commands import what they need when they run, so that ``detente list`` and ``--help`` answer at once.
"""

from __future__ import annotations

import errno
import inspect
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detente.errors import UserError, unknown

if TYPE_CHECKING:
    from rich.console import Console

    from detente.config import Config

app = typer.Typer(name="detente", add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")] = False,
) -> None:
    """Train language-model agents in social dilemmas, and see whether they cooperate and cannot be exploited."""
    if version:
        from importlib import metadata

        print(metadata.version("detente"))
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def train(
    target: Annotated[str, typer.Argument(metavar="PRESET", help="A preset, a preset file (.yaml) or a run folder.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Options, e.g. optimizer.lr=1e-4.")] = None,
    run: Annotated[Path | None, typer.Option(help="The run folder; an existing one is resumed.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Short for seed=N.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved options and stop.")] = False,
) -> None:
    """Train a preset's learners. The same command on an existing run folder goes on where it stopped."""
    from detente import games
    from detente.policies import check_seats

    changes = [*(overrides or ()), *([] if seed is None else [f"seed={seed}"])]
    config, folder = _resolve(target, changes, run)
    check_seats(games.make(**config.game), config.seats)
    if dry_run:
        from detente.config import to_yaml

        print(to_yaml(config), end="")
        return
    from detente.learning import loop
    from detente.progress import Progress

    console = _console()
    console.print(f"Training {config.preset} with {config.algorithm} in {folder}", highlight=False, soft_wrap=True)
    with Progress(console) as progress:
        loop.train(config, folder, progress=progress)


@app.command()
def play(
    preset: Annotated[str, typer.Argument(help="A preset or a game.")],
    seats: Annotated[str, typer.Option(help="Who plays, e.g. tit_for_tat,human: see 'detente list players'.")],
    seed: Annotated[int, typer.Option(help="The seed of the first episode.")] = 0,
    episodes: Annotated[int, typer.Option(min=1, help="How many episodes.")] = 1,
    save: Annotated[Path | None, typer.Option(help="Also write the episodes to this file (.jsonl).", show_default=False)] = None,
) -> None:
    """Play episodes and print their transcripts."""
    from detente import api
    from detente.records import write_episodes
    from detente.reports.transcript import render_text

    played = api.play(preset, seats.split(","), seed=seed, episodes=episodes)
    if save is not None:
        write_episodes(save, played)
    console = _console()
    for number, episode in enumerate(played, start=1):
        if episodes > 1:
            console.rule(f"episode {number}")
        console.print(render_text(episode), markup=False, highlight=False)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders.")],
    out: Annotated[Path | None, typer.Option(help="The page to write.", show_default=False)] = None,
) -> None:
    """Write one HTML page about a run, or about several side by side."""
    from detente import reports

    page = reports.report(runs, out)
    console = _console()
    if len(runs) > 1:
        console.print(reports.contrast_table(runs))
    console.print(f"Wrote {page}", highlight=False, soft_wrap=True)


@app.command(name="list")
def list_names(
    what: Annotated[str, typer.Argument(metavar="KIND", help="games, players, algorithms, presets or models.")],
) -> None:
    """Say what there is, one line each."""
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    described = LISTS[what]()
    width = max(map(len, described), default=0)
    for name, description in described.items():
        print(f"{name:<{width}}  {description}".rstrip())


def _games() -> Mapping[str, str]:
    from detente.games import GAMES

    return _first_lines(GAMES)


def _players() -> Mapping[str, str]:
    from detente.players.scripted import MATRIX, SPLITTING

    families: dict[str, Mapping[str, object]] = {"matrix": MATRIX, "splitting": SPLITTING}
    scripts = _first_lines({**SPLITTING, **MATRIX})
    where = {name: " and ".join(family for family, strategies in families.items() if name in strategies) for name in scripts}
    return {
        **{name: f"In {where[name]} games: {line}" for name, line in scripts.items()},
        "human": "You, at this terminal.",
        "model:ID": "A base model as it is, e.g. model:pocket (see 'detente list models').",
        "FOLDER": "A run folder (runs/x, or runs/x@40 for version 40) or an adapter folder.",
    }


def _algorithms() -> Mapping[str, str]:
    from detente.options import ALGORITHMS

    return ALGORITHMS


def _presets() -> Mapping[str, str]:
    from detente.config import load, preset_names

    return {name: load(name).description for name in preset_names()}


def _models() -> Mapping[str, str]:
    from detente.models import MODELS

    return MODELS


LISTS: dict[str, Callable[[], Mapping[str, str]]] = {
    "games": _games,
    "players": _players,
    "algorithms": _algorithms,
    "presets": _presets,
    "models": _models,
}


def _first_lines(documented: Mapping[str, object]) -> dict[str, str]:
    return {name: (inspect.getdoc(value) or "").partition("\n")[0] for name, value in documented.items()}


def _resolve(target: str, overrides: Sequence[str], run: Path | None) -> tuple[Config, Path]:
    """The options of a run and its folder; a run folder is a preset of its own, and the place to go on."""
    from detente.config import load

    stored = Path(target) / "config.yaml"
    if stored.is_file():
        return load(str(stored), overrides), run or Path(target)
    if "/" in target and not target.endswith((".yaml", ".yml")):
        raise UserError(f"{target} is not a run folder: it has no config.yaml.")
    config = load(target, overrides)
    return config, run or _default_run(config, overrides)


def _default_run(config: Config, overrides: Iterable[str]) -> Path:
    """runs/PRESET/ALGORITHM-seedN, followed by the other overrides: two different commands never meet in one folder."""
    others = [item for item in overrides if not item.startswith(("algorithm=", "seed="))]
    parts = [config.algorithm, f"seed{config.seed}", *(re.sub(r"[^\w.=+-]+", "_", item) for item in others)]
    return Path("runs", config.preset, "-".join(parts))


def _console() -> Console:
    """Standard output; wider than rich's 80 columns where it goes to a file, so that tables keep their shape."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 132)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 2 for what the user can put right, 130 for Ctrl-C, 1 for a fault of ours."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    if not debug:
        _hush()
    command = typer.main.get_command(app)
    try:
        with command.make_context("detente", [word for word in words if word != "--debug"]) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, OSError):  # what standard output did not take must not be tried again when Python exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # whoever read our output, head for one, has seen enough
            return 0
        if debug:
            traceback.print_exc()
        sentence, status = explain(error)
        _complain(sentence)
        return status
    return 0


def explain(error: BaseException) -> tuple[str, int]:
    """One sentence for an error, and the exit status."""
    while isinstance(error, BaseExceptionGroup):  # episodes run in a task group, which wraps what one of them raises
        error = error.exceptions[0]
    if isinstance(error, (KeyboardInterrupt, EOFError, typer.Abort)):
        return "Stopped; run the same command again to go on.", 130
    if isinstance(error, UserError):
        return str(error), 2
    if isinstance(error, typer.TyperException):
        said = error.format_message()
        return said if said.endswith(("?", ")")) else f"{said.rstrip('.')}; see 'detente --help'.", 2
    if any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT)):  # not every library raises an OSError
        return "The disk is full; make room and run the same command again to go on.", 2
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "Memory ran out; lower optimizer.micro_batch_tokens or episodes, or choose a smaller model.", 2
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename} cannot be used: {error.strerror[0].lower()}{error.strerror[1:]}.", 2
    what = " ".join(f"{type(error).__name__} {error}".split())
    return f"detente failed: {what}; this is a fault of ours, run again with --debug to see where.", 1


def _hush() -> None:
    """Libraries' warnings are not for people; nor are their progress bars, where standard error is no terminal."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _complain(sentence: str) -> None:
    from rich.console import Console

    Console(stderr=True).print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
