"""From the episodes of an arena to its cells and three rankings.

    episodes/I-J.jsonl.gz ──> cell [row][column]: mean with interval, measures ──> ranking, tournament, population

A cell is the row agent on one seat and the column agent on all others, over every seat that the row agent takes; where seats
differ there is a cell for each of them, its role. Agents that cannot share a seating have no cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from detente import jsonl
from detente.errors import UserError
from detente.evaluation import axelrod_ranking
from detente.evaluation.agents import Agent, check_others
from detente.evaluation.measures import Side, measured
from detente.evaluation.population import MOST, deviation_ratings, replicator
from detente.evaluation.statistics import Bounds, Estimate, estimate
from detente.games.base import Game
from detente.games.family import family_of
from detente.games.roles import roles, seat_name
from detente.games.sides import by_group
from detente.records import read_episodes

AgentSeating = tuple[int, ...]  # the number of the agent on each seat


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
    seatings: tuple[AgentSeating, ...]
    groups: tuple[tuple[float, ...], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "column": self.column,
            **({"role": self.role} if self.role else {}),
            "reward": self.reward.to_json(),
            "opponent_reward": self.opponent_reward.to_json(),
            "measures": dict(self.measures),
            "tables": [list(seating) for seating in self.seatings],
        }


def seatings(game: Game, row: int, column: int, own: Sequence[int] | None = None) -> list[AgentSeating]:
    """The seatings of a cell: the row agent on each of its ``own`` seats (None: on any), the column agent on all others."""
    seats = range(game.num_players)
    row_seats = seats if own is None else own
    return list(dict.fromkeys(tuple(row if seat == row_seat else column for seat in seats) for row_seat in row_seats))


def all_seatings(game: Game, agents: Sequence[Agent]) -> list[AgentSeating]:
    """Every seating of an arena. UserError for an agent that would meet no other."""
    check_others(game)
    pairs = itertools.product(range(len(agents)), repeat=2)
    every = list(dict.fromkeys(seating for row, column in pairs for seating in _possible(game, agents, row, column)))
    sitting = {number for seating in every for number in seating}
    if lonely := [agent for number, agent in enumerate(agents) if number not in sitting]:
        plays = " and ".join(seat_name(game, seat) for seat in lonely[0].seats) or "nothing"
        raise UserError(
            f"The agent {lonely[0].name} meets nobody: it plays {plays} of {game.name}, and none of the agents takes all "
            "other seats; name one that does, or let them sit anywhere (--anywhere)."
        )
    return every


def _possible(game: Game, agents: Sequence[Agent], row: int, column: int, own: Sequence[int] | None = None) -> list[AgentSeating]:
    """The seatings of a cell in which every agent has a seat that it takes."""
    every = seatings(game, row, column, agents[row].seats if own is None else own)
    return [seating for seating in every if all(seat in agents[number].seats for seat, number in enumerate(seating))]


def episodes_file(folder: Path, seating: AgentSeating) -> Path:
    """The file of a seating's episodes, which may not exist yet."""
    return jsonl.file(folder / "episodes", "-".join(map(str, seating)))


