"""From the episodes of a transfer to its table: for every row of the suite and every group of agents a cell.

    episodes ── sides of an agent with itself, with partners ──> points, relative points, a measure; intervals within and over seeds

Points are told relative to the game's scripts: 0 is what two defectors get, 1 what two cooperators get. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from detente import jsonl
from detente.evaluation.measures import Side, measured
from detente.evaluation.statistics import over_seeds, stratified
from detente.evaluation.suites import Row, Suite, game
from detente.games.base import Game
from detente.games.family import family_of
from detente.games.sides import by_group, mean
from detente.matches import play_scripts
from detente.records import Episode, read_episodes

MATCHES = 100  # of two scripts
SELF = 0  # the number of an agent itself among its partners
Place = tuple[int, int, int]  # the number of the agent, of the row, and of the partner


@dataclass(frozen=True)
class Unit:
    """Agents that are told as one: runs that differ in their seed alone, or a single agent."""

    label: str
    agents: tuple[int, ...]


@dataclass(frozen=True)
class Ends:
    """Points per round where all cooperate, and where all defect."""

    cooperation: float
    defection: float

    def relative(self, points: float) -> float:
        """0 at mutual defection, 1 at mutual cooperation."""
        return (points - self.defection) / (self.cooperation - self.defection)


def episodes_file(folder: Path, place: Place) -> Path:
    """The file of an agent's episodes in a row with a partner, which may not exist yet."""
    return jsonl.file(folder / "episodes", "-".join(map(str, place)))


def table(groups: Sequence[Unit], suite: Suite, misfits: Mapping[tuple[int, int], str], folder: Path) -> dict[str, Any]:
    """``groups`` and ``table``: by row the game's ends, the words of the measure that it tells, and a cell for each group."""
    rows = []
    for number, row in enumerate(suite.rows):
        played = game(row)
        between, measure = ends(played), _measure(played)
        cells = [_cell(group, number, row, played, misfits, folder, between, measure and measure[0]) for group in groups]
        rows.append(
            {
                "row": row.name,
                "game": played.parameters(),
                "cooperation": between and between.cooperation,
                "defection": between and between.defection,
                "measure": measure and measure[1],
                "cells": cells,
            }
        )
    return {
        "unit": "points per round",
        "groups": [{"label": group.label, "agents": list(group.agents)} for group in groups],
        "table": rows,
    }


def ends(played: Game) -> Ends | None:
    """What the game's own scripts get in mutual cooperation and defection; None where it has none, or both get the same."""
    family = family_of(played)
    cooperator, defector = family.cooperator(played), family.defector(played)
    if cooperator is None or defector is None:
        return None
    met = [play_scripts(played, [name] * played.num_players, MATCHES) for name in (cooperator, defector)]
    together, apart = (fmean(episode.mean_reward(seat) for episode in e for seat in range(played.num_players)) for e in met)
    return Ends(together, apart) if together > apart else None


def _measure(played: Game) -> tuple[str, str] | None:
    """The first measure of the game's family that is a share and has a column: its name and head."""
    shares = (m for m in family_of(played).measures if m.head and m.bounds == (0, 1) and not m.table)
    return next(((measure.name, measure.head) for measure in shares), None)


def _cell(
    group: Unit,
    number: int,
    row: Row,
    played: Game,
    misfits: Mapping[tuple[int, int], str],
    folder: Path,
    between: Ends | None,
    measure: str | None,
) -> dict[str, Any]:
    """What the agents of a group do in a row, or why they cannot play it."""
    if why := next((misfits[agent, number] for agent in group.agents if (agent, number) in misfits), None):
        return {"skipped": why}

    def told(partner: int) -> dict[str, Any]:
        met = [_sides(read_episodes(episodes_file(folder, (agent, number, partner))), partner) for agent in group.agents]
        own, others = ([sides[which] for sides in met] for which in (0, 1))
        values = [measured(played, sides)[0].get(measure or "") for sides in own]
        known = [value for value in values if value is not None]
        return {
            "reward": _points(own, played, between),
            "opponent_reward": _points(others, played, between),
            "measure": mean(known) if len(known) == len(values) else None,
            "invalid": mean(float(not turn.valid) for sides in own for episode, seat in sides for turn in episode.turns(seat)),
        }

    partners = {name: told(partner) for partner, name in enumerate(row.partners or (), start=1)}
    return {"self_play": told(SELF), "against": partners}


def _sides(episodes: Sequence[Episode], partner: int) -> tuple[list[Side], list[Side]]:
    """An agent's sides and the others'; with itself all sides are its own, and those of the others too."""
    own: list[Side] = []
    others: list[Side] = []
    for episode in episodes:
        seats = range(episode.num_players)
        mine = episode.index % episode.num_players
        own += [(episode, seat) for seat in seats if partner == SELF or seat == mine]
        others += [(episode, seat) for seat in seats if partner == SELF or seat != mine]
    return own, others


def _points(by_agent: Sequence[Sequence[Side]], played: Game, between: Ends | None) -> dict[str, Any]:
    """Points per round: within the seeds, over them where there are several, one mean by agent, and the relative mean."""
    groups = [by_group(sides) for sides in by_agent]
    within = stratified(groups, played.reward_bounds)
    means = [fmean(map(fmean, values)) for values in groups]
    return {
        **within.to_json(),
        "over_seeds": over_seeds(means, played.reward_bounds).to_json() if len(means) > 1 else None,
        "by_agent": means,
        "relative": None if between is None else between.relative(within.mean),
    }
