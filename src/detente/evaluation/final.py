"""The evaluation of a run: every learner in the game of the run, and against scripted strategies.

Written to summary.json at the end of training, and to the metrics in between. Plays through the same rollout as training, on
game seeds of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from detente.config import Config
from detente.evaluation.measures import Side, flat_tables, measured
from detente.evaluation.statistics import estimate
from detente.games.base import Game
from detente.games.family import can_face, family_of, strategies_for
from detente.games.roles import in_role, prefix, roles
from detente.games.sides import by_group
from detente.matches import Named, play_sync
from detente.policies import Policies
from detente.records import Episode, PolicyRef, Seating
from detente.rotation import Names, in_turn, own_seats

NO_TABLES = ("algorithm", "self_play", "partners", "against", "invalid", "intervals", "roles")  # the rest are tables

Announce = Callable[[str], None]
Sitting = tuple[Episode, Names]  # an episode, and whom ``config.seats`` names on each of its seats


def evaluate(
    config: Config, game: Game, policies: Policies, present: Mapping[str, PolicyRef], iteration: int, announce: Announce
) -> dict[str, dict[str, Any]]:
    """Per learner: ``self_play``, the points of its ``partners`` there, ``against`` each strategy, ``intervals`` of their rewards,
    and the game's tables over all episodes; where seats differ, under ``roles`` the same for each of its roles.

    For ``self_play`` every seat has its own policy, where names rotate those of each order in turn; only that of a learner with
    itself is called self-play. Against a strategy the learner takes its seats in turn, each game seed once from every seat, so that
    a good hand helps either side as much; the strategy takes all other seats, if it can.
    """
    if config.evaluation.episodes:
        announce("self-play" if len({*config.seats}) == 1 else "with each other")
    tables = in_turn(config, game.num_players)
    self_play = play(config, game, policies, [tuple(present[name] for name in names) for names in tables], "self_play", iteration)
    together = list(zip(self_play, itertools.cycle(tables), strict=False))
    named = roles(game)
    result = {}
    for name in config.learner_names:
        alone: list[Side] = [
            (episode, seat) for episode, names in together for seat, sitting in enumerate(names) if sitting == name
        ]
        meetings = meet(config, game, policies, present, name, iteration, announce)
        result[name] = {
            "algorithm": config.learner(name).algorithm,
            **scores(game, alone, meetings, partners(together, name)),
        }
        if named:
            result[name]["roles"] = {
                named[seat]: scores(
                    game,
                    [side for side in alone if side[1] == seat],
                    {script: own for script, sides in meetings.items() if (own := [side for side in sides if side[1] == seat])},
                    partners_by_role(together, name, named, seat),
                )
                for seat in own_seats(config, name, game.num_players)
            }
    return result


def meet(
    config: Config,
    game: Game,
    policies: Policies,
    present: Mapping[str, PolicyRef],
    name: str,
    iteration: int,
    announce: Announce,
) -> dict[str, list[Side]]:
    """The sides of a learner in its episodes against each strategy that can take the other seats."""
    meetings = {}
    for script in opponents(config, game):
        seats = [seat for seat in own_seats(config, name, game.num_players) if can_face(game, script, seat)]
        if not seats:
            continue
        announce(f"{name} against {script}")
        other = PolicyRef("script", script)
        by_seat = [tuple(present[name] if seat == own else other for seat in range(game.num_players)) for own in seats]
        episodes = play(config, game, policies, by_seat, script, iteration)
        meetings[script] = list(zip(episodes, itertools.cycle(seats), strict=False))
    return meetings


def scores(
    game: Game, alone: Sequence[Side], meetings: Mapping[str, Sequence[Side]], theirs: Mapping[str, float]
) -> dict[str, Any]:
    """The scores of a learner from its sides in self-play, where its partners got ``theirs``, and against strategies."""
    against, intervals = {}, {}
    for script, sides in meetings.items():
        others = [(episode, seat) for episode, own in sides for seat in range(game.num_players) if seat != own]
        against[script] = measured(game, sides)[0] | {"opponent_reward": measured(game, others)[0].get("reward")}
        intervals[script] = {"reward": interval(game, sides), "opponent_reward": interval(game, others)}
    overall, tables = measured(game, [*alone, *itertools.chain.from_iterable(meetings.values())])
    return {
        "self_play": measured(game, alone)[0],
        "partners": theirs,
        "against": against,
        "invalid": overall.get("invalid"),
        "intervals": {"self_play": {"reward": interval(game, alone)}, "against": intervals},
        **tables,
    }


def partners(together: Sequence[Sitting], learner: str) -> dict[str, float]:
    """Points per round of the other players in a learner's episodes, by the names on their seats.

    A learner on several seats is a partner of itself. Empty without episodes.
    """
    points: dict[str, list[float]] = {}
    for episode, names in together:
        for seat, name in enumerate(names if learner in names else ()):
            if name != learner or names.count(learner) > 1:
                points.setdefault(name, []).append(episode.mean_reward(seat))
    return _means(points)


def partners_by_role(together: Sequence[Sitting], learner: str, named: Sequence[str], own: int) -> dict[str, float]:
    """Points per round of the other players in a learner's episodes on seat ``own``, as ``main as trustee``; empty without
    episodes."""
    points: dict[str, list[float]] = {}
    for episode, names in together:
        for seat, name in enumerate(names if names[own] == learner else ()):
            if seat != own:
                points.setdefault(in_role(name, named[seat]), []).append(episode.mean_reward(seat))
    return _means(points)


def _means(points: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: sum(rewards) / len(rewards) for name, rewards in points.items()}


def interval(game: Game, sides: Sequence[Side]) -> tuple[float | None, float | None] | None:
    """The ends of the 95 % interval of the mean reward, over game seeds; None without episodes."""
    if not sides:
        return None
    estimated = estimate(by_group(sides), game.reward_bounds)
    return estimated.low, estimated.high


def opponents(config: Config, game: Game) -> Sequence[str]:
    """The scripted strategies of the evaluation."""
    if not config.evaluation.episodes:
        return ()
    if config.evaluation.against is not None:
        return config.evaluation.against
    attacks = family_of(game).attacks
    return [name for name in strategies_for(game) if name not in attacks]


def play(
    config: Config, game: Game, policies: Policies, seats: Sequence[tuple[PolicyRef, ...]], purpose: str, iteration: int
) -> list[Episode]:
    """The evaluation's episodes, with each of the seatings in turn and for all of them on the same game seeds."""
    count = len(seats)
    seatings = [
        Seating(seats[index % count], iteration=iteration, group=index // count, index=index)
        for index in range(config.evaluation.episodes)
    ]
    stream = Named((config.seed, "evaluation game"), (config.seed, "evaluation", iteration, purpose))
    return play_sync(policies, game, seatings, stream=stream, concurrency=config.concurrency)


def flat(evaluation: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """The evaluation as metrics: ``eval/NAME/self_play/reward``, ``eval/NAME/vs/STRATEGY/opponent_reward`` ..., and of each role
    under ``role/ROLE/``."""
    result: dict[str, float | None] = {}
    for name, measured_scores in evaluation.items():
        result |= _flat(f"eval/{name}", measured_scores)
        for role, in_it in measured_scores.get("roles", {}).items():
            result |= _flat(f"{prefix(role)}eval/{name}", in_it)
    return result


def _flat(head: str, measured_scores: Mapping[str, Any]) -> dict[str, float | None]:
    result = {f"{head}/self_play/{key}": value for key, value in measured_scores["self_play"].items()}
    for script, row in measured_scores["against"].items():
        result |= {f"{head}/vs/{script}/{key}": value for key, value in row.items()}
    tables = flat_tables({key: table for key, table in measured_scores.items() if key not in NO_TABLES})
    return result | {f"{head}/{key}": value for key, value in tables.items()}
