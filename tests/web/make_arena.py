"""Writes an arena folder as ``detente arena`` would, with scripts that really play."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from detente import games
from detente.players.scripted import scripted
from detente.records import Episode, write_episodes
from detente.rollout import Match, play_matches

EPISODES = 4


def make_arena(folder: Path, names: Sequence[str], game: str = "ipd") -> Path:
    """Every pair at two tables, either on the first seat; everybody with itself at one."""
    made = games.make(game)
    played = {(i, j): _table(made, names[i], names[j]) for i in range(len(names)) for j in range(len(names))}
    for (i, j), episodes in played.items():
        write_episodes(folder / "episodes" / f"{i}-{j}.jsonl", episodes)
    cells = [_cell(played, i, j) for i in range(len(names)) for j in range(len(names))]
    found = {
        "game": game,
        "preset": game,
        "game_options": made.parameters(),
        "seed": 0,
        "episodes": EPISODES,
        "agents": [{"name": name, "label": name, "kind": "script", "version": 0} for name in names],
        "unit": "points per round",
        "cells": cells,
        "ranking": _ranking(cells, len(names)),
    }
    (folder / "arena.yaml").write_text(f"preset: {game}\n", encoding="utf-8")
    (folder / "arena.json").write_text(json.dumps(found), encoding="utf-8")
    return folder


def _table(game: Any, row: str, column: str) -> list[Episode]:
    return play_matches(
        [Match(game, n, (scripted(row, 2 * n, game), scripted(column, 2 * n + 1, game)), index=n) for n in range(EPISODES)]
    )


def _cell(played: dict[tuple[int, int], list[Episode]], i: int, j: int) -> dict[str, Any]:
    tables = [(i, j)] if i == j else [(i, j), (j, i)]
    own = [one.mean_reward(table.index(i)) for table in tables for one in played[table]]
    other = [one.mean_reward(1 - table.index(i)) for table in tables for one in played[table]]
    turns = [turn for table in tables for one in played[table] for turn in one.turns(table.index(i))]
    return {
        "row": i,
        "column": j,
        "reward": _estimate(own),
        "opponent_reward": _estimate(other),
        "measures": {"cooperation_rate": mean(turn.action == "C" for turn in turns), "never_measured": None},
        "tables": [list(table) for table in tables],
    }


def _estimate(values: Sequence[float]) -> dict[str, float | None]:
    half = 1.96 * stdev(values) / math.sqrt(len(values))
    return {"mean": mean(values), "low": mean(values) - half, "high": mean(values) + half}


def _ranking(cells: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    rows = [[cell for cell in cells if cell["row"] == i] for i in range(count)]
    means = [mean(cell["reward"]["mean"] for cell in row) for row in rows]
    order = sorted(range(count), key=lambda i: -means[i])
    worst = [min(row, key=lambda cell: cell["reward"]["mean"]) for row in rows]
    return [
        {
            "agent": i,
            "rank": place,
            "reward": {"mean": means[i], "low": None, "high": None},
            "self_play": next(cell["reward"]["mean"] for cell in rows[i] if cell["column"] == i),
            "worst": worst[i]["reward"]["mean"],
            "worst_against": worst[i]["column"],
        }
        for place, i in enumerate(order, 1)
    ]
