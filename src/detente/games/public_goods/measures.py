"""Measures of public goods games: what a player gives and where, what its tokens are for, and how it changes within an episode.

Contributions are those that were played; an invalid answer counts as what was played in its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from detente.games.family import Fact, Measure
from detente.games.public_goods.points import punished, rewarded
from detente.games.public_goods.rounds import FREE, INSTITUTIONS, SANCTIONING, TOPICS
from detente.games.public_goods.terms import Terms
from detente.games.sides import Scalars, Side, Tables, mean
from detente.records import Episode, Round

ARCHETYPES = ("rising", "falling", "flat", "oscillating")
TREND = 0.2  # of the maximum contribution: a change over the episode, along the fitted line, that counts as rising or falling
TURNS = 1 / 3  # of the rounds: changes of direction from which on contributions oscillate
MEASURES = (
    Measure("contribution", "public goods: mean coins given", "coins given", "gives"),
    Measure(
        "sanctioned", "public goods: the share of rounds in the institution with sanctions (SI)", "rounds in SI", "in SI", (0, 1)
    ),
    Measure("institution_size", "public goods: mean number of players in SI", "players in SI"),
    Measure("tokens_sent", "public goods: mean tokens that it sends in a round in which it may", "tokens sent"),
    Measure("punish_share", "public goods: the share of its tokens that punish", "tokens that punish", bounds=(0, 1)),
    Measure("contribution_in", "public goods: mean coins given, by institution", table=dict.fromkeys(INSTITUTIONS, "")),
    Measure("invalid_on", "public goods: the share of invalid answers, by topic", bounds=(0, 1), table=dict.fromkeys(TOPICS, "")),
    Measure(
        "archetype",
        "public goods: the share of episodes in which its contributions are rising, falling, flat or oscillating",
        bounds=(0, 1),
        table=dict.fromkeys(ARCHETYPES, ""),
    ),
)
FACTS = (
    Fact("institution", "string", "public goods: the player's institution in the round, SI (with sanctions) or SFI (without)"),
    Fact("contributed", "int64", "public goods, contributions: the coins given, as played"),
    Fact("sanctions", "list<int64>", "public goods, sanctions: the tokens sent to each player, by seat"),
)


def turn_facts(game: Terms, episode: Episode) -> Iterator[Mapping[str, Any]]:
    """Where each turn's player was, and what came of a contribution or of sanctions."""
    for played in episode.rounds:
        for turn in played.turns:
            facts: dict[str, Any] = {"institution": institutions(played)[turn.player]} if game.institutions else {}
            if turn.topic == "contribution":
                facts["contributed"] = played.info["contributions"][turn.player]
            elif turn.topic == "sanctions":
                facts["sanctions"] = tokens(played, turn.player)
            yield facts


def measure(game: Terms, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """Means over the sides' rounds, of archetypes over the sides; without institutions what has to do with them is left out."""
    rounds = [(played, player) for episode, player in sides for played in episode.rounds]
    scalars: Scalars = {"contribution": mean(float(played.info["contributions"][player]) for played, player in rounds)}
    tables: Tables = {"invalid_on": _invalid_on(game, sides), "archetype": _archetypes(game, sides)}
    if game.institutions:
        scalars |= _in_institutions(rounds)
        tables["contribution_in"] = {where: _mean_in(rounds, where) for where in INSTITUTIONS}
    return scalars, tables


def _in_institutions(rounds: Sequence[tuple[Round, int]]) -> Scalars:
    asked = [tokens(played, player) for played, player in rounds if may_sanction(played, player)]
    negative, positive = sum(map(punished, asked)), sum(map(rewarded, asked))
    return {
        "sanctioned": mean(float(institutions(played)[player] == SANCTIONING) for played, player in rounds),
        "institution_size": mean(float(institutions(played).count(SANCTIONING)) for played, _ in rounds),
        "tokens_sent": mean(float(punished(sent) + rewarded(sent)) for sent in asked),
        "punish_share": negative / (negative + positive) if negative + positive else None,
    }


def _mean_in(rounds: Sequence[tuple[Round, int]], where: str) -> float | None:
    return mean(float(played.info["contributions"][player]) for played, player in rounds if institutions(played)[player] == where)


def _invalid_on(game: Terms, sides: Sequence[Side]) -> Scalars:
    answers: dict[str, list[float]] = defaultdict(list)
    for episode, player in sides:
        for turn in episode.turns(player):
            answers[turn.topic].append(float(not turn.valid))
    return {topic: mean(answers[topic]) for topic in (TOPICS if game.institutions else ("contribution",))}


def _archetypes(game: Terms, sides: Sequence[Side]) -> Scalars:
    names = [archetype(contributions(episode, player), game.steps[-1]) for episode, player in sides]
    return {name: mean(float(name == own) for own in names) for name in ARCHETYPES}


def archetype(given: Sequence[float], most: float) -> str:
    """How the contributions of an episode, of at most ``most``, change: oscillating where their direction changes often, else by
    the change along the least-squares line."""
    steps = [after - before for before, after in pairwise(given) if after != before]
    changes = sum((before > 0) != (after > 0) for before, after in pairwise(steps))
    if changes and changes >= TURNS * len(given):
        return "oscillating"
    change = slope(given) * (len(given) - 1) / most
    return "rising" if change > TREND else "falling" if change < -TREND else "flat"


def slope(values: Sequence[float]) -> float:
    """Of the least-squares line through the values, per round; 0 of a single one."""
    middle = (len(values) - 1) / 2
    spread = sum((t - middle) ** 2 for t in range(len(values)))
    return sum((t - middle) * value for t, value in enumerate(values)) / spread if spread else 0.0


def contributions(episode: Episode, player: int) -> list[float]:
    """What the player gave, round by round."""
    return [played.info["contributions"][player] for played in episode.rounds]


def institutions(played: Round) -> list[str]:
    """Where each player was; without institutions all are where nobody can sanction."""
    return list(played.info.get("institutions", [FREE] * len(played.rewards)))


def tokens(played: Round, player: int) -> list[int]:
    """The tokens that the player sent to each player, by seat."""
    return list(played.info["tokens"][player])


def may_sanction(played: Round, player: int) -> bool:
    """Whether the player could send tokens in the round."""
    return institutions(played)[player] == SANCTIONING and institutions(played).count(SANCTIONING) > 1


def exploited(game: Terms, episode: Episode) -> list[list[int]]:
    """For each round who gave something while another member of its institution gave nothing."""
    result = []
    for played in episode.rounds:
        where, given = institutions(played), played.info["contributions"]
        robbed = {institution for institution, level in zip(where, given, strict=True) if level == 0}
        result.append([player for player, level in enumerate(given) if level > 0 and where[player] in robbed])
    return result
