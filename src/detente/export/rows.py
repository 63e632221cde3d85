"""From an episode to rows: each turn, and each player, together with all that a column may want to know of it.

    Episode ── turn_rows ────> TurnRow ...      with what the turn was in the words of its game: it cooperated, it asked for 7
           └── player_rows ──> PlayerRow ...    with the measures of the game, as in metrics.jsonl

Must not import torch or pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from detente.evaluation.measures import measured
from detente.evaluation.sides import Scalars, mean
from detente.evaluation.splitting_measures import Lived, contested, lived
from detente.games import recorded
from detente.games.matrix import MatrixGame
from detente.games.splitting import SplittingGame
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
    facts = _facts(episode)
    return [
        TurnRow(origin, episode, turn.player, turn.completion.policy, turn, round, number, step, next(facts))
        for round, played in enumerate(episode.rounds)
        for number, (turn, step) in enumerate(zip(played.turns, _steps(played), strict=True))
    ]


def _steps(played: Round) -> Sequence[int | None]:
    """The number of the step of every turn; None where nobody wrote it down."""
    return [step for step, count in enumerate(played.steps) for _ in range(count)] or [None] * len(played.turns)


def player_rows(origin: Origin, episode: Episode) -> list[PlayerRow]:
    """Every player, seat by seat."""
    game = recorded(episode.game) if episode.rounds else None
    return [
        PlayerRow(origin, episode, player, policy, {} if game is None else measured(game, [(episode, player)])[0])
        for player, policy in enumerate(episode.policies)
    ]


def _facts(episode: Episode) -> Iterator[Mapping[str, Any]]:
    """What each turn, in the order played, was in the words of its game; nothing where there are none for it."""
    game = recorded(episode.game)
    if isinstance(game, SplittingGame):
        sides = [list(lived(game, (episode, player))) for player in range(episode.num_players)]
        for played, one_round in zip(episode.rounds, zip(*sides, strict=True), strict=True):
            said = [iter(one.said) for one in one_round]
            for turn in played.turns:
                own = one_round[turn.player]
                talk = turn.phase == "message"
                yield _message(own, next(said[turn.player])) if talk else _ask(own, played.info["received"][turn.player])
    else:
        cooperative = game.cooperative if isinstance(game, MatrixGame) else None
        for turn in episode.turns():
            yield {} if cooperative is None else {"cooperated": turn.action == cooperative}


def _message(own: Lived, words: frozenset[str]) -> Mapping[str, Any]:
    """Whether a message is true, where there is something to tell that the other does not see."""
    return {"truthful": words == own.truth} if own.known.values is None else {}


def _ask(own: Lived, received: Sequence[float]) -> Mapping[str, Any]:
    by_value = list(contested(own))
    kinds = {kind: mean(units for measure, units in by_value if measure == kind) for kind in ("ask_higher", "ask_lower")}
    return {"asked": own.own, "values": own.values.own, "received": received, **kinds}