def results(game: Game, agents: Sequence[Agent], folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The content of arena.json, from the episodes."""
    named = roles(game)
    sides = [(number, seat) for number, agent in enumerate(agents) for seat in (agent.seats if named else (None,))]
    possible = ((row, seat, column) for row, seat in sides for column in range(len(agents)))
    cells = [
        measured_cell(game, folder, row, column, chosen, seat)
        for row, seat, column in possible
        if (chosen := _possible(game, agents, row, column, None if seat is None else [seat]))
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
        "cells": [cell.to_json() for cell in cells],
        **({"over_roles": over_roles(named, cells, game.reward_bounds)} if named else {}),
        "ranking": [
            place for role in named or ("",) for place in ranking([cell for cell in cells if cell.role == role], game.reward_bounds)
        ],
        "population": population(len(agents), cells) if game.num_players == 2 and len(agents) > 1 else None,
        "tournament": tournament(len(agents), cells) if family_of(game).normal_form(game) and len(agents) > 1 else None,
    }


def measured_cell(game: Game, folder: Path, row: int, column: int, chosen: Sequence[AgentSeating], only: int | None = None) -> Cell:
    """The row agent against the column agent in these seatings, on the seat ``only`` or on all of its seats there."""
    seats = range(game.num_players)
    sides: list[Side] = []
    others: list[Side] = []
    for seating in chosen:
        own = [seat for seat in seats if seating[seat] == row and only in (None, seat)]
        for episode in read_episodes(episodes_file(folder, seating)):
            sides += [(episode, seat) for seat in own]
            others += [(episode, seat) for seat in seats if seat not in own or (row == column and only is None)]
    scalars, _ = measured(game, sides)
    return Cell(
        row,
        column,
        "" if only is None else roles(game)[only],
        estimate(by_group(sides), game.reward_bounds),
        estimate(by_group(others), game.reward_bounds),
        {name: value for name, value in scalars.items() if name != "reward"},
        tuple(chosen),
        by_group(sides),
    )


def over_roles(named: Sequence[str], cells: Sequence[Cell], bounds: Bounds | None = None) -> list[dict[str, Any]]:
    """The points per round of every agent against every other that it met in all roles, each role as likely as the others.

    The interval is over game seeds, each of them the mean over the roles.
    """
    pairs = dict.fromkeys((cell.row, cell.column) for cell in cells)
    by_pair = {pair: [cell for cell in cells if (cell.row, cell.column) == pair] for pair in pairs}
    return [
        {"row": row, "column": column, "reward": estimate([[mean] for mean in _means(own)], bounds).to_json()}
        for (row, column), own in by_pair.items()
        if len(own) == len(named)
    ]


def ranking(cells: Sequence[Cell], bounds: Bounds | None = None) -> list[dict[str, Any]]:
    """The agents of cells of one role by their mean reward against all agents, themselves included, with each worst opponent.

    The interval is over game seeds, each of them the mean over all cells of an agent; ``bounds`` are those of a round's points.
    """
    ranked: list[dict[str, Any]] = []
    for agent in dict.fromkeys(cell.row for cell in cells):
        own = [cell for cell in cells if cell.row == agent]
        means = [[sum(group) / len(group) for group in cell.groups] for cell in own]
        worst = min(own, key=lambda cell: cell.reward.mean)
        ranked.append(
            {
                "agent": agent,
                **({"role": worst.role} if worst.role else {}),
                "reward": estimate(list(zip(*means, strict=True)), bounds).to_json(),
                "self_play": next((cell.reward.mean for cell in own if cell.column == agent), None),
                "worst": worst.reward.mean,
                "worst_against": worst.column,
            }
        )
    ranked.sort(key=lambda line: (-line["reward"]["mean"], line["agent"]))
    return [{"rank": place, **line} for place, line in enumerate(ranked, start=1)]


def tournament(count: int, cells: Sequence[Cell]) -> list[dict[str, Any]] | None:
    """The agents as the Axelrod library ranks them, with a game seed as a repetition; ``score`` in points per round. None unless
    all agents met on every seat."""
    numbers = range(count)
    by_pair = paired(count, cells)
    if not by_pair:
        return None
    scores = [[_means(by_pair[row, column]) for column in numbers] for row in numbers]
    rates = [[[cell.measures.get("cooperation_rate") for cell in by_pair[row, column]] for column in numbers] for row in numbers]
    known = [[[fmean(rate)] for rate in row if None not in rate] for row in rates]  # type: ignore[arg-type]
    cooperation = known if all(len(row) == count for row in known) else None
    ranks = axelrod_ranking.ranking([str(i) for i in numbers], scores, cooperation)
    return [
        {"rank": place, "agent": int(rank.name), "score": rank.score, "wins": rank.wins, "cooperation": rank.cooperation}
        for place, rank in enumerate(ranks, start=1)
    ]


def population(count: int, cells: Sequence[Cell]) -> list[dict[str, Any]] | None:
    """The agents as strategies of a game of two, each role as likely as the other: what share of a population they come to have,
    and what each gains over the strictest equilibrium (None for many agents, and where that cannot be computed). None unless all
    agents met on every seat."""
    by_pair = paired(count, cells)
    if not by_pair:
        return None
    payoffs = [[fmean(cell.reward.mean for cell in by_pair[row, column]) for column in range(count)] for row in range(count)]
    shares = replicator(payoffs)
    ratings: Sequence[float | None] | None = deviation_ratings(payoffs) if count <= MOST else None
    lines = [{"agent": agent, **asdict(shares[agent]), "deviation_rating": ratings and ratings[agent]} for agent in range(count)]
    lines.sort(key=lambda line: (-line["share"], -line["mean_share"], line["agent"]))
    return [{"rank": place, **line} for place, line in enumerate(lines, start=1)]


def paired(count: int, cells: Sequence[Cell]) -> Mapping[tuple[int, int], Sequence[Cell]]:
    """The cells of every pair of agents, one for each role; empty unless all met in all roles."""
    if len({cell.role for cell in cells}) * count**2 != len(cells):
        return {}
    pairs = [(row, column) for row in range(count) for column in range(count)]
    return {pair: [cell for cell in cells if (cell.row, cell.column) == pair] for pair in pairs}


def _means(cells: Sequence[Cell]) -> list[float]:
    """The mean reward for each game seed, over the roles of the row agent."""
    return [fmean(value for group in groups for value in group) for groups in zip(*(cell.groups for cell in cells), strict=True)]
