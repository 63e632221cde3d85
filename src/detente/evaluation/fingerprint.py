"""The fingerprint of a policy: what it does after what, under conditions that are the same for every policy.

    matrix games      its own P(cooperate) after every history of one and of two moves; how it returns to cooperation after one
                      defection of the other; its exact best response and floor, where its histories are few enough to be read
    splitting games   its asks, given the other's claim and what the other asked for last, in play with a player that claims and
                      asks at random
    other games       the measures of their families, in play with players that act at random

In matrix games these are the policy's own probabilities (see ``histories``), not frequencies of play.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from detente.config import Config
from detente.errors import UserError
from detente.evaluation.agents import participants
from detente.evaluation.exploitability import by_histories, starts
from detente.evaluation.histories import History, read
from detente.evaluation.statistics import estimate
from detente.games.base import Game
from detente.games.family import family_of, measures, strategies_for
from detente.games.matrix import MatrixGame
from detente.games.roles import in_role, roles
from detente.games.sides import Side
from detente.matches import Named, on_seats, play_sync
from detente.policies import Policies
from detente.records import PolicyRef

BEFORE, AFTER = 2, 6  # rounds of cooperation by the other before and after its one defection
MOST = 4_000  # histories that are read for the exact best response
MIN_REACH = 1e-4  # own moves less probable than this are not followed after the defection
EVERY = -1.0  # follow moves of any probability, impossible ones too, so that no history is missing


def fingerprints(policies: Policies, names: Sequence[str], config: Config, *, episodes: int = 128) -> dict[str, Any]:
    """The fingerprints of agents given by name, where seats differ of each in every role that it takes."""
    game, agents = policies.game, participants(policies, names)
    named = roles(game)
    prints = [(agent, seats) for agent in agents for seats in (((seat,) for seat in agent.seats) if named else (agent.seats,))]
    return {
        "game": game.name,
        "preset": config.preset,
        "seed": config.seed,
        "reward_bounds": list(game.reward_bounds),
        "episodes": 0 if _dilemma(game) else episodes,
        "agents": [
            {
                **agent.to_json(),
                **({"label": in_role(agent.label, named[seats[0]]), "role": named[seats[0]]} if named else {}),
                **fingerprint(policies, agent.policy, config, episodes=episodes, seats=seats),
            }
            for agent, seats in prints
        ],
    }


def fingerprint(
    policies: Policies, policy: PolicyRef, config: Config, *, episodes: int = 128, seats: Sequence[int] | None = None
) -> dict[str, Any]:
    """What the policy does on these seats (None: on any), as plain values; ``episodes`` are played but in matrix games.

    UserError for a game that nobody can play at random.
    """
    places = range(policies.game.num_players) if seats is None else seats
    if _dilemma(policies.game):
        seat = places[-1]
        return {
            **memory_tables(policies, policy, seat),
            "forgiveness": forgiveness(policies, policy, seat),
            "exact": exact(policies, policy, seat),
        }
    if family_of(policies.game).responses is not None:
        return response_curves(policies, policy, config, episodes, places)
    return {"measures": measures(policies.game, _against_random(policies, policy, config, episodes, places))}


def _dilemma(game: Game) -> bool:
    """Whether this is a matrix game in which one of two actions is cooperation."""
    table: MatrixGame | None = family_of(game).normal_form(game)
    return table is not None and table.cooperative is not None and len(table.actions) == 2


# ---- matrix games


def memory_tables(policies: Policies, policy: PolicyRef, seat: int) -> dict[str, Any]:
    """P(cooperate) after every history: ``memory_one`` [start, CC, CD, DC, DD] and ``memory_two`` [CC CC, CC CD, ...].

    One's own move first, older moves first. Where labels are counterbalanced: the mean over what they can mean. ``invalid``: the
    mean probability of an invalid answer after the histories of ``memory_one``; the default action is played for it.
    """
    game: MatrixGame = policies.game  # type: ignore[assignment]
    cooperates: dict[History, list[float]] = defaultdict(list)
    invalid: list[float] = []
    for start in starts(game):
        agent = read(policies, policy, start, 3, seat=seat, min_reach=EVERY)
        for history, probabilities in agent.probabilities.items():
            cooperates[history].append(probabilities[0])
        invalid += [p for history, p in agent.invalid.items() if len(history) <= 1]
    joint = [(own, other) for own in game.actions for other in game.actions]
    after_one: list[History] = [(), *((move,) for move in joint)]
    after_two: list[History] = [(older, newer) for older in joint for newer in joint]
    tables = {
        name: {" ".join(_letters(game, move) for move in history) or "start": fmean(cooperates[history]) for history in histories}
        for name, histories in (("memory_one", after_one), ("memory_two", after_two))
    }
    return {**tables, "invalid": fmean(invalid)}


def _letters(game: MatrixGame, joint: tuple[str, str]) -> str:
    return "".join("C" if action == game.cooperative else "D" for action in joint)


def forgiveness(policies: Policies, policy: PolicyRef, seat: int) -> list[dict[str, Any]]:
    """Round by round the policy's P(cooperate) against a player that cooperates, defects once and cooperates again.

    Expected over the policy's own moves: each round sums over the histories that they can have led to.
    """
    game: MatrixGame = policies.game  # type: ignore[assignment]
    cooperate, defect = game.actions[0], game.actions[1]
    script = [cooperate] * BEFORE + [defect] + [cooperate] * AFTER
    rounds: list[list[float]] = [[] for _ in script]
    for start in starts(game):
        agent = read(
            policies, policy, start, len(script), seat=seat, others=lambda history: (script[len(history)],), min_reach=MIN_REACH
        )
        for length, values in enumerate(rounds):
            reached = [(agent.reach[history], p[0]) for history, p in agent.probabilities.items() if len(history) == length]
            values.append(sum(reach * p for reach, p in reached) / sum(reach for reach, _ in reached))
    return [
        {"round": number, "other": "C" if move == cooperate else "D", "cooperate": fmean(values)}
        for number, (move, values) in enumerate(zip(script, rounds, strict=True), start=1)
    ]


def exact(policies: Policies, policy: PolicyRef, seat: int) -> dict[str, Any] | None:
    """The exact best response to the policy and its floor, see ``exploitability``; None under noise and of too many histories."""
    game: MatrixGame = policies.game  # type: ignore[assignment]
    result = None if game.noise else by_histories(policies, game, policy, limit=MOST, seat=seat)
    return None if result is None else result.to_json()


# ---- splitting games


def response_curves(policies: Policies, policy: PolicyRef, config: Config, episodes: int, seats: Sequence[int]) -> dict[str, Any]:
    """``responses``: the share of the stock that the policy asks for, by the other's claim and what the other asked for last.

    ``told``: whose value is higher according to the other's message or, where values are public, in fact: upper (the policy's own),
    lower, nothing (no usable message). ``last``: the share, rounded to a tenth, that the other asked for of what the policy values
    more, in the last round that showed it; None before any did. Intervals are over episodes' game seeds.
    """
    game, responses = policies.game, family_of(policies.game).responses
    assert responses is not None
    shares: dict[tuple[str, float | None], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for side in _against_random(policies, policy, config, episodes, seats):
        for claim, last, share in responses(game, side):
            shares[claim, last][side[0].group].append(share)
    return {
        "responses": [
            {
                "told": claim,
                "last": last,
                "asks": sum(map(len, groups.values())),
                "share": estimate(groups.values(), (0.0, 1.0)).to_json(),
            }
            for (claim, last), groups in sorted(
                shares.items(), key=lambda item: (item[0][0], -1 if item[0][1] is None else item[0][1])
            )
        ]
    }


def _against_random(policies: Policies, policy: PolicyRef, config: Config, episodes: int, own: Sequence[int]) -> list[Side]:
    """The policy's sides of so many episodes, on its ``own`` seats in turn."""
    if "random" not in strategies_for(policies.game):
        raise UserError(f"A fingerprint needs players at random, and the game {policies.game.name} lists no choices to draw from.")
    taken = [own[index % len(own)] for index in range(episodes)]
    seatings = on_seats(policy, PolicyRef("script", "random"), taken, policies.game.num_players)
    stream = Named((config.seed, "fingerprint"), (config.seed, "fingerprint"))
    played = play_sync(policies, policies.game, seatings, stream=stream, concurrency=config.concurrency)
    return list(zip(played, taken, strict=True))
