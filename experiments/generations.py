"""The donor game over generations: who does better is copied (after Vallinder and Hughes, 2024).

    python experiments/generations.py --agents reciprocal --generations 30       # scripts that give what was given, mutated
    python experiments/generations.py --agents giver --generations 30 trace=0    # scripts that mind nobody
    python experiments/generations.py --agents model:smollm2-135m --generations 2 players=4 rounds=4 levels=[0,25,50,75,100]
    python experiments/generations.py --agents adapters:pocket_groups --generations 4 --iterations 5     # learners

    strategies ── two games, the second with the roles swapped ──> mean resources ── better half ──> copied, the rest written anew

Of a script a strategy is the share that it gives where it knows nothing, and a child's is its parent's and a little more or less. A
model writes its strategy as text, from the second generation on with those of the better half and what they ended with before it,
and is told its strategy when a game begins. Of adapters each is a learner of its own: a new one is a copy of one of the better half
that is trained on among them. An agent of the better half stays as it is.

A folder (--out) gets agents.parquet, a row per agent and generation with its parents, donations.parquet, a row per decision, and
generations.png; adapters are run folders in learners/. The same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from societies import ADAPTERS, ITERATIONS, SLOPES, Agent, Ended, Society, opened

from detente import config, presets
from detente.cli.terminal import explain, hush
from detente.errors import UserError
from detente.files import check_same, read_text, replace_text
from detente.games import make
from detente.games.donor.measures import final_resources
from detente.matches import Named, play_sync
from detente.records import Episode, Seating
from detente.reports.plots import STYLE

AGENTS, DONATIONS, OPTIONS, PICTURE = "agents.parquet", "donations.parquet", "options.json", "generations.png"
LEARNERS = "learners"  # the folder of their runs

Row = dict[str, Any]


def begun(society: Society, count: int, seed: int) -> list[Agent]:
    """The first generation."""
    made = society.make(count, (), (seed, "make", 0))
    return [Agent(name, 0, parents, strategy) for name, (strategy, parents) in enumerate(made)]


def better_half(ended: Sequence[Ended]) -> list[Ended]:
    """Those who ended with most, best first; of equals who comes first."""
    return sorted(ended, key=lambda entry: -entry[1])[: len(ended) // 2]


def succeeded(society: Society, ended: Sequence[Ended], generation: int, seed: int) -> list[Agent]:
    """The agents of a generation after those who played the one before: the better half, and as many new ones as there is room."""
    best = better_half(ended)
    made = society.make(len(ended) - len(best), best, (seed, "make", generation))
    first = len(ended) + (generation - 1) * len(made)  # each generation after the first has as many new ones
    new = [Agent(first + place, generation, parents, strategy) for place, (strategy, parents) in enumerate(made)]
    return [*(agent for agent, _ in best), *new]


def played(society: Society, agents: Sequence[Agent], game: Any, generation: int, seed: int) -> list[Episode]:
    """The two games of a generation, on the same pairings, the second with the roles swapped."""
    policies, briefing = zip(*(society.sits(agent.strategy) for agent in agents), strict=True)
    seating = [Seating(policies, group=generation, index=generation, briefing=briefing)]
    games = [replace(game, swapped=swapped) for swapped in (False, True)]
    return [
        episode
        for order, own in enumerate(games)
        for episode in play_sync(society.seats, own, seating, stream=Named((seed, "game"), (seed, "players", order)))
    ]


def measured(agents: Sequence[Agent], episodes: Sequence[Episode], game: Any, generation: int) -> tuple[list[Row], list[Row]]:
    """The rows of a generation: of its agents, and of what they decided."""
    ends = [*zip(*map(final_resources, episodes), strict=True)]
    ended = [(agent, fmean(resources)) for agent, resources in zip(agents, ends, strict=True)]
    stay = {agent.name for agent, _ in better_half(ended)}
    donations = [
        {
            "generation": generation,
            "game": order,
            "round": number,
            "donor": agents[turn.player].name,
            "recipient": agents[dict(one_round.info["pairs"])[turn.player]].name,
            "percentage": turn.action,
            "valid": turn.valid,
        }
        for order, episode in enumerate(episodes)
        for number, one_round in enumerate(episode.rounds)
        for turn in one_round.turns
    ]
    rows = [
        {
            "generation": generation,
            "agent": agent.name,
            "born": agent.born,
            "parents": list(agent.parents),
            "strategy": agent.strategy,
            "resources": resources,
            "first_game": ends[seat][0],
            "swapped_game": ends[seat][1],
            "stays": agent.name in stay,
        }
        for seat, (agent, resources) in enumerate(ended)
    ]
    return rows, donations


def of_rows(rows: Sequence[Row]) -> list[Ended]:
    """The agents of one generation's rows, with what they ended with."""
    return [(Agent(row["agent"], row["born"], tuple(row["parents"]), row["strategy"]), row["resources"]) for row in rows]


