"""``python -m benchmarks``: every subject with sizes that two cores get through in well under an hour, or one subject alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.arms import arms
from benchmarks.common import RESULTS, default_device, say
from benchmarks.disk import disk
from benchmarks.gpu import gpu
from benchmarks.learners import learners
from benchmarks.loop import loop
from benchmarks.overlap import overlap
from benchmarks.profile import profile
from benchmarks.rollout import rollout
from benchmarks.scaling import scaling
from benchmarks.startup import startup
from benchmarks.tables import table
from benchmarks.update import update
from detente.errors import UserError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
BIG = "smollm2-135m"

Run = tuple[str, Callable[..., None], dict[str, Any]]  # the name of its file, the subject, what differs from its own options


@app.callback(invoke_without_command=True)
def everything(
    context: typer.Context,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads of torch (unset: torch decides).")] = None,
    full: Annotated[bool, typer.Option("--full", help="The sizes that each subject has by itself: hours on a CPU.")] = False,
    results: Annotated[Path, typer.Option(help="Folder for the JSON files.")] = RESULTS,
) -> None:
    """Speed and memory against the common formulation. Without a command every subject, smaller than it is by itself."""
    if context.invoked_subcommand is not None:
        return
    where = default_device(device)
    for name, subject, sizes in FULL if full else SHORT:
        say(f"[bold]{name}[/bold]")
        here = {} if subject in (arms, loop, overlap, startup) else {"device": where, "threads": threads}
        subject(json=results / f"{name}-{where.replace(':', '')}.json", **here, **sizes)


FULL: list[Run] = [
    ("startup", startup, {}),
    ("arms", arms, {}),
    ("overlap", overlap, {}),
    ("loop", loop, {}),
    ("disk", disk, {}),
    ("rollout", rollout, {}),
    ("scaling", scaling, {}),
    ("update", update, {}),
    ("profile", profile, {"case": ["synthetic", "ipd"], "chats": 8}),
    ("learners", learners, {}),
]
SHORT: list[Run] = [
    ("startup", startup, {}),
    ("arms", arms, {"iterations": 20}),
    ("overlap", overlap, {"iterations": 5}),
    ("loop", loop, {}),
    ("disk", disk, {"option": ["episodes=16", "group_size=8"]}),
    ("rollout-pocket", rollout, {"model": ["pocket"]}),
    (f"rollout-{BIG}", rollout, {"model": [BIG], "episodes": 2, "rounds": 3}),
    ("scaling", scaling, {"quick": True}),
    ("update-synthetic", update, {"case": ["synthetic"], "chats": 4, "length": 256}),
    ("profile", profile, {"chats": 4, "length": 256}),
    ("learners", learners, {"episodes": 16, "rounds": 4}),
    ("update-played", update, {"case": ["ipd", "trust_and_split"], "chats": 8, "rounds": 2}),
]

for one in (gpu, update, profile, learners, rollout, arms, overlap, loop, startup, disk, scaling, table):
    app.command()(one)

if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        sys.exit(str(error))
