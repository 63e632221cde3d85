"""Two learners on one base model: their updates one after another, and one update of a single learner on the chats of both.

The second is the most that a pass over the chats of all learners could gain: it has one adapter to apply and to step. The chats
of the two begin with different tokens, so that nothing is shared between learners, whose adapters see the same text differently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import chats, common
from benchmarks.common import interleaved, isolated, say, seconds
from benchmarks.tables import Table, between, digits, show
from detente.learning.batch import Trajectory, trajectories
from detente.learning.opponents import seatings
from detente.matches import Named, play_sync

TWO = ["seats=[main,rival]", "learners.rival.algorithm=reinforce"]


def learners(
    model: Annotated[str, typer.Option(help="Base model of both.")] = "pocket",
    game: Annotated[list[str], typer.Option(help="Presets; may be repeated.")] = ["ipd", "trust_and_split"],  # noqa: B006
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads of torch (unset: torch decides).")] = None,
    episodes: Annotated[int, typer.Option(help="In one iteration.")] = 64,
    rounds: Annotated[int, typer.Option(help="Of each episode.")] = 10,
    repeats: Annotated[int, typer.Option(help="Updates of each kind that are timed.")] = 5,
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """The updates of two learners, one after another and as one."""
    where = common.default_device(device)
    rows = [isolated(measured, preset, model, where, threads, episodes, rounds, repeats) for preset in game]
    show(common.save("learners", where, {"rows": rows}, json, threads))


def measured(preset: str, model: str, device: str, threads: int | None, episodes: int, rounds: int, repeats: int) -> dict[str, Any]:
    """Seconds of both kinds of update on the same episodes."""
    common.prepare(threads)
    group = min(8, episodes)
    more = [*TWO, f"game.rounds={rounds}", f"episodes={episodes}", f"group_size={group}"]
    session = chats.open_on(preset, model, "float32", device, more=more)
    session.publish()
    sitting = [seating for row in seatings(session.config, 0, session.present, {"main": (), "rival": ()}) for seating in row]
    played = play_sync(session.policies, session.game, sitting, stream=Named(("benchmark game", 0), ("benchmark", 0)))
    own = {
        name: trajectories(played, name, learner.options.credit.reward_divisor, session.hosts[name].grammar)
        for name, learner in session.learners.items()
    }
    both = [*own["main"], *(_other(one, episodes) for one in own["rival"])]
    variants: dict[str, Callable[[], object]] = {
        "apart": lambda: [learner.update(own[name], 0.0) for name, learner in session.learners.items()],
        "as one": lambda: session.learners["main"].update(both, 0.0),
    }
    for action in variants.values():
        action()
    say(f"learners, {preset}, {model}: {len(both)} chats, {sum(len(one.tokens) for one in both)} tokens")
    spent = interleaved(variants, repeats, device)
    return {
        "game": preset,
        "model": model,
        "chats": len(both),
        "tokens": sum(len(one.tokens) for one in both),
        "variants": {name: seconds(times) for name, times in spent.items()},
        "ratio": common.ratio(spent["apart"], spent["as one"]),
    }


def _other(one: Trajectory, groups: int) -> Trajectory:
    """The chat as one of other groups, with a first token that no chat of the first learner begins with."""
    return replace(one, group=one.group + groups, tokens=np.concatenate([one.tokens[:1] ^ 1, one.tokens[1:]]))


def tables(figures: dict[str, Any]) -> list[Table]:
    """Seconds, and how many times as fast one update is."""
    head = ["updates", "chats, tokens", "one after another, s", "as one, s", "times as fast"]
    head += ["one after another, CPU-s", "as one, CPU-s", "ratio of CPU-s"]
    rows = [
        [
            f"{row['game']}, {row['model']}",
            f"{row['chats']}, {row['tokens']:,}",
            *(between(row["variants"][name]["wall_s"]) for name in ("apart", "as one")),
            between(row["ratio"]),
            *(between(row["variants"][name]["cpu_s"]) for name in ("apart", "as one")),
            digits(row["variants"]["apart"]["cpu_s"]["median"] / row["variants"]["as one"]["cpu_s"]["median"]),
        ]
        for row in figures["rows"]
    ]
    return [Table("Updates of two learners on one base model, median (least to greatest)", head, rows)]
