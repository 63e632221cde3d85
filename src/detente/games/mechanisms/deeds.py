"""What a player did in the game inside a mechanism: in words that others can be told, and whether it was cooperative.

    decision ── choices, or its value ──> Deed (what was done, did it cooperate?) ──> "<A>", under the labels of another seed

An action cooperates if it is what the cooperating script of the game's family would do there. Must not import anything above games.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detente.games.base import Action, Game, Observation, State, Step
from detente.games.family import Strategy, family_of


@dataclass(frozen=True, slots=True)
class Deed:
    """A decision: the ``place`` of the answer in the list of choices (None: there is no list), the answer's ``value`` as text, and
    whether it ``cooperated`` (None: nobody can say)."""

    place: int | None
    value: str
    cooperated: bool | None

    def told(self, choices: Sequence[str]) -> str:
        """What was done, as one would answer it now."""
        return self.value if self.place is None or self.place >= len(choices) else choices[self.place]


def deed(game: Game, state: State, seat: int, action: Action) -> Deed:
    """What a decision in this state was."""
    observation = game.observe(state, seat)
    place = chosen(game, state, seat, action, observation)
    value = observation.choices[place] if place is not None else _text(action)
    due = scripted_action(game, state, seat, observation, family_of(game).cooperator(game))
    return Deed(place, value, None if due is None else action == due)


def chosen(game: Game, state: State, seat: int, action: Action, observation: Observation) -> int | None:
    """The place of an action in the list of choices; None where there is none."""
    return next((i for i, text in enumerate(observation.choices) if game.parse(state, seat, text) == action), None)


def scripted_action(game: Game, state: State, seat: int, observation: Observation, name: str | None) -> Action | None:
    """What the script of that name does in a state; None where there is none, or its answer is none."""
    strategies = family_of(game).strategies
    if name is None or name not in strategies:
        return None
    return game.parse(state, seat, scripted_answer(strategies[name], observation))


def scripted_answer(strategy: Strategy, observation: Observation) -> str:
    """The answer of a script that draws nothing: the likeliest one."""
    said = strategy(observation.view, random.Random(0))
    return said if isinstance(said, str) else observation.choices[max(range(len(said)), key=said.__getitem__)]


def played_by(step: Step, actions: Mapping[int, Action]) -> dict[int, Action]:
    """What those who acted have done: what the game says was played, where chance or a mediator acts, else what they chose."""
    played = step.info.get("played", step.info.get("done"))
    if isinstance(played, Mapping) and len(played) == 1:
        (played,) = played.values()
    return {seat: played[seat] for seat in actions} if isinstance(played, list | tuple) else dict(actions)


def _text(action: Any) -> str:
    return action if isinstance(action, str) else json.dumps(action).strip("[]{}").replace('"', "")
