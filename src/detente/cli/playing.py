"""``play``: episodes between anybody, and their transcripts."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from detente.cli.terminal import Trust, console
from detente.errors import UserError


def play(
    preset: Annotated[str, typer.Argument(help="A preset or a game.")],
    seats: Annotated[str, typer.Option(help="Who plays, e.g. tit_for_tat,human: see 'detente list players'.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Options, e.g. game.rounds=3.")] = None,
    seed: Annotated[int, typer.Option(help="The seed of the first episode.")] = 0,
    episodes: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many episodes.")] = 1,
    save: Annotated[
        Path | None,
        typer.Option(help="Also write each episode that finishes to this file, .jsonl or .jsonl.gz.", show_default=False),
    ] = None,
    trust: Trust = False,
) -> None:
    """Play episodes and print their transcripts."""
    from detente import api
    from detente.records import episode_writer
    from detente.reports.transcript import render_text

    if save is not None and save.is_file() and save.stat().st_size:
        raise UserError(f"{save} holds something already; give --save another file.")
    with episode_writer(save) if save is not None else nullcontext() as keep:
        played = api.play(
            preset,
            [name.strip() for name in seats.split(",")],
            seed,
            episodes,
            overrides=overrides or (),
            trust=trust,
            on_episode=keep,
        )
    screen = console()
    for number, episode in enumerate(played, start=1):
        if episodes > 1:
            screen.rule(f"episode {number}")
        screen.print(render_text(episode), markup=False, highlight=False)
