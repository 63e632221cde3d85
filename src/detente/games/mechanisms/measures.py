"""Measures of a policy in a mechanism: what it does in the game inside, and how it uses the mechanism.

episode ── of the game inside, play by play and group by group ──> the measures of that game's family
        └─ what the rounds say of the mechanism ──> cooperation, and after what
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from detente.games.family import Measure, family_of
from detente.games.sides import Scalars, Side, Tables, mean
from detente.records import Episode, Round, Turn

TREATED = ("start", "cooperated", "defected")  # what the partners of a player had done in the last round, all or not all
MEASURES = (
    Measure(
        "inside_cooperation",
        "mechanisms: the share of rounds in which the player does what the cooperating script of the game inside does",
        "cooperation in the game inside",
        head="cooperates",
        bounds=(0, 1),
    ),
    Measure(
        "inside_cooperation_given",
        "mechanisms: that share by whether all those whom the player meets cooperated in the round before",
        "cooperation in the game inside",
        bounds=(0, 1),
        table=dict.fromkeys(TREATED, ""),
    ),
    Measure("accepted", "contract: the share of the contracts put to it that the player accepts", bounds=(0, 1)),
    Measure("transfers", "contract: what the player receives from the others by it less what it pays, points per round"),
    Measure("delegated", "mediation: the share of rounds in which the player delegates", head="delegates", bounds=(0, 1)),
)


def measure(game: Any, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """The measures of the game inside over the episodes of it, and those of the mechanism."""
    scalars, tables = family_of(game.of).measure(game.of, [side for whole in sides for side in sides_inside(game, whole)])
    after: dict[str, list[float]] = defaultdict(list)
    for side in sides:
        for treated, cooperated in _choices(side):
            after[treated].append(cooperated)
    rate = mean(share for shares in after.values() for share in shares)
    given = {treated: mean(after[treated]) for treated in TREATED}
    own = {name: mean(number for whole in sides for number in numbers(whole)) for name, numbers in uses(game).items()}
    return dict(scalars) | own | {"inside_cooperation": rate}, dict(tables) | {"inside_cooperation_given": given}


def uses(game: Any) -> Mapping[str, Callable[[Side], Iterable[float]]]:
    """How a player uses a mechanism, by measure, as numbers of which the mean is taken."""
    return {"contract": CONTRACT, "mediator": MEDIATION}.get("".join(game.topics[:1]), {})


def _choices(side: Side) -> Iterator[tuple[str, float]]:
    """Of each round of a side: what those whom the player meets had done in the round before, and whether it cooperates."""
    episode, player = side
    before: Sequence[bool | None] = ()
    for played in episode.rounds:
        (group,) = [group for group in played.info["groups"] if player in group]
        others = [before[other] for other in group if other != player] if before else []
        treated = "start" if not others or None in others else "cooperated" if all(others) else "defected"
        before = played.info["cooperated"]
        own = before[player]
        if own is not None:
            yield treated, float(own)


def _acceptances(side: Side) -> list[float]:
    return [float(turn.action) for turn in side[0].turns(side[1]) if turn.topic == "acceptance"]


def _transfers(side: Side) -> list[float]:
    return [played.info["transfers"][side[1]] for played in side[0].rounds]


def _delegations(side: Side) -> list[float]:
    return [float(played.info["delegated"][side[1]]) for played in side[0].rounds]


CONTRACT = {"accepted": _acceptances, "transfers": _transfers}
MEDIATION = {"delegated": _delegations}


def sides_inside(game: Any, side: Side) -> Iterator[Side]:
    """The episodes of the game inside that a player played, with its seat in each."""
    episode, player = side
    for _, rounds in groupby(episode.rounds, key=lambda played: played.info["play"]):
        yield inside_episode(game, episode, [*rounds], player)


def inside_episode(game: Any, episode: Episode, rounds: Sequence[Round], player: int) -> Side:
    """One play as an episode of the game inside, of the group in which the player was."""
    number, group = next((i, group) for i, group in enumerate(rounds[0].info["groups"]) if player in group)
    return (
        Episode(
            game=game.of.parameters(),
            seed=rounds[0].info["seed"],
            policies=tuple(episode.policies[member] for member in group),
            rounds=tuple(inside_round(played, group, number, game.topics) for played in rounds),
            group=episode.group,
            index=episode.index,
        ),
        group.index(player),
    )


def inside_round(played: Round, group: Sequence[int], number: int, topics: Sequence[str]) -> Round:
    """What a group did and got in a round of the game inside, without what was asked under the mechanism's ``topics``."""
    steps = [[t for t in step if t.player in group and t.topic not in topics] for step in played.by_step()]
    done = played.info.get("actions")  # by a mediator too, who is not in the game inside
    own = [[_turn_inside(turn, group, done) for turn in step] for step in steps if step]
    paid = played.info.get("points", played.rewards)
    return Round(
        tuple(turn for step in own for turn in step),
        tuple(paid[member] for member in group),
        played.info["inside"][number],
        tuple(map(len, own)),
    )


def _turn_inside(turn: Turn, group: Sequence[int], done: Sequence[Any] | None) -> Turn:
    """The turn of a player as that of its seat in the game inside, with what was done for it."""
    action = turn.action if done is None else done[turn.player]
    return replace(turn, player=group.index(turn.player), action=action)
