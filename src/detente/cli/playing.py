"""``play``: episodes between any players, and their transcripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detente.cli.terminal import Trust, console, doing, listed, say, sitting

if TYPE_CHECKING:
    from rich.console import Console


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
    from detente.reports.transcript import render_text

    screen, names = console(), listed(seats)
    with _waiting(screen, preset, names):
        played = api.play(preset, names, seed, episodes, overrides=overrides or (), trust=trust, save=save)
    for number, episode in enumerate(played, start=1):
        if episodes > 1:
            screen.rule(f"episode {number}")
        screen.print(render_text(episode))


@contextmanager
def _waiting(screen: Console, preset: str, names: Sequence[str]) -> Iterator[None]:
    """Say what is played where that takes a while; beside a person's prompt without a moving line."""
    from detente.foreign import is_strategy
    from detente.players.scripted import NAMES

    line = f"Playing {preset}: {sitting(names)}"
    if "human" in names:
        if not all(name in NAMES or name == "human" or is_strategy(name) for name in names):
            say(screen, line)
        yield
    else:
        with doing(screen, line):
            yield
