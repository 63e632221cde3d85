"""What the episodes of an arena say: cells, and two rankings.

    episodes/I-J.jsonl.gz ──> cell [row][column]: mean with interval, measures ──> ranking, tournament

A cell is the row agent on one seat and the column agent on all others, over every seat that the row agent takes; where seats differ
there is a cell for each of them, its role. Of agents that cannot sit at one table there is no cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from detente import jsonl
from detente.errors import UserError
from detente.evaluation import axelrod_ranking
from detente.evaluation.agents import Agent, check_others
from detente.evaluation.measures import Side, measured
from detente.evaluation.statistics import Estimate, estimate
from detente.games.base import Game
from detente.games.family import family_of
from detente.games.roles import roles, seat_name
from detente.games.sides import by_group
from detente.records import read_episodes

Table = tuple[int, ...]  # which agent sits on each seat


@dataclass(frozen=True)
class Cell:
    """The row agent against the column agent, over the row agent's seats; rewards are points per round.

    ``role`` is the only seat of the row agent, where seats differ, else "". ``groups`` holds the row agent's mean reward in every
    episode, game seed by game seed.
    """

    row: int
    column: int
    role: str
    reward: Estimate
    opponent_reward: Estimate
    measures: Mapping[str, float | None]
    tables: tuple[Table, ...]
    groups: tuple[tuple[float, ...], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "column": self.column,
            **({"role": self.role} if self.role else {}),
            "reward": self.reward.to_json(),
            "opponent_reward": self.opponent_reward.to_json(),
            "measures": dict(self.measures),
            "tables": [list(table) for table in self.tables],
        }


def seatings(game: Game, row: int, column: int, own: Sequence[int] | None = None) -> list[Table]:
    """The tables of a cell: the row agent on each of its ``own`` seats in turn (None: on any), the column agent on all others."""
    seats = range(game.num_players)
    return list(dict.fromkeys(tuple(row if seat == mine else column for seat in seats) for mine in (seats if own is None else own)))


def tables(game: Game, agents: Sequence[Agent]) -> list[Table]:
    """Every table of an arena. UserError for an agent that would meet nobody."""
    check_others(game)
    pairs = itertools.product(range(len(agents)), repeat=2)
    every = list(dict.fromkeys(table for row, column in pairs for table in _possible(game, agents, row, column)))
    sitting = {number for table in every for number in table}
    if lonely := [agent for number, agent in enumerate(agents) if number not in sitting]:
        plays = " and ".join(seat_name(game, seat) for seat in lonely[0].seats) or "nothing"
        raise UserError(
            f"The agent {lonely[0].name} meets nobody: it plays {plays} of {game.name}, and none of the agents takes all "
            "other seats; name one that does, or let them sit anywhere (--anywhere)."
        )
    return every


def _possible(game: Game, agents: Sequence[Agent], row: int, column: int, own: Sequence[int] | None = None) -> list[Table]:
    """The tables of a cell at which everybody sits on a seat that it takes."""
    found = seatings(game, row, column, agents[row].seats if own is None else own)
    return [table for table in found if all(seat in agents[number].seats for seat, number in enumerate(table))]


def episodes_file(folder: Path, table: Table) -> Path:
    """Where a table's episodes lie, or will."""
    return jsonl.file(folder / "episodes", "-".join(map(str, table)))


def results(game: Game, agents: Sequence[Agent], folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the episodes say, as arena.json holds it."""
    named = roles(game)
    sides = [(number, seat) for number, agent in enumerate(agents) for seat in (agent.seats if named else (None,))]
    possible = ((row, seat, column) for row, seat in sides for column in range(len(agents)))
    cells = [
        cell(game, folder, row, column, places, seat)
        for row, seat, column in possible
        if (places := _possible(game, agents, row, column, None if seat is None else [seat]))
    ]
    return {
        "game": game.name,
        "preset": asked["preset"],
        "game_options": asked["game"],
        "seed": asked["seed"],
        "episodes": asked["episodes"],
        "agents": [agent.to_json() for agent in agents],
        "unit": "points per round",
        **({"roles": list(named)} if named else {}),  # those of one seat each, in the order of the seats
        "cells": [one.to_json() for one in cells],
        "ranking": [place for role in named or ("",) for place in ranking([one for one in cells if one.role == role])],
        "tournament": tournament(len(agents), cells) if family_of(game).normal_form(game) and len(agents) > 1 else None,
    }


def cell(game: Game, folder: Path, row: int, column: int, places: Sequence[Table], only: int | None = None) -> Cell:
    """What the row agent got against the column agent at these tables, on one seat only or on all of its seats there."""
    seats = range(game.num_players)
    sides: list[Side] = []
    others: list[Side] = []
    for table in places:
        own = [seat for seat in seats if table[seat] == row and only in (None, seat)]
        for episode in read_episodes(episodes_file(folder, table)):
            sides += [(episode, seat) for seat in own]
            others += [(episode, seat) for seat in seats if seat not in own or (row == column and only is None)]
    scalars, _ = measured(game, sides)
    return Cell(
        row,
        column,
        "" if only is None else roles(game)[only],
        estimate(by_group(sides)),
        estimate(by_group(others)),
        {name: value for name, value in scalars.items() if name != "reward"},
        tuple(places),
        by_group(sides),
    )


def ranking(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The agents of cells of one role by their mean reward against everybody, themselves included, with the opponent that each does
    worst against.

    The interval draws game seeds again, for all cells of an agent at once.
    """
    ranked: list[dict[str, Any]] = []
    for agent in dict.fromkeys(one.row for one in cells):
        own = [one for one in cells if one.row == agent]
        means = [[sum(group) / len(group) for group in one.groups] for one in own]
        worst = min(own, key=lambda one: one.reward.mean)
        ranked.append(
            {
                "agent": agent,
                **({"role": worst.role} if worst.role else {}),
                "reward": estimate(list(zip(*means, strict=True))).to_json(),
                "self_play": next((one.reward.mean for one in own if one.column == agent), None),
                "worst": worst.reward.mean,
                "worst_against": worst.column,
            }
        )
    ranked.sort(key=lambda one: (-one["reward"]["mean"], one["agent"]))
    return [{"rank": place, **one} for place, one in enumerate(ranked, start=1)]


def tournament(count: int, cells: Sequence[Cell]) -> list[dict[str, Any]] | None:
    """The agents as the Axelrod library ranks them, a game seed being a repetition; ``score`` in points per round. None unless
    everybody met everybody on every seat."""
    numbers = range(count)
    by_pair = {pair: [one for one in cells if (one.row, one.column) == pair] for pair in itertools.product(numbers, repeat=2)}
    if len({one.role for one in cells}) * count**2 != len(cells):
        return None
    scores = [[_means(by_pair[row, column]) for column in numbers] for row in numbers]
    rates = [[[one.measures.get("cooperation_rate") for one in by_pair[row, column]] for column in numbers] for row in numbers]
    known = [[[fmean(rate)] for rate in row if None not in rate] for row in rates]  # type: ignore[arg-type]
    cooperation = known if all(len(row) == count for row in known) else None
    ranks = axelrod_ranking.ranking([str(i) for i in numbers], scores, cooperation)
    return [
        {"rank": place, "agent": int(each.name), "score": each.score, "wins": each.wins, "cooperation": each.cooperation}
        for place, each in enumerate(ranks, start=1)
    ]


def _means(cells: Sequence[Cell]) -> list[float]:
    """The mean reward for each game seed, over the roles of the row agent."""
    return [fmean(value for group in groups for value in group) for groups in zip(*(one.groups for one in cells), strict=True)]
