"""A game whose rules are an environment of another library.

    State: a seed and the actions so far ── step ──> an environment that stands there, or a new one played up to there ──> State

An environment changes when it is stepped and a state of a game does not, so a state holds what the environment said; whoever needs
the environment itself plays it again; one that stands where it is needed is taken. Must not import anything above games.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from detente.errors import UserError
from detente.games.base import Action, Observation, Step
from detente.games.guard import MOST_STEPS

KEPT = 256  # environments that stand somewhere and may be needed there


@dataclass(frozen=True, slots=True)
class Seen:
    """What an environment says: what is new to each player, who answers now, each player's possible answers (() for any text that
    the game's pattern allows), and what the last step paid."""

    told: tuple[str, ...]
    acting: tuple[int, ...]
    choices: tuple[tuple[str, ...], ...]
    rewards: tuple[float, ...]
    done: bool = False


class Session(Protocol):
    """An environment in the middle of an episode."""

    seen: Seen

    def step(self, actions: Mapping[int, str]) -> Seen:
        """Play an answer of each player who acts; also keeps what is seen as ``seen``."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """What a script sees."""

    text: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReplayState:
    """``past``: the answers of each step, by player. ``earned``: points of the round so far."""

    seed: int
    past: tuple[tuple[tuple[int, str], ...], ...]
    seen: Seen
    earned: tuple[float, ...]


class Replayed:
    """The methods of a game whose ``open`` begins an episode of an environment; subclasses are frozen dataclasses.

    ``rounds`` None: an episode is one round, as it may be longer or shorter. A number: every step is a round, and the environment
    has at least so many. ``symmetric`` is False, as nobody knows what an environment promises.
    """

    name: str
    num_players: int
    rounds: int | None
    symmetric = False
    pattern = r"[\s\S]{1,1000}"  # of answers where an environment lists none
    default = "(nothing)"  # played for an invalid answer there

    def open(self, seed: int) -> Session:
        """An environment at the start of the episode of a seed."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Any]:
        raise NotImplementedError

    def reset(self, rng: random.Random) -> ReplayState:
        seed = rng.randrange(1 << 31)
        session = self.open(seed)
        _keep(self, seed, (), session)
        return ReplayState(seed, (), session.seen, (0.0,) * self.num_players)

    def to_act(self, state: ReplayState) -> tuple[int, ...]:
        return state.seen.acting

    def observe(self, state: ReplayState, player: int) -> Observation:
        text, choices = state.seen.told[player], state.seen.choices[player]
        return Observation(text, View(text, choices), "|".join(map(re.escape, choices)) or self.pattern, choices)

    def parse(self, state: ReplayState, player: int, text: str) -> Action | None:
        answer, choices = text.strip(), state.seen.choices[player]
        valid = answer in choices if choices else re.fullmatch(self.pattern, answer) is not None
        return answer if valid else None

    def default_action(self, state: ReplayState, player: int) -> Action:
        return next(iter(state.seen.choices[player]), self.default)

    def step(self, state: ReplayState, actions: Mapping[int, Action]) -> Step:
        session = _taken(self, state)
        seen = session.step(actions)
        past = (*state.past, tuple(sorted(actions.items())))
        earned = tuple(map(sum, zip(state.earned, seen.rewards, strict=True)))
        done = seen.done if self.rounds is None else len(past) == self.rounds
        if seen.done and not done:
            raise UserError(f"The environment of {self.name} ended after {len(past)} steps, before its {self.rounds} rounds.")
        if not done and len(past) == MOST_STEPS:
            raise UserError(f"The environment of {self.name} was not done after {MOST_STEPS:,} steps.")
        if not done:
            _keep(self, state.seed, past, session)
        if self.rounds is None and not done:
            return Step(ReplayState(state.seed, past, seen, earned))
        return Step(ReplayState(state.seed, past, seen, (0.0,) * self.num_players), earned, done)


_standing: OrderedDict[Any, Session] = OrderedDict()  # by game, seed and past
_lock = threading.Lock()


def _place(game: Replayed, seed: int, past: Any) -> Any:
    return json.dumps(game.parameters(), sort_keys=True), seed, past


def _keep(game: Replayed, seed: int, past: Any, session: Session) -> None:
    with _lock:
        _standing[_place(game, seed, past)] = session
        if len(_standing) > KEPT:
            _standing.popitem(last=False)


def _taken(game: Replayed, state: ReplayState) -> Session:
    """An environment that stands where the state says, which nobody else has."""
    with _lock:
        session = _standing.pop(_place(game, state.seed, state.past), None)
    if session is None:
        session = game.open(state.seed)
        for actions in state.past:
            session.step(dict(actions))
    return session
