"""Measures of the donor game: what is given, to whom, what all have in the end, and how equally."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detente.games.donor.rules import Donor
from detente.games.family import Fact, Measure
from detente.games.sides import Scalars, Side, Tables, gini, mean
from detente.records import Episode

TREATED = ("start", "less", "more")  # what the recipient gave last: nothing to be known, less than half, half or more
MEASURES = (
    Measure("donation", "donor: the mean share given away, a punishment counting as 0", head="gives", bounds=(0, 1)),
    Measure("final_resources", "donor: what the player has in the end", head="ends with"),
    Measure("gini", "donor: the Gini coefficient of what the players have in the end", bounds=(0, 1)),
    Measure("punishing", "donor, with punishment: the share of decisions that punish", bounds=(0, 1)),
    Measure(
        "donation_given",
        "donor: the mean share given away, by what the recipient gave last",
        bounds=(0, 1),
        table=dict.fromkeys(TREATED, ""),
    ),
)
FACTS = (Fact("donated", "float64", "donor: the share given away, negative where it is paid for a punishment"),)


def turn_facts(game: Donor, episode: Episode) -> Iterator[Mapping[str, Any]]:
    """The share that each turn gave away."""
    return ({"donated": turn.action / 100} for turn in episode.turns())


def measure(game: Donor, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """Means over the sides' decisions, and over sides of what they have in the end."""
    given: dict[str, list[float]] = defaultdict(list)
    shares = []
    for side in sides:
        for treated, share in _decisions(side):
            given[treated].append(max(0.0, share))
            shares.append(share)
    ends = [final_resources(episode) for episode, _ in sides]
    scalars: Scalars = {
        "donation": mean(max(0.0, share) for share in shares),
        "final_resources": mean(final[player] for final, (_, player) in zip(ends, sides, strict=True)),
        "gini": mean(value for final in ends if (value := gini(final)) is not None),
    }
    if game.punishment:
        scalars["punishing"] = mean(float(share < 0) for share in shares)
    return scalars, {"donation_given": {treated: mean(given[treated]) for treated in TREATED}}


def final_resources(episode: Episode) -> list[float]:
    """What each player has in the end, as the game reckons: what it had before the last round, and what it gained or lost in it."""
    last = episode.rounds[-1]
    return [had + change for had, change in zip(last.info["before"], last.rewards, strict=True)]


def _decisions(side: Side) -> Iterator[tuple[str, float]]:
    """Of each decision of a side: what the recipient did the round before, and the share given."""
    episode, player = side
    before: dict[int, float] = {}
    for played in episode.rounds:
        shares = {turn.player: turn.action / 100 for turn in played.turns}
        recipient = dict(played.info["pairs"]).get(player)
        if recipient is not None:
            treated = "start" if recipient not in before else "more" if before[recipient] >= 0.5 else "less"
            yield treated, shares[player]
        before = shares
