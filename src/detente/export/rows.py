"""From an episode to rows: each turn, and each player, together with all that a column may want to know of it.

    Episode ── turn_rows ────> TurnRow ...      with what the turn was in the words of its game: it cooperated, it asked for 7
           └── player_rows ──> PlayerRow ...    with the measures of the game, as in metrics.jsonl

Must not import torch or pyarrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from detente.games import family_of, recorded
from detente.games.base import Game
from detente.games.family import measured
from detente.games.sides import Scalars, mean
from detente.records import Completion, Episode, PolicyRef, Round, Turn

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an episode was read: the source as it was named, the file in it, and the line, from 1."""

    source: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Row:
    """What a turn and a player's side of an episode have in common."""

    origin: Origin
    episode: Episode
    player: int
    policy: PolicyRef

    @property
    def learner(self) -> str | None:
        """The learner that trains on this player's tokens."""
        return self.episode.learners[self.player] if self.episode.learners else None

    @property
    def names(self) -> list[str]:
        """Every player's policy as text."""
        return [str(policy) for policy in self.episode.policies]

    @property
    def kinds(self) -> list[str]:
        """What kind of policy each player is."""
        return [policy.kind for policy in self.episode.policies]

    def others(self, by_player: Sequence[V]) -> list[V]:
        """What belongs to the other players, in the order of their seats."""
        return [value for player, value in enumerate(by_player) if player != self.player]


@dataclass(frozen=True, slots=True)
class TurnRow(Row):
    """One turn: ``number`` within round number ``round``, in the round's step number ``step`` (None: not known), all from 0.

    ``facts`` by the name of their column.
    """

    turn: Turn
    round: int
    number: int
    step: int | None
    facts: Mapping[str, Any]

    @property
    def answer(self) -> Completion:
        """What the policy gave."""
        return self.turn.completion

    @property
    def played(self) -> Round:
        """The round that the turn belongs to."""
        return self.episode.rounds[self.round]


@dataclass(frozen=True, slots=True)
class PlayerRow(Row):
    """One player's side of an episode, with the measures of the game."""

    measures: Scalars

    @property
    def mean_rewards(self) -> list[float | None]:
        """Every player's points per round."""
        return [mean(self.episode.rewards(player)) for player in range(self.episode.num_players)]

    @property
    def turns(self) -> list[Turn]:
        """The player's own turns."""
        return list(self.episode.turns(self.player))


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One number of a line of metrics.jsonl."""

    source: str
    iteration: int
    metric: str
    value: float | None


def turn_rows(origin: Origin, episode: Episode) -> list[TurnRow]:
    """Every turn in the order played."""
    game = recorded(episode.game)
    facts = family_of(game).turn_facts(game, episode)
    return [
        TurnRow(origin, episode, turn.player, turn.completion.policy, turn, round, number, step, next(facts))
        for round, played in enumerate(episode.rounds)
        for number, (turn, step) in enumerate(zip(played.turns, _steps(played), strict=True))
    ]


def _steps(played: Round) -> Sequence[int | None]:
    """The number of the step of every turn; None where it was not recorded."""
    return [step for step, count in enumerate(played.steps) for _ in range(count)] or [None] * len(played.turns)


def player_rows(origin: Origin, episode: Episode) -> list[PlayerRow]:
    """Every player, seat by seat."""
    game = recorded(episode.game) if episode.rounds else None
    own = episode.measures or ({},) * episode.num_players
    return [
        PlayerRow(origin, episode, player, policy, _measured(game, episode, player) | own[player])
        for player, policy in enumerate(episode.policies)
    ]


def _measured(game: Game | None, episode: Episode, player: int) -> Scalars:
    return {} if game is None else measured(game, [(episode, player)])[0]
