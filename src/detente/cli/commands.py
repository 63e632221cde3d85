"""The commands: the only package that reads the command line, and that turns an error into a sentence.

    detente train | doctor | sweep | sweep-report | play | arena | best-response | fingerprint | attacks | transfer | coopeval
    detente preferences | report | serve | serve-engine | export | push | pull | list

Commands import what they need when they run, so that ``detente list`` and ``--help`` answer at once.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper, UnsupportedOperation
from typing import Annotated, TextIO

import typer

from detente.cli import (
    doctor,
    evaluating,
    exporting,
    listing,
    playing,
    preferences,
    protocols,
    serving,
    serving_engine,
    sharing,
    sweeping,
    training,
)
from detente.cli.terminal import complain, explain, heed, hush
from detente.visible import visible

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


app.command()(training.train)
app.command()(doctor.doctor)
app.command()(sweeping.sweep)
app.command(name="sweep-report")(sweeping.report)
app.command()(playing.play)
app.command()(evaluating.arena)
app.command(name="best-response")(evaluating.best_response)
app.command()(evaluating.fingerprint)
app.command()(evaluating.attacks)
app.command()(evaluating.transfer)
app.command()(preferences.preferences)
app.command()(protocols.coopeval)
app.command()(training.report)
app.command()(serving.serve)
app.command(name="serve-engine")(serving_engine.serve_engine)
app.command()(exporting.export)
app.command()(sharing.push)
app.command()(sharing.pull)
app.command(name="list")(listing.list_names)


def _nowhere() -> TextIO:
    return open(os.devnull, "w")


def run(words: Sequence[str]) -> int:
    """Run a command and return its exit status: 0; 2 for what the user can put right; 130 for Ctrl-C, 143 for SIGTERM; 1 for a
    fault of ours."""
    debug = "--debug" in words
    if not debug:
        hush()
    heed()
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()  # one that was closed is None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a character that a terminal cannot show must not end a command
            stream.reconfigure(errors="replace")
    command = typer.main.get_command(app)
    try:
        with command.make_context("detente", [word for word in words if word != "--debug"]) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, OSError):  # Python would write the rest of the output again at exit
            with suppress(UnsupportedOperation):  # where Python's own programs have put a stream of theirs in its place
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader of our output, such as head, has seen enough
            return 0
        if debug:
            print(visible(traceback.format_exc()), file=sys.stderr)
        sentence, status = explain(error)
        complain(sentence)
        return status
    return 0
