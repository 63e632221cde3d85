"""The parameters of a public goods game, each checked, and what follows from them alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from detente.errors import UserError, as_typed
from detente.games.parameters import MOST, added, check_count, check_horizon, check_share, check_switch
from detente.games.public_goods.points import Stakes
from detente.games.public_goods.rounds import FREE, INSTITUTIONS

MOST_PLAYERS, MOST_TOKENS = 30, 100  # an answer's pattern lists every number of tokens for every other player


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The terms of a public goods game.

    Each player gives some of its ``endowment``, one of the ``levels`` (None: any whole number), to a pot that is multiplied by
    ``multiplier`` and shared equally. With ``institutions`` players first join one of two, each with a pot of its own, and get
    ``tokens`` more coins in a second stage, where members of the one with sanctions may spend them on each other: a negative
    token takes ``punish`` points, a positive one brings ``reward``. ``window``: how many of the last rounds players are shown.
    ``noise``: the probability with which a contribution is replaced by a level, all equally likely. ``continuation`` None plays
    ``rounds`` rounds; else after each round the game goes on with that probability, at most ``max_rounds`` rounds in all.
    """

    name: str = "public_goods"
    players: int = 7
    institutions: bool = True
    endowment: int = 20
    multiplier: float = 1.6
    levels: tuple[int, ...] | None = None
    tokens: int = 20
    punish: float = 3.0
    reward: float = 1.0
    window: int = 5
    labels: tuple[str, ...] = ("A", "B")
    counterbalance: bool = False
    rounds: int = 15
    continuation: float | None = None
    max_rounds: int = 50
    noise: float = added(0.0)

    def __post_init__(self) -> None:
        check_count("players", self.players, 2, MOST_PLAYERS)
        check_switch("institutions", self.institutions)
        check_count("coins in the endowment", self.endowment, 1, MOST)
        check_count("tokens", self.tokens, 1, MOST_TOKENS)
        check_count("rounds in the window", self.window, 1, MOST)
        for option in ("multiplier", "punish", "reward"):
            _check_factor(option, getattr(self, option))
        check_switch("counterbalance", self.counterbalance)
        check_horizon(self.rounds, self.continuation, self.max_rounds)
        check_share("noise", self.noise)
        object.__setattr__(self, "levels", None if self.levels is None else _levels(self.levels, self.endowment))
        object.__setattr__(self, "labels", _labels(self.labels))

    @property
    def num_players(self) -> int:
        return self.players

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """What a player can give, from nothing upwards."""
        return tuple(range(self.endowment + 1)) if self.levels is None else self.levels

    @cached_property
    def stakes(self) -> Stakes:
        """What contributions and tokens are worth."""
        return Stakes(self.endowment, self.multiplier, self.tokens if self.institutions else 0, self.punish, self.reward)

    @cached_property
    def reward_bounds(self) -> tuple[float, float]:
        sizes = range(1, self.players + 1) if self.institutions else (self.players,)
        return self.stakes.bounds(sizes, self.steps[0], self.steps[-1])

    @property
    def unchosen(self) -> tuple[str, ...]:
        """Where everybody is before anybody chooses: nowhere, or in the one pot that there is."""
        return () if self.institutions else (FREE,) * self.players

    def listed(self, listing: tuple[int, ...]) -> tuple[str, ...]:
        """The institutions in the order in which players are told them."""
        return tuple(INSTITUTIONS[i] for i in listing) if self.institutions else (FREE,)


def _check_factor(option: str, value: Any) -> None:
    if type(value) not in (int, float) or not 0 <= value <= MOST:
        raise UserError(f"The option {option} is a number from 0 to {MOST}, not {as_typed(value)}.")


def _levels(levels: Any, endowment: int) -> tuple[int, ...]:
    right = isinstance(levels, tuple | list) and all(type(level) is int and 0 <= level <= endowment for level in levels)
    if not right or len(levels) < 2 or [*levels] != sorted({*levels}) or levels[0] != 0:
        raise UserError(
            f"The levels are 0 and other whole numbers up to the endowment, {endowment}, in rising order, not {as_typed(levels)}."
        )
    return tuple(levels)


def _labels(labels: Any) -> tuple[str, ...]:
    right = (
        isinstance(labels, tuple | list) and all(isinstance(label, str) for label in labels) and len({*labels}) == 2 == len(labels)
    )
    if not right or not all(re.fullmatch(r"[A-Za-z0-9]+", label) for label in labels):
        raise UserError(f"The labels are two different words of letters and digits, not {as_typed(labels)}.")
    return tuple(labels)
