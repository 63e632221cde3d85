"""Strategies of the Axelrod library on a seat of a matrix game: ``axelrod:TitForTat``, ``axelrod:tit_for_tat``.

    view.own, view.other ── replayed by ──> a player of the library, its opponent a stand-in ──> C or D ──> the label

The library (Knight et al., An open framework for the reproducible study of the iterated prisoner's dilemma, JORS 2016) gives a
strategy its opponent as an object; here that is a stand-in which has a history and nothing else. Importing the library takes
many seconds and loads torch, so it is imported when the first such name is used.
"""

from __future__ import annotations

import difflib
import inspect
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from detente.errors import UserError
from detente.games.base import Game, Observation
from detente.games.family import family_of
from detente.games.matrix import MatrixGame, Payoffs
from detente.players.base import MemorylessPlayer
from detente.records import Completion, PolicyRef

PREFIX = "axelrod:"


@dataclass
class AxelrodPlayer(MemorylessPlayer):
    """A strategy of the library on one seat for one episode. What it does depends on its seed and the observation alone.

    A copy does not share the state of the library's player: it replays the observed history.
    """

    name: str
    seed: int
    _life: Life | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def policy(self) -> PolicyRef:
        return PolicyRef("script", self.name)

    async def act(self, observation: Observation) -> Completion:
        """Answer at once, with probabilities where nothing is random."""
        view = observation.view
        moves = tuple(library().Action)  # C and D
        own, other = ([moves[view.actions.index(action)] for action in past] for past in (view.own, view.other))
        rounds = list(zip(own, other, strict=True))
        if self._life is None or self._life.rounds != rounds[: len(self._life.rounds)]:
            self._life = Life(seated(find(self.name), view.payoffs, self.seed), library().Player())
        chosen = moves.index(self._life.move(rounds))
        random = library().Classifiers["stochastic"](self._life.player)
        probabilities = () if random else tuple(float(i == chosen) for i in range(len(moves)))
        return Completion(view.answers[chosen], self.policy, self.seed, probabilities=probabilities)

    def close(self) -> None:
        """Nothing is kept."""
        self._life = None

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "seed": self.seed}


@dataclass
class Life:
    """A player of the library, the stand-in for its opponent, and the rounds that they have played: (own, other) moves."""

    player: Any
    opponent: Any
    rounds: list[tuple[Any, Any]] = field(default_factory=list)
    decided: Any = None  # its move in the present round, if it has been computed

    def move(self, rounds: Sequence[tuple[Any, Any]]) -> Any:
        """Its move after these rounds, of which it may know the first ones."""
        for own, other in rounds[len(self.rounds) :]:
            self._decide()  # in every round, for a strategy changes its state and draws its random numbers while it decides
            self.player.update_history(own, other)
            self.opponent.update_history(other, own)
            self.rounds.append((own, other))
            self.decided = None
        return self._decide()

    def _decide(self) -> Any:
        if self.decided is None:
            self.decided = self.player.strategy(self.opponent)
        return self.decided


def axelrod_player(name: str, seed: int, game: Game) -> AxelrodPlayer:
    """The strategy as a player, under its full name however it is spelt; UserError for a name or a game that does not fit."""
    _table(name, game)
    return AxelrodPlayer(_full_name(find(name)), seed)


def seated(strategy: Any, payoffs: Payoffs, seed: int) -> Any:
    """A player of the library that knows its payoffs, not the number of rounds; UserError where it cannot play for these."""
    import numpy as np

    own, theirs = np.array(payoffs)[..., 0], np.array(payoffs)[..., 1]
    symmetric = bool((own == theirs.T).all())
    game = library().Game(*own.flat) if symmetric else library().AsymmetricGame(own, theirs)
    player = strategy()
    uses = library().Classifiers["makes_use_of"](player) or ()
    wrong = UserError(f"The strategy '{_full_name(strategy)}' reckons with payoffs of another kind than those of this game.")
    if not symmetric and "game" in uses:
        raise wrong
    try:
        with np.errstate(all="ignore"):
            player.set_match_attributes(length=math.inf, game=game, noise=0)
    except (ValueError, AttributeError, ArithmeticError):  # raised by strategies that compute their probabilities from the payoffs
        raise wrong from None
    player.set_seed(seed % 2**32)
    return player


def checked(name: str, game: Game) -> str:
    """The full name, ``axelrod:TitForTat``, of a strategy however it is spelt; UserError for one that cannot play this game."""
    table = _table(name, game)
    strategy = find(name)
    seated(strategy, table.payoffs, seed=0)
    return _full_name(strategy)


def find(name: str) -> Any:
    """The class of the strategy ``axelrod:NAME``, by its own or its display name; UserError where there is none to play with."""
    named = _by_name()
    strategy = named.get(_plain(name))
    if strategy is None:
        near = [_full_name(named[close]) for close in difflib.get_close_matches(_plain(name), named, n=3, cutoff=0.6)]
        guess = " or ".join(f"'{full_name}'" for full_name in dict.fromkeys(near))
        raise UserError(f"There is no strategy '{name}'; " + (f"did you mean {guess}?" if guess else "see 'detente list axelrod'."))
    if strategy not in library().strategies:
        raise UserError(f"The strategy '{_full_name(strategy)}' inspects or changes its opponent, which no seat allows.")
    return strategy


def described() -> dict[str, str]:
    """Every strategy that can be seated, with its display name and the library's first sentence about it."""
    return {_full_name(strategy): _description(strategy) for strategy in library().strategies}


def _description(strategy: Any) -> str:
    player = strategy()
    facts = {"stochastic": "random moves", "long_run_time": "slow"}
    said = ", ".join(word for fact, word in facts.items() if library().Classifiers[fact](player))
    paragraph = " ".join((inspect.getdoc(strategy) or "").partition("\n\n")[0].split())
    sentence = textwrap.shorten(re.split(r"(?<=\.) ", paragraph)[0], 110, placeholder=" ...")
    return f"{strategy.name}{f' ({said})' if said else ''}: {sentence}"


@cache
def library() -> Any:
    """The package ``axelrod``; UserError where it is not installed."""
    try:
        import axelrod
    except ImportError as error:
        raise UserError(f"Strategies of the Axelrod library need it: pip install 'detente[axelrod]' ({error}).") from error
    return axelrod


@cache
def _by_name() -> dict[str, Any]:
    return {_plain(name): strategy for strategy in library().all_strategies for name in (strategy.name, strategy.__name__)}


def _full_name(strategy: Any) -> str:
    return f"{PREFIX}{strategy.__name__}"


def _plain(name: str) -> str:
    """A name without prefix, case, spaces and punctuation."""
    return "".join(filter(str.isalnum, name.removeprefix(PREFIX).casefold()))


def _table(name: str, game: Game) -> MatrixGame:
    """The game as one in which the first of two actions is cooperation; UserError for other games."""
    table: MatrixGame | None = family_of(game).normal_form(game)
    if table is None or table.cooperative is None or len(table.actions) != 2:
        raise UserError(
            f"The strategy '{name}' plays matrix games with two actions, the first of them cooperative; {game.name} is none."
        )
    return table
