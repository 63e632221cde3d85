"""What the episodes of an arena say: cells, and two rankings.

    episodes/I-J.jsonl.gz ──> cell [row][column]: mean with interval, measures ──> ranking, tournament

A cell is the row agent on one seat and the column agent on all others, over every seat that the row agent can take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from detente import jsonl
from detente.evaluation import axelrod_ranking
from detente.evaluation.agents import Agent
from detente.evaluation.measures import Side, measured
from detente.evaluation.statistics import Estimate, estimate
from detente.games.base import Game
from detente.games.family import family_of
from detente.games.sides import by_group
from detente.records import read_episodes

Table = tuple[int, ...]  # which agent sits on each seat


@dataclass(frozen=True)
class Cell:
    """The row agent against the column agent, over the row agent's seats; rewards are points per round.

    ``groups`` holds the row agent's mean reward in every episode, game seed by game seed.
    """

    row: int
    column: int
    reward: Estimate
    opponent_reward: Estimate
    measures: Mapping[str, float | None]
    tables: tuple[Table, ...]
    groups: tuple[tuple[float, ...], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "column": self.column,
            "reward": self.reward.to_json(),
            "opponent_reward": self.opponent_reward.to_json(),
            "measures": dict(self.measures),
            "tables": [list(table) for table in self.tables],
        }


def seatings(game: Game, row: int, column: int) -> list[Table]:
    """The tables of a cell: the row agent on each seat in turn, the column agent on all others."""
    seats = range(game.num_players)
    return list(dict.fromkeys(tuple(row if seat == own else column for seat in seats) for own in seats))


def episodes_file(folder: Path, table: Table) -> Path:
    """Where a table's episodes lie, or will."""
    return jsonl.file(folder / "episodes", "-".join(map(str, table)))


def results(game: Game, agents: Sequence[Agent], folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the episodes say, as arena.json holds it."""
    cells = [cell(game, folder, row, column) for row in range(len(agents)) for column in range(len(agents))]
    return {
        "game": game.name,
        "preset": asked["preset"],
        "game_options": asked["game"],
        "seed": asked["seed"],
        "episodes": asked["episodes"],
        "agents": [agent.to_json() for agent in agents],
        "unit": "points per round",
        "cells": [one.to_json() for one in cells],
        "ranking": ranking(len(agents), cells),
        "tournament": tournament(agents, cells) if family_of(game).normal_form(game) and len(agents) > 1 else None,
    }


def cell(game: Game, folder: Path, row: int, column: int) -> Cell:
    """What the row agent got against the column agent."""
    tables = seatings(game, row, column)
    seats = range(game.num_players)
    sides: list[Side] = []
    others: list[Side] = []
    for table in tables:
        own = [seat for seat in seats if table[seat] == row]
        for episode in read_episodes(episodes_file(folder, table)):
            sides += [(episode, seat) for seat in own]
            others += [(episode, seat) for seat in seats if row == column or seat not in own]
    scalars, _ = measured(game, sides)
    return Cell(
        row,
        column,
        estimate(by_group(sides)),
        estimate(by_group(others)),
        {name: value for name, value in scalars.items() if name != "reward"},
        tuple(tables),
        by_group(sides),
    )


def ranking(count: int, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The agents by their mean reward against everybody, themselves included, with the opponent that each does worst against.

    The interval draws game seeds again, for all cells of an agent at once.
    """
    ranked = []
    for agent in range(count):
        own = [one for one in cells if one.row == agent]
        means = [[sum(group) / len(group) for group in one.groups] for one in own]
        worst = min(own, key=lambda one: one.reward.mean)
        ranked.append(
            {
                "agent": agent,
                "reward": estimate(list(zip(*means, strict=True))).to_json(),
                "self_play": next(one.reward.mean for one in own if one.column == agent),
                "worst": worst.reward.mean,
                "worst_against": worst.column,
            }
        )
    ranked.sort(key=lambda one: (-one["reward"]["mean"], one["agent"]))  # type: ignore[index]
    return [{"rank": place, **one} for place, one in enumerate(ranked, start=1)]


def tournament(agents: Sequence[Agent], cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The agents as the Axelrod library ranks them, a game seed being a repetition; ``score`` in points per round."""
    numbers = range(len(agents))
    by_pair = {(one.row, one.column): one for one in cells}
    scores = [[[fmean(group) for group in by_pair[row, column].groups] for column in numbers] for row in numbers]
    rates = [[by_pair[row, column].measures.get("cooperation_rate") for column in numbers] for row in numbers]
    known = [[[rate] for rate in row if rate is not None] for row in rates]
    cooperation = known if all(len(row) == len(agents) for row in known) else None
    ranks = axelrod_ranking.ranking([str(i) for i in numbers], scores, cooperation)
    return [
        {"rank": place, "agent": int(each.name), "score": each.score, "wins": each.wins, "cooperation": each.cooperation}
        for place, each in enumerate(ranks, start=1)
    ]
