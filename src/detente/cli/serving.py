"""``serve``: the pages over a folder of runs."""

from __future__ import annotations

import os
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from detente.cli.terminal import Trust, console, say
from detente.errors import UserError

RUNS = Path("runs")


def serve(
    runs: Annotated[Path, typer.Argument(metavar="RUNS", help="A folder with runs in it, at any depth.")] = RUNS,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8642,
    host: Annotated[str, typer.Option(help="The address to listen at; by default this machine alone can ask.")] = "127.0.0.1",
    game: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Also let a person play this game of your own: module:attribute, a preset file or a run folder; may be repeated.",
            show_default=False,
        ),
    ] = None,
    trust: Trust = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the pages in the browser.")] = True,
) -> None:
    """Show runs, live curves, transcripts and arenas in the browser, and play against any agent."""
    import uvicorn

    from detente import web
    from detente.playable import options_of
    from detente.together import run
    from detente.web.patience import PatientProtocol

    if runs != RUNS and not runs.is_dir():
        raise UserError(f"There is no folder {runs}; name the folder that your runs lie in.")
    app = web.build(runs, host, games={name: options_of(name, trust=trust) for name in game or ()})
    with _listening(host, port) as listening:
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"
        say(console(), f"{runs} is shown at {address}; Ctrl-C ends it.")
        if browser and _has_display():
            threading.Timer(0.5, webbrowser.open, [address]).start()
        # Errors are shown on their pages; a traceback in the terminal would not help a reader of the page.
        options = uvicorn.Config(app, http=PatientProtocol, log_level="critical", timeout_graceful_shutdown=1, server_header=False)
        with suppress(KeyboardInterrupt):  # uvicorn has ended by then, and raises it again, SIGTERM too
            run(uvicorn.Server(options).serve([listening]))


def _listening(host: str, port: int) -> socket.socket:
    """A socket at this address; UserError where that cannot be."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0].lower()
        raise UserError(f"Port {port} of {host} cannot be used: {reason}; choose another with --port.") from error


def _has_display() -> bool:
    """Whether there is a screen that a browser could open on."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
