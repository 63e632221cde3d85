"""What a game is: pure rules, n players, several phases in a round, private information, a horizon from the seed.

    reset ──> State ── observe ──> Observation ── (a player answers) ── parse ──> Action ── step ──> State, rewards

A game is a frozen dataclass of parameters and its states are frozen too: nothing here knows of models, tokens, asyncio or
torch, so a rule can be checked with a pencil. Must not import anything but the standard library, records and errors.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

State = Any
Action = Any  # a JSON value: str, int, float, list or dict of these
Phase = Literal["message", "decision"]  # talk, or what the points depend on


@dataclass(frozen=True, slots=True)
class Observation:
    """What one player is told now.

    ``text`` is what is new since the player was last told something, for a model or a person ("" for nothing new). ``view``
    is the same information as a small frozen dataclass, for scripts. ``pattern`` is the regular expression that an answer must
    match; ``choices`` lists every valid answer where they are few (then the pattern is their alternation).

    ``phase`` tells talk from decisions, and ``topic`` names the question where a round has several decisions ("contribution").
    ``budget``, where numbers are asked for, is the most that they may add up to without their signs; no pattern says so. ``form``
    turns what a person types into an answer, one ``{}`` for each thing to fill in, and ``help`` says in one sentence what to type.
    """

    text: str
    view: Any
    pattern: str
    choices: tuple[str, ...] = ()
    phase: Phase = "decision"
    form: str = "{}"
    help: str = ""
    topic: str = ""
    budget: int | None = None

    @property
    def listed(self) -> str:
        """The choices, one after the other; where they have commas themselves, semicolons keep them apart."""
        return ("; " if any("," in choice for choice in self.choices) else ", ").join(self.choices)

    def accepts(self, text: str) -> bool:
        """Whether the text has the form of an answer and keeps the budget."""
        if re.fullmatch(self.pattern, text) is None:
            return False
        return self.budget is None or sum(abs(int(number)) for number in re.findall(r"-?\d+", text)) <= self.budget


@dataclass(frozen=True, slots=True)
class Step:
    """What ``step`` returns: the next state, one reward per player when a round ends (else None), and facts for the record.

    Where chance changes actions, ``info["played"]`` holds what was played, one action per player; by topic where a
    round has several.
    """

    state: State
    rewards: tuple[float, ...] | None = None
    done: bool = False
    info: dict[str, Any] = field(default_factory=dict)


class Game(Protocol):
    """The rules. Implementations are frozen dataclasses whose fields are the parameters, all of them JSON values.

    Four more members are optional; ``contract.check_game`` uses them where they exist. ``symmetric`` (bool) promises that
    players who trade seats trade rewards; where it is False, ``roles`` may name the seats, ("investor", "trustee").
    ``resample(state, player, rng)`` returns a state that the player cannot tell from this one: what is hidden from it is drawn
    afresh. Where the seed decides something for each seat, ``reseated(state, seats)`` returns the first state in which what was
    player p's belongs to ``seats[p]``: then players who trade seats and luck trade rewards.
    """

    @property
    def name(self) -> str: ...

    @property
    def num_players(self) -> int: ...

    @property
    def reward_bounds(self) -> tuple[float, float]:
        """The minimum and the maximum reward that a player can get in one round."""
        ...

    def reset(self, rng: random.Random) -> State:
        """The first state. Everything random comes from rng, the horizon too."""
        ...

    def to_act(self, state: State) -> tuple[int, ...]:
        """Who answers now: (0, 1) at once, (0,) when only player 0 speaks."""
        ...

    def observe(self, state: State, player: int) -> Observation:
        """What the player is told in this state, acting or waiting."""
        ...

    def parse(self, state: State, player: int, text: str) -> Action | None:
        """The action that an answer means; None is invalid, and nothing is guessed."""
        ...

    def default_action(self, state: State, player: int) -> Action:
        """Played for an invalid answer, which is counted."""
        ...

    def step(self, state: State, actions: Mapping[int, Action]) -> Step:
        """Apply one action for each player in ``to_act(state)``."""
        ...

    def parameters(self) -> dict[str, Any]:
        """What makes this game again: ``make(**game.parameters())`` equals the game, and it is JSON."""
        ...
