"""``arena``, ``best-response``, ``fingerprint``, ``attacks`` and ``transfer``: agents against each other, against a best response,
what they do, how far words move them, and what they do elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detente.cli.searching import search
from detente.cli.seatings import Seatings
from detente.cli.terminal import Trust, console, doing, kept, listed, say
from detente.cli.training import refuse
from detente.errors import UserError
from detente.files import folder_name

if TYPE_CHECKING:
    from detente.config import Config

Playable = Annotated[str, typer.Argument(metavar="PRESET", help="A preset, a preset file (.yaml) or a game: what is played.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Options, e.g. game.rounds=20 seed=1.")]


def arena(
    preset: Playable,
    agents: Annotated[
        str, typer.Option(help="Who plays, separated by commas (a name with a comma in quotes): see 'detente list players'.")
    ],
    overrides: Overrides = None,
    episodes: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Episodes per seating, each with a game seed of its own.")
    ] = 64,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder; an unfinished arena goes on.",
            show_default="runs/arena/PRESET, or runs/mechanisms/PRESET",
        ),
    ] = None,
    anywhere: Annotated[
        bool, typer.Option("--anywhere", help="Where seats differ, let trained agents also sit where they were not trained.")
    ] = False,
    mechanism: Annotated[
        list[str] | None,
        typer.Option(help="Also play under NAME or NAME:OPTION=VALUE,..., such as repetition:look_back=1; may be repeated."),
    ] = None,
    trust: Trust = False,
) -> None:
    """Play every agent against every agent: a matrix of points with intervals, a ranking, a heatmap and a page."""
    from detente import api
    from detente.playable import options_of
    from detente.reports.cross_play import cross_play_tables
    from detente.reports.mechanisms import mechanism_tables

    config = options_of(preset, overrides or (), trust=trust)
    folder = out or Path("runs", "mechanisms" if mechanism else "arena", config.preset)
    screen = console()
    with kept(folder), Seatings(screen, f"Playing {config.preset} in {folder}", at_its_end=mechanism_tables) as watch:
        results = api.arena(
            config, listed(agents), folder, episodes=episodes, watch=watch, anywhere=anywhere, mechanisms=mechanism or ()
        )
    if mechanism:
        say(screen, f"Wrote {folder / 'mechanisms.json'} and {folder / 'index.html'}")
        return
    screen.print(cross_play_tables(results))
    say(screen, f"Wrote {folder / 'arena.json'}, arena.png and {folder / 'index.html'}")


def best_response(
    preset: Playable,
    against: Annotated[str, typer.Option(help="The frozen agent: see 'detente list players'.")],
    overrides: Overrides = None,
    run: Annotated[
        Path | None, typer.Option(help="The responder's run folder; an existing one is resumed.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Short for seed=N.", show_default=False)] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Train nothing: compute the best response and the floor (matrix games; scripts).")
    ] = False,
    memory: Annotated[
        int | None, typer.Option(min=0, max=100, help="Exact: the last so many joint moves in place of histories.")
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(help="Where seats differ: the responder's role (unset: what the agent leaves).", show_default=False),
    ] = None,
    aims: Annotated[
        str | None, typer.Option(help="Search the worst case: adversaries that want own, harm, margin, shaper.", show_default=False)
    ] = None,
    starts: Annotated[
        str | None,
        typer.Option(help="Search: where they start: base, agent (its weights), a run or an adapter folder.", show_default=False),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Search: seeds of training, e.g. 0,1,2.", show_default=False)] = None,
    jobs: Annotated[int, typer.Option(min=1, max=1000, help="Search: adversaries that train at the same time.")] = 1,
    trust: Trust = False,
) -> None:
    """Find out how much can be gained against an agent: train a fresh learner against it, and compute the exact best response.

    With --aims, --starts or --seeds: train many adversaries, and say what the worst of them does.
    """
    from detente import api

    screen = console()
    searched = any(given is not None for given in (aims, starts, seeds))
    if searched and exact:
        raise UserError("--exact trains nothing, so it takes no --aims, --starts or --seeds; leave out one or the other.")
    if jobs > 1 and not searched:
        raise UserError("--jobs is how many adversaries train at once; say which with --aims, --starts or --seeds.")
    with doing(screen, f"Getting ready to measure {against}"):
        from detente.evaluation.best_response import frozen, responder_config
        from detente.progress import Progress
        from detente.reports import best_response as pages

        changes = [*(overrides or ()), *([] if seed is None else [f"seed={seed}"])]
        config = responder_config(preset, against, changes, trust=trust, role=role)
    if exact:
        from detente.evaluation.exploitability import exploitability
        from detente.policies import Policies

        with doing(screen, f"Computing the best response to {against}"), closing(Policies.of(config)) as policies:
            agent = policies.resolve(frozen(config))
            result = exploitability(policies, agent, memory=memory, seat=config.seats.index(frozen(config))).to_json()
        screen.print(pages.exact_table(result, against))
        return
    folder = run or default_run(
        config, against, [*changes, *([] if role is None else [f"as-{role}"])], "worst-case" if searched else "best-response"
    )
    if searched:
        with kept(folder):
            search(
                preset,
                against,
                folder,
                changes,
                aims=aims,
                starts=starts,
                seeds=seeds,
                jobs=jobs,
                memory=memory,
                role=role,
                trust=trust,
            )
        return
    refuse(config, folder)
    say(screen, f"Training a best response to {against} in {folder}")
    with kept(folder), Progress(screen, afterwards="Measuring what was gained") as progress:
        result = api.best_response(preset, against, folder, changes, memory=memory, watchers=[progress], trust=trust, role=role)
    screen.print(pages.table(result))
    for sentence in pages.sentences(result, pages.known(folder, result)):
        say(screen, sentence)
    say(screen, f"Wrote {folder / 'best_response.json'} and {folder / 'report' / 'best_response.html'}")


def fingerprint(
    preset: Playable,
    agents: Annotated[
        str, typer.Option(help="Whose, separated by commas (a name with a comma in quotes): see 'detente list players'.")
    ],
    overrides: Overrides = None,
    episodes: Annotated[int, typer.Option(min=2, max=1_000_000, help="Episodes per agent in splitting games.")] = 128,
    out: Annotated[Path | None, typer.Option(help="The folder.", show_default="runs/fingerprint/PRESET")] = None,
    trust: Trust = False,
) -> None:
    """Say what agents do after what: P(cooperate | history) in matrix games, asks given words and deeds in splitting games."""
    from detente import api
    from detente.playable import options_of
    from detente.reports.fingerprint_tables import grids

    config = options_of(preset, overrides or (), trust=trust)
    folder = out or Path("runs", "fingerprint", config.preset)
    screen = console()
    with doing(screen, f"Reading what {agents} do after what"):
        results = api.fingerprint(config, listed(agents), folder, episodes=episodes)
    for grid in grids(results):
        screen.print(grid)
    say(screen, f"Wrote {folder / 'fingerprint.json'}, fingerprint.png and {folder / 'index.html'}")


def attacks(
    preset: Playable,
    agents: Annotated[
        str, typer.Option(help="Who is attacked, separated by commas (a name with a comma in quotes): see 'detente list players'.")
    ],
    overrides: Overrides = None,
    episodes: Annotated[int, typer.Option(min=1, max=1_000_000, help="Episodes of each agent against each script.")] = 64,
    out: Annotated[Path | None, typer.Option(help="The folder.", show_default="runs/attacks/PRESET")] = None,
    trust: Trust = False,
) -> None:
    """Say how far messages that give orders or forge tags and outcomes move agents (games with talk)."""
    from detente import api
    from detente.playable import options_of
    from detente.reports.attacks import table

    config = options_of(preset, overrides or (), trust=trust)
    folder = out or Path("runs", "attacks", config.preset)
    screen = console()
    with doing(screen, f"Attacking {agents} with messages"):
        result = api.attacks(config, listed(agents), folder, episodes=episodes)
    screen.print(table(result))
    say(screen, f"Wrote {folder / 'attacks.json'}, attacks.png and {folder / 'index.html'}")


def transfer(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run folders, adapters, models; seeds are one line.")],
    suite: Annotated[str, typer.Option(help="A suite or a suite file (.yaml): see 'detente list suites'.")],
    episodes: Annotated[
        int | None, typer.Option(min=2, max=100_000, help="Episodes per agent and partner.", show_default="the suite's")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="All games and answers follow from it.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="The folder; an unfinished one goes on.", show_default="runs/transfer/SUITE")
    ] = None,
    trust: Trust = False,
) -> None:
    """Measure agents in games that they were not trained in: a row for each game of a suite, a picture and a page."""
    from detente import api
    from detente.reports.transfer import grid, skipped

    folder = out or Path("runs", "transfer", Path(suite).stem)
    screen = console()
    with kept(folder), Seatings(screen, f"Measuring {', '.join(runs)} in {folder}") as watch:
        content = api.transfer(runs, suite, folder, episodes=episodes, seed=seed, watch=watch, trust=trust)
    screen.print(grid(content))
    for sentence in skipped(content):
        say(screen, sentence)
    say(screen, f"Wrote {folder / 'transfer.json'}, transfer.png and {folder / 'index.html'}")


def default_run(config: Config, against: str, overrides: Sequence[str], what: str = "best-response") -> Path:
    """runs/best-response/PRESET/AGENT-seedN, followed by the other overrides; ``what`` is done there."""
    others = [item for item in overrides if not item.startswith(("seed=", "remote.", "engine=", "engine."))]
    folder = Path(against)
    name = "-".join(folder.parts[-2:]) if folder.name.isdecimal() else folder.name  # a version says too little
    parts = [name if folder.is_dir() else against, f"seed{config.seed}", *others]
    return Path("runs", what, config.preset, folder_name(*parts))
