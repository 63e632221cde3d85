"""Measures of the investor game: how much is invested and returned, after what, and what is made of it together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detente.games.family import Fact, Measure
from detente.games.investor.rules import INVESTOR, Investor
from detente.games.sides import Scalars, Side, Tables, mean
from detente.records import Episode

TREATED = ("start", "paid", "lost")  # whether as much as was invested came back the last time
MEASURES = (
    Measure("invested", "investor: the mean share of the endowment that it invests as investor", head="invests", bounds=(0, 1)),
    Measure("returned", "investor: the mean share of what it received that it returns as trustee", head="returns", bounds=(0, 1)),
    Measure("efficiency", "investor: joint points / those when everything is invested", head="efficiency", bounds=(0, 1)),
    Measure(
        "invested_given",
        "investor: the mean share that it invests, by whether its last investment came back",
        bounds=(0, 1),
        table=dict.fromkeys(TREATED, ""),
    ),
)
FACTS = (
    Fact("invested", "float64", "investor: the share of the endowment that is invested"),
    Fact("returned", "float64", "investor: the share of what was received that is returned"),
)


def turn_facts(game: Investor, episode: Episode) -> Iterator[Mapping[str, Any]]:
    """The share that each turn invested or returned."""
    for played in episode.rounds:
        for turn in played.turns:
            most = game.endowment if turn.player == INVESTOR else game.multiplier * played.info["invested"]
            yield {"invested" if turn.player == INVESTOR else "returned": turn.action / most}


def measure(game: Investor, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """Means over rounds: of what is invested over those as investor, of what is returned over those as trustee who received."""
    given: dict[str, list[float]] = defaultdict(list)
    for side in sides:
        for treated, share in _investments(game, side):
            given[treated].append(share)
    rounds = [(player, played) for episode, player in sides for played in episode.rounds]
    best = game.multiplier * game.endowment
    scalars: Scalars = {
        "invested": mean(share for shares in given.values() for share in shares),
        "returned": mean(
            played.info["returned"] / (game.multiplier * played.info["invested"])
            for player, played in rounds
            if player != INVESTOR and played.info["invested"]
        ),
        "efficiency": mean(sum(played.rewards) / best for _, played in rounds),
    }
    return scalars, {"invested_given": {treated: mean(given[treated]) for treated in TREATED}}


def _investments(game: Investor, side: Side) -> Iterator[tuple[str, float]]:
    """Of each investment of a side: what came of the last one, and the share invested."""
    episode, player = side
    treated = "start"
    for played in episode.rounds if player == INVESTOR else ():
        invested, returned = played.info["invested"], played.info["returned"]
        yield treated, invested / game.endowment
        if invested:
            treated = "paid" if returned >= invested else "lost"
