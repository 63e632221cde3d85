"""Cross-play: every agent meets every agent, itself included, on the same game seeds.

    agents ── tables (who sits where) ──> episodes/I-J.jsonl ──> cells [row][column] ── ranking ──> arena.json

A cell is the row agent on one seat and the column agent on all others, over every seat that the row agent can take. A table that
is finished is kept; an arena that was stopped goes on at the first table that is missing, and ends as if it had never stopped.
Files: arena.yaml (what was asked for), episodes/ (one file per table, named by the agents' numbers seat by seat), arena.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import yaml

from detente.config import Config
from detente.errors import UserError
from detente.evaluation import axelrod_ranking
from detente.evaluation.measures import Side, measured
from detente.evaluation.sides import by_group
from detente.evaluation.statistics import Estimate, estimate
from detente.files import check_same, locked, replace_text, short_names
from detente.games.base import Game
from detente.games.matrix import MatrixGame
from detente.policies import Policies
from detente.records import Episode, PolicyRef, read_episodes, write_episodes
from detente.rollout import Match, play_matches
from detente.seeding import derive

Table = tuple[int, ...]  # which agent sits on each seat
ANOTHER = "give --out another folder"


class Watch(Protocol):
    """Whoever wants to watch an arena."""

    def begin(self, tables: int, finished: int, episodes: int) -> None: ...
    def table(self, names: Sequence[str]) -> None: ...
    def episode(self) -> None: ...


@dataclass(frozen=True)
class Agent:
    """One participant: ``name`` as it was asked for, ``label`` for people, ``weights`` the fingerprint of an adapter's files."""

    name: str
    label: str
    policy: PolicyRef
    weights: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "label": self.label, "kind": self.policy.kind, "version": self.policy.version}


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


def arena(config: Config, names: Sequence[str], folder: Path, *, episodes: int = 64, watch: Watch | None = None) -> dict[str, Any]:
    """Play what is missing and write arena.json, which is returned.

    ``config`` gives the game, the way models answer and the seed. A table plays ``episodes`` episodes, each with a game seed of its
    own that all tables share. UserError for agents that do not exist or do not load, and for a folder that was started with
    anything else.
    """
    policies = Policies.of(config)
    game = policies.game
    agents = participants(policies, names)
    asked = request(config, game, agents, episodes)
    _check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, f"The arena {folder}", ANOTHER):
        _claim(folder, asked)
        tables = list(
            dict.fromkeys(t for row in range(len(agents)) for column in range(len(agents)) for t in seatings(game, row, column))
        )
        missing = [table for table in tables if not complete(episodes_file(folder, table), episodes)]
        if watch is not None:
            watch.begin(len(tables), len(tables) - len(missing), episodes)
        for table in missing:
            if watch is not None:
                watch.table([agents[i].label for i in table])
            play_table(config, policies, agents, table, episodes_file(folder, table), episodes, watch)
        result = results(game, agents, folder, asked)
        replace_text(folder / "arena.json", json.dumps(result, indent=2) + "\n")
    return result


def participants(policies: Policies, names: Sequence[str]) -> list[Agent]:
    """The agents of these names, all of them loaded; UserError where one does not exist, sits at a keyboard or is named twice."""
    for name in names:
        if not name:
            raise UserError("An agent has no name; separate names by single commas, e.g. --agents tit_for_tat,runs/x.")
        if names.count(name) > 1:
            raise UserError(f"The agent {name} is named twice.")
        if name == "human":
            raise UserError("A person cannot take part here; use 'detente play' instead.")
    found = [policies.resolve(name) for name in names]
    same = [policies.folders[policy].resolve() if policy in policies.folders else policy for policy in found]
    for i, one in enumerate(same):
        if one in same[:i]:
            raise UserError(f"The agents {names[same.index(one)]} and {names[i]} are the same.")
    named = zip(names, labels(names, found), found, strict=True)
    return [Agent(name, label, policy, policies.weights(policy)) for name, label, policy in named]


def labels(names: Sequence[str], policies: Sequence[PolicyRef]) -> list[str]:
    """Short names for people: the end of a folder that tells it from the others, a remote model without its address."""
    found = [name.partition("@http")[0] for name in names]
    folders = [i for i, policy in enumerate(policies) if policy.kind == "adapter"]
    for i, short in zip(folders, short_names([Path(policies[i].name) for i in folders]), strict=True):
        found[i] = short if names[i] == policies[i].name else f"{short}@{policies[i].version}"
    return found if len(set(found)) == len(found) else list(names)