def evolved(society: Society, game: Any, generations: int, seed: int, out: Path) -> tuple[list[Row], list[Row]]:
    """Play the generations that the folder lacks; returns the rows of all agents and of all donations."""
    rows = _kept(out / AGENTS)
    done = 1 + max((row["generation"] for row in rows), default=-1)
    donations = [row for row in _kept(out / DONATIONS) if row["generation"] < done]
    for generation in range(done, generations):
        last = of_rows([row for row in rows if row["generation"] == generation - 1])
        agents = succeeded(society, last, generation, seed) if last else begun(society, game.players, seed)
        new, decided = measured(agents, played(society, agents, game, generation, seed), game, generation)
        rows, donations = rows + new, donations + decided
        _keep(out / DONATIONS, donations)
        _keep(out / AGENTS, rows)  # the generation counts from here on
        print(line(generation, new, decided), file=sys.stderr)
    return rows, donations


def line(generation: int, rows: Sequence[Row], donations: Sequence[Row]) -> str:
    """A generation in one line."""
    given, resources = share(donations), fmean(row["resources"] for row in rows)
    return f"generation {generation}: gives {given:.2f}, ends with {resources:.1f} units"


def share(donations: Sequence[Row]) -> float:
    """The mean share given away, a punishment counting as 0."""
    return fmean(max(0, row["percentage"]) / 100 for row in donations)


def _kept(file: Path) -> list[Row]:
    try:
        return pq.read_table(file).to_pylist() if file.exists() else []
    except (OSError, ValueError) as error:  # what is no Parquet raises a ValueError of Arrow's
        raise UserError(f"{file} cannot be read; remove it, or give --out another folder.") from error


def _keep(file: Path, rows: Sequence[Row]) -> None:
    partial = file.with_name(file.name + ".partial")
    pq.write_table(pa.Table.from_pylist(list(rows)), partial)
    partial.replace(file)


def drawn(rows: Sequence[Row], donations: Sequence[Row]) -> Figure:
    """Resources and shares by generation, who descends from whom, and who gave how much to whom in the last generation."""
    by_generation = _grouped(rows), _grouped(donations)
    generations = sorted(by_generation[0])
    last = [row["agent"] for row in by_generation[0][generations[-1]]]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 8), layout="constrained")
        resources, given, lineage, matrix = figure.subplots(2, 2).flat
        for axes, title in (
            (resources, "Resources in the end"),
            (given, "Share given away"),
            (lineage, "Agents and their parents"),
        ):
            axes.set(title=title, xlabel="generation")
            axes.xaxis.get_major_locator().set_params(integer=True)
        resources.set_yscale("log")
        resources.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter=NullFormatter())
        resources.scatter([row["generation"] for row in rows], [max(0.1, row["resources"]) for row in rows], s=8, alpha=0.5)
        resources.plot(generations, [fmean(row["resources"] for row in by_generation[0][g]) for g in generations])
        given.plot(generations, [share(by_generation[1][g]) for g in generations])
        given.set_ylim(0, 1)
        _draw_lineage(lineage, rows)
        shown = matrix.imshow(_matrix(by_generation[1][generations[-1]], last), vmin=0, vmax=1, cmap="viridis")
        matrix.set(title=f"Share given in generation {generations[-1]}", xlabel="recipient", ylabel="donor")
        matrix.set_xticks(range(len(last)), map(str, last))
        matrix.set_yticks(range(len(last)), map(str, last))
        matrix.grid(False)
        figure.colorbar(shown, ax=matrix)
    return figure


