"""``coopeval``: a published protocol as one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detente.cli.evaluating import Overrides
from detente.cli.seatings import Seatings
from detente.cli.terminal import console, kept, listed, say


def coopeval(
    agents: Annotated[str, typer.Argument(metavar="AGENTS", help="Who plays beside scripts, separated by commas.")],
    overrides: Overrides = None,
    games: Annotated[str | None, typer.Option(help="Some of its games, separated by commas.", show_default="all")] = None,
    mechanisms: Annotated[str | None, typer.Option(help="Some of its mechanisms, separated by commas.", show_default="all")] = None,
    episodes: Annotated[int, typer.Option(min=1, max=1_000_000, help="Episodes per seating.")] = 16,
    out: Annotated[Path, typer.Option(help="The folder; an unfinished one goes on.")] = Path("runs/coopeval"),
) -> None:
    """Play the social dilemmas of CoopEval without and with mechanisms, beside the published numbers of frontier models."""
    from detente import comparisons
    from detente.evaluation.coopeval import PUBLISHED
    from detente.reports.mechanisms import mechanism_tables

    screen = console()
    opening = f"Playing the games of CoopEval in {out}"
    chosen = {"games": listed(games or ""), "mechanisms": listed(mechanisms or "")}
    with kept(out), Seatings(screen, opening, at_its_end=lambda content: mechanism_tables(content, PUBLISHED)) as watch:
        comparisons.coopeval(listed(agents), out, overrides or (), episodes=episodes, watch=watch, **chosen)
    say(screen, f"Wrote {out / 'mechanisms.json'} and {out / 'index.html'}")
