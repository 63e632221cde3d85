"""Strategies for public goods games: where they go, what they give, and whom they sanction.

A sanctioner's name ends with how many negative tokens it sends to each member who gives little.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from detente.games.family import Strategy
from detente.games.public_goods.rounds import FREE, INSTITUTIONS, SANCTIONING, GroupView, Row
from detente.games.public_goods.terms import Terms

LITTLE = 3 / 4  # of the maximum contribution: below that a sanctioner punishes, in the standard game below 15
PUNISHMENTS = (1, 3, 6, 10)


def free_rider(view: GroupView, rng: random.Random) -> str:
    """Give nothing, where nobody can punish."""
    return _play(view, FREE, 0)


def giver(view: GroupView, rng: random.Random) -> str:
    """Join those who can punish, give all, and send no tokens."""
    return _play(view, SANCTIONING, view.levels[-1])


def conditional(view: GroupView, rng: random.Random) -> str:
    """Give all, then what the others gave on average in the last round; send no tokens (Fischbacher, Gaechter and Fehr, 2001)."""
    return _play(view, SANCTIONING, _mean(view.past[-1].others) if view.past else view.levels[-1])


def random_player(view: GroupView, rng: random.Random) -> str:
    """Any institution and any contribution, equally likely; now and then a token for somebody."""
    if view.topic != "sanctions":
        return _play(view, rng.choice(INSTITUTIONS), rng.choice(view.levels))
    tokens = [0] * len(view.given)
    for _ in range(rng.randint(0, min(view.tokens, len(view.given)))):
        tokens[rng.randrange(len(tokens))] += rng.choice((-1, 1))
    return view.send(tokens)


def sanctioner(tokens: int) -> Strategy:
    """Gives all and punishes each member who gives little with so many tokens, with fewer where it has not enough for all."""

    def strategy(view: GroupView, rng: random.Random) -> str:
        little = [level < LITTLE * view.levels[-1] for level in view.given]
        punishment = min(tokens, view.tokens // max(1, sum(little)))
        return _play(view, SANCTIONING, view.levels[-1], [-punishment * low for low in little])

    count = "a token" if tokens == 1 else f"{tokens} tokens"
    strategy.__doc__ = f"Join those who can punish, give all, and punish each member who gives little with {count}."
    return strategy


STRATEGIES: dict[str, Strategy] = {
    "free_rider": free_rider,
    "giver": giver,
    "conditional": conditional,
    "random": random_player,
    **{f"sanctioner_{tokens}": sanctioner(tokens) for tokens in PUNISHMENTS},
}


def can_play(game: Terms, strategy: str) -> bool:
    """Whether a strategy makes sense in a game: nobody punishes where there are no sanctions."""
    return game.institutions or not strategy.startswith("sanctioner")


def cooperator(game: Terms) -> str:
    """The strategy that gives whatever happens."""
    return "giver"


def defector(game: Terms) -> str:
    """The strategy that never gives."""
    return "free_rider"


def _play(view: GroupView, institution: str, level: float, tokens: Sequence[int] = ()) -> str:
    if view.topic == "institution":
        return view.choose(institution)
    return view.give(level) if view.topic == "contribution" else view.send(tokens or [0] * len(view.given))


def _mean(rows: Sequence[Row]) -> float:
    return sum(row.contribution for row in rows) / len(rows)
