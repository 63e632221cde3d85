"""Measures of bargaining: what is made of the surplus and by whom, and what words are worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detente.games.bilateral_trade.rules import SELLER, Bargaining
from detente.games.bilateral_trade.words import claimed
from detente.games.family import Fact, Measure
from detente.games.sides import Scalars, Side, Tables, mean
from detente.records import Episode, Round

MEASURES = (
    Measure("efficiency", "bargaining: joint points / those if all trades took place that are worth it", head="efficiency"),
    Measure("surplus_share", "bargaining: the player's points / joint points", head="share"),
    Measure("honesty", "bargaining: 1 - how far the claimed is from the true cost or value / the highest value", "", "honest"),
    Measure("markup", "bargaining: by how many points its price is better for it than its cost or value", head="markup"),
    Measure("credulity", "bargaining: how far its price moves with what the other claims: 0 not at all, 1 point by point"),
)
FACTS = (
    Fact("claimed", "float64", "bargaining, messages: the cost or value that it claims"),
    Fact("markup", "float64", "bargaining, decisions: by how many points the price is better than the truth for the player"),
)


def turn_facts(game: Bargaining, episode: Episode) -> Iterator[Mapping[str, Any]]:
    """What each message claims, and how far each price is from the truth."""
    for played in episode.rounds:
        for turn in played.turns:
            if turn.phase == "message":
                yield {"claimed": claimed([turn.action], game.highest)}
            else:
                yield {"markup": _markup(played, turn.player)}


def measure(game: Bargaining, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """Efficiency and the share of the surplus are ratios of sums over all rounds, honesty and markup means over those with a claim,
    and of all. Credulity is the slope of the least squares line from the other's claim to how far the price is from one's own cost
    or value, which do not depend on the other's."""
    rounds = [(player, played) for episode, player in sides for played in episode.rounds]
    joint = sum(sum(played.rewards) for _, played in rounds)
    possible = sum(max(0, played.info["worth"][1] - played.info["worth"][0]) for _, played in rounds)
    errors = [
        abs(claim - played.info["worth"][player]) / game.highest
        for player, played in rounds
        if (claim := _claim(game, played, player)) is not None
    ]
    heard = [
        (claim, _price(played, player) - played.info["worth"][player])
        for player, played in rounds
        if (claim := _claim(game, played, 1 - player)) is not None
    ]
    scalars: Scalars = {
        "efficiency": joint / possible if possible else None,
        "surplus_share": sum(played.rewards[player] for player, played in rounds) / joint if joint > 0 else None,
        "markup": mean(_markup(played, player) for player, played in rounds),
    }
    if game.messages:
        scalars |= {"honesty": mean(1 - error for error in errors), "credulity": slope(heard)}
    return scalars, {}


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """The slope of the least squares line; None unless there are two different x."""
    mean_x, mean_y = (mean(values) or 0.0 for values in (zip(*points, strict=True) if points else ((), ())))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else None


def _price(played: Round, player: int) -> float:
    return float(next(turn.action for turn in played.turns if turn.player == player and turn.phase == "decision"))


def _markup(played: Round, player: int) -> float:
    above = _price(played, player) - float(played.info["worth"][player])
    return above if player == SELLER else -above


def _claim(game: Bargaining, played: Round, player: int) -> float | None:
    said = [turn.action for turn in played.turns if turn.player == player and turn.phase == "message"]
    return claimed(said, game.highest)