def _draw_lineage(axes: Any, rows: Sequence[Row]) -> None:
    """A line for each agent while it lives, and a thin one from each parent to it."""
    lives = {row["agent"]: (row["born"], row["generation"]) for row in rows}
    for row in (row for row in rows if row["generation"] == row["born"]):
        for parent in row["parents"]:
            axes.plot((row["born"] - 1, row["born"]), (parent, row["agent"]), color="#6b7281", linewidth=0.4)
    for name, (born, end) in lives.items():
        axes.plot((born, end), (name, name), marker="o", markersize=2, color="#0072b2")
    axes.set_ylabel("agent")
    axes.yaxis.get_major_locator().set_params(integer=True)


def _matrix(donations: Sequence[Row], names: Sequence[int]) -> Any:
    """(donors, recipients): the mean share given; NaN where two never met."""
    place = {name: index for index, name in enumerate(names)}
    sums, counts = np.zeros((len(names),) * 2), np.zeros((len(names),) * 2)
    for row in donations:
        cell = place[row["donor"]], place[row["recipient"]]
        sums[cell] += max(0, row["percentage"]) / 100
        counts[cell] += 1
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _grouped(rows: Sequence[Row]) -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["generation"], []).append(row)
    return groups


def begin(out: Path, options: Mapping[str, Any]) -> None:
    """UserError where the folder holds other generations than those of these options."""
    file = out / OPTIONS
    if file.exists():
        check_same(f"The folder {out}", json.loads(read_text(file, 100_000)), options, "give --out another folder")
    elif out.exists() and any(out.iterdir()):
        raise UserError(f"The folder {out} is not empty and holds no generations; give --out another folder.")
    out.mkdir(parents=True, exist_ok=True)
    replace_text(file, json.dumps(options, indent=2) + "\n")


def _learning(agents: str, iterations: int | None) -> dict[str, int]:
    """How long agents are trained; empty for those who are not. UserError for a number that trains nobody."""
    if not agents.startswith(ADAPTERS):
        if iterations is not None:
            raise UserError(f"--iterations is how long adapters are trained, and {agents} are none; leave it out.")
        return {}
    if iterations is not None and iterations < 1:
        raise UserError(f"--iterations is 1 or more, not {iterations}.")
    return {"iterations": iterations or ITERATIONS}


def main(words: Sequence[str] | None = None) -> int:
    """Play the generations that are not there yet, and draw all."""
    parser = argparse.ArgumentParser(description="The donor game over generations.")
    population = f"{', '.join(SLOPES)}, model:NAME (writes its strategies) or adapters:NAME (learns)"
    parser.add_argument("--agents", required=True, help=population)
    parser.add_argument("--generations", type=int, default=10, help="how many in all (default: 10)")
    parser.add_argument("--iterations", type=int, help=f"how long each adapter is trained (default: {ITERATIONS})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the folder (default: runs/generations/AGENTS-seedSEED)")
    parser.add_argument("options", nargs="*", metavar="key=value", help="parameters of the donor game, e.g. players=6 trace=0")
    given = parser.parse_args(words)
    hush()
    out = given.out or Path("runs/generations") / f"{given.agents.replace(':', '-').replace('/', '-')}-seed{given.seed}"
    try:
        if given.generations < 1:
            raise UserError(f"--generations is 1 or more, not {given.generations}.")
        presets.check_free(given.options, ("name", "swapped"))  # every generation plays the donor game both ways round
        parameters = presets.given(given.options)
        learn = _learning(given.agents, given.iterations)
        game = make(**(config.load("donor").game if learn else {"name": "donor"}) | parameters)  # small models know the preset's
        society = opened(given.agents, game, out / LEARNERS, **learn)
        begin(out, {"agents": given.agents, "seed": given.seed, "game": game.parameters()} | learn)
        with closing(society):
            rows, donations = evolved(society, game, given.generations, given.seed, out)
        drawn(rows, donations).savefig(out / PICTURE, dpi=150)
    except (UserError, OSError, KeyboardInterrupt) as error:
        sentence, status = explain(error)
        print(sentence, file=sys.stderr)
        return status
    print(f"Wrote {out / AGENTS}, {DONATIONS} and {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
