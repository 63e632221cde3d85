"""How much more a learner could have had in a group of episodes, in points per round.

    matrix game, script opposite ──> value of the best response, less what the learner got          (exact; noisy below 0 by luck)
    anything else ────────────────> the best episode of the group, less their mean

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from detente.evaluation.exact import solve
from detente.games.base import Game
from detente.games.family import family_of
from detente.players.scripted import scripted
from detente.records import Episode


def regret(game: Game, episodes: Sequence[Episode], seat: int) -> float:
    """The regret of whoever sat on ``seat`` in the episodes of a group."""
    own = [episode.mean_reward(seat) for episode in episodes]
    others = {policy for episode in episodes for player, policy in enumerate(episode.policies) if player != seat}
    scripts = [policy.name for policy in others if policy.kind == "script"]
    best = best_value(game, scripts[0], seat) if len(others) == len(scripts) == 1 else None
    return (max(own) if best is None else best) - sum(own) / len(own)


def best_value(game: Game, script: str, seat: int) -> float | None:
    """What the best response on a seat gets against a script on the other, in points per round; None where it is not known: in
    games that are no matrix games, and against scripts that are not the package's."""
    family = family_of(game)
    if family.normal_form(game) is None:
        return None
    strategy = scripted(script, 0, game).strategy
    process = None if strategy is None else family.faces(game, strategy, 1 - seat, None)
    if process is None:
        return None
    goes_on = 1.0 if process.continuation is None else process.continuation
    value = solve(process, process.rounds, continuation=process.continuation).own.middle
    return value / sum(goes_on**played for played in range(process.rounds))


def lost_share(episodes: Sequence[Episode], seat: int) -> float:
    """The share of episodes in which the others on average got more points than whoever sat on ``seat``; half of those in which
    they got as many."""
    results = []
    for episode in episodes:
        others = [episode.mean_reward(player) for player in range(episode.num_players) if player != seat]
        own, theirs = episode.mean_reward(seat), sum(others) / len(others)
        results.append(0.5 if own == theirs else float(own < theirs))
    return sum(results) / len(results)
