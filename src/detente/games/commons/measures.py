"""Measures of the commons: how long the stock lasts, what is made of it, how equally, and who takes too much after what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detente.games.commons.rules import Commons
from detente.games.family import Fact, Measure
from detente.games.sides import Scalars, Side, Tables, gini, mean, moves
from detente.records import Episode

TREATED = ("start", "kept", "overused")  # whether any other player took more than its share last month
MEASURES = (
    Measure("survival", "commons: rounds in which there is something to take", head="survival"),
    Measure(
        "efficiency",
        "commons: what all took / what they could have taken and kept the stock full, at most 1",
        head="efficiency",
        bounds=(0, 1),
    ),
    Measure("equality", "commons: 1 - the Gini coefficient of the players' points", bounds=(0, 1)),
    Measure("overuse", "commons: the share of asks for more than a sustainable share", head="overuse", bounds=(0, 1)),
    Measure(
        "overuse_given",
        "commons: the share of asks for more than a sustainable share, by whether another player took more last",
        bounds=(0, 1),
        table=dict.fromkeys(TREATED, ""),
    ),
)
FACTS = (Fact("overused", "bool", "commons, decisions: whether it asks for more than a sustainable share"),)


def turn_facts(game: Commons, episode: Episode) -> Iterator[Mapping[str, Any]]:
    """Whether each ask is for more than its share, while there is something to take."""
    for played in episode.rounds:
        for turn in played.turns:
            counts = turn.phase == "decision" and played.info["stock"]
            yield {"overused": turn.action > played.info["share"]} if counts else {}


def measure(game: Commons, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """Means over the sides' episodes, and over asks while there is something to take.

    Survival, efficiency and equality are those of GovSim (Piatti et al., 2024): its efficiency compares with taking, round after
    round, what grows back from the full stock.
    """
    episodes = [episode for episode, _ in sides]
    after: dict[str, list[float]] = defaultdict(list)
    for side in sides:
        for treated, overused in _asks(side):
            after[treated].append(overused)
    scalars: Scalars = {
        "survival": mean(float(sum(played.info["stock"] > 0 for played in episode.rounds)) for episode in episodes),
        "efficiency": mean(_efficiency(game, episode) for episode in episodes),
        "equality": mean(1 - share for episode in episodes if (share := gini(_totals(episode))) is not None),
        "overuse": mean(overused for asks in after.values() for overused in asks),
    }
    return scalars, {"overuse_given": {treated: mean(after[treated]) for treated in TREATED}}


def _totals(episode: Episode) -> list[float]:
    return [sum(episode.rewards(player)) for player in range(episode.num_players)]


def _efficiency(game: Commons, episode: Episode) -> float:
    best = game.sustainable(game.capacity) * len(episode.rounds)
    return min(1.0, sum(_totals(episode)) / best) if best else 1.0


def _asks(side: Side) -> Iterator[tuple[str, float]]:
    """Of each ask of a side: what the others did the month before, and whether it is for more than its share."""
    episode, player = side
    treated = "start"
    for played in episode.rounds:
        stock, share = played.info["stock"], played.info["share"]
        if not stock:
            return
        chosen = next(turn.action for turn in played.turns if turn.player == player and turn.phase == "decision")
        yield treated, float(chosen > share)
        others = (ask for seat, ask in _asked(played).items() if seat != player)
        treated = "overused" if any(ask > share for ask in others) else "kept"


def _asked(played: Any) -> dict[int, int]:
    """What each player asked for, as it was played."""
    decisions = {turn.player: turn.action for turn in played.turns if turn.phase == "decision"}
    return moves(played) if "played" in played.info else decisions