def request(config: Config, game: Game, agents: Sequence[Agent], episodes: int) -> dict[str, Any]:
    """All that the result depends on, as arena.yaml holds it."""
    return {
        "preset": config.preset,
        "game": game.parameters(),
        "answer": config.answer.model_dump(mode="json"),
        "dtype": config.dtype,
        "seed": config.seed,
        "episodes": episodes,
        "agents": ",".join(agent.name for agent in agents),
        "versions": {agent.name: agent.policy.version for agent in agents if agent.policy.kind == "adapter"},
        "weights": {agent.name: agent.weights for agent in agents if agent.weights},
    }


def _check_free(folder: Path) -> None:
    """UserError for a folder that holds something else than an arena."""
    begun = {".lock", "arena.yaml.partial"}
    if folder.exists() and not (folder / "arena.yaml").exists() and {entry.name for entry in folder.iterdir()} - begun:
        raise UserError(f"The folder {folder} is not empty and is no arena (it has no arena.yaml); {ANOTHER}.")


def _claim(folder: Path, asked: dict[str, Any]) -> None:
    """Write arena.yaml, or check that the folder was started with the same."""
    path = folder / "arena.yaml"
    if path.exists():
        try:
            stored = yaml.safe_load(path.read_text(encoding="utf-8"))
            check_same(f"The arena {folder}", stored, asked, ANOTHER)
        except (yaml.YAMLError, ValueError, AttributeError, TypeError) as error:
            raise UserError(f"{path} cannot be read as an arena's options; {ANOTHER}.") from error
        return
    replace_text(path, yaml.safe_dump(asked, sort_keys=False, allow_unicode=True))


def seatings(game: Game, row: int, column: int) -> list[Table]:
    """The tables of a cell: the row agent on each seat in turn, the column agent on all others."""
    seats = range(game.num_players)
    return list(dict.fromkeys(tuple(row if seat == own else column for seat in seats) for own in seats))


def episodes_file(folder: Path, table: Table) -> Path:
    """Where a table's episodes lie."""
    return folder / "episodes" / f"{'-'.join(map(str, table))}.jsonl"


def complete(path: Path, episodes: int) -> bool:
    """Whether the file holds every episode of a table; what was damaged is played again."""
    return [episode.index for episode in _whole(path)] == list(range(episodes))


def play_table(
    config: Config, policies: Policies, agents: Sequence[Agent], table: Table, path: Path, episodes: int, watch: Watch | None
) -> None:
    """Play one table and write its episodes in order.

    Until then they gather in a file of their own. Of a table that was stopped in the middle they are played again, unless a remote
    model took part: its answers cost money and never come twice alike.
    """
    gathered = path.with_suffix(".partial")
    gathered.parent.mkdir(exist_ok=True)
    remote = any(agents[i].policy.kind == "remote" for i in table)
    done = {episode.index: episode for episode in _whole(gathered)} if remote else {}
    whole = path.with_suffix(".whole")
    write_episodes(whole, done.values())
    whole.replace(gathered)
    matches = []
    for index in (index for index in range(episodes) if index not in done):
        players = [
            policies.player(
                agents[i].policy,
                chat=f"arena/{'-'.join(map(str, table))}/{index}/{seat}",
                seed=derive(config.seed, "arena", *table, index, seat),
            )
            for seat, i in enumerate(table)
        ]
        matches.append(Match(policies.game, derive(config.seed, "arena game", index), players, group=index, index=index))
    with gathered.open("a", encoding="utf-8") as file:

        def finished(episode: Episode) -> None:
            file.write(episode.to_json() + "\n")
            file.flush()
            if watch is not None:
                watch.episode()

        at_once = config.concurrency or policies.at_once([agents[i].policy for i in table])
        done |= {episode.index: episode for episode in play_matches(matches, concurrency=at_once, on_episode=finished)}
    write_episodes(gathered, (done[index] for index in range(episodes)))
    gathered.replace(path)


def _whole(path: Path) -> list[Episode]:
    """The episodes of a file in which some lines may be damaged."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        with suppress(ValueError, KeyError, TypeError):
            found.append(Episode.from_json(line))
    return found


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
        "tournament": tournament(agents, cells) if isinstance(game, MatrixGame) and len(agents) > 1 else None,
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
