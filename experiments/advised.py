"""When to ask for help that has a price: a game around a game (after ReHAC, Feng et al., 2024).

    python experiments/advised.py tasks      # tabular: when to ask in tasks of three steps; seconds
    python experiments/advised.py ipd        # pocket in the prisoner's dilemma, a run for each price; goes on where it stopped
    detente train ipd game.name=experiments.advised:advised game.helper=tit_for_tat game.price=0.3 'seats=[main,tit_for_tat]'

In each of its decisions one seat may answer ``<ask>``: then the helper, a script, decides for it, and a round in which it asked
pays it ``price`` less. With ``rate`` chance asks in its place, so often. asking.py, beside it, learns and compares.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from detente.errors import UserError
from detente.games import Family, Measure, Observation, Step, family_of, make
from detente.games.base import Action, Game
from detente.games.family import any_choice, seats_for
from detente.games.roles import seat_name
from detente.games.sides import Scalars, Side, Tables, carried_out
from detente.players.scripted import checked, scripted
from detente.records import Episode, Round
from detente.seeding import stream

NAME = "experiments.advised:advised"
OFFER = (
    "In every decision you may also answer {ask}. Then a helper decides for you, and you get {price:g} points less in this round."
)
ASKED = Measure("asked", "the share of a player's decisions in which the helper decided", head="asks", bounds=(0, 1))


@dataclass(frozen=True)
class State:
    """``done``: (topic, player, action) of all that was done in this round; ``asks``: how often was asked in it."""

    inner: Any
    seed: int
    steps: int = 0
    done: tuple[tuple[str, int, Action], ...] = ()
    asks: int = 0


@dataclass(frozen=True)
class Advised:
    """The game ``of`` with a helper for one seat. ``rate`` None: the seat asks by itself, with the word ``ask``."""

    of: Game
    helper: str = "tit_for_tat"
    price: float = 0.0
    seat: int = 0
    rate: float | None = None
    ask: str = "<ask>"

    name = NAME
    symmetric = False

    def __post_init__(self) -> None:
        if self.seat not in seats_for(self.of, checked(self.helper, self.of)):
            raise UserError(
                f"seat is one of {self.of.name} that the helper '{self.helper}' can play, counted from 0, not {self.seat}."
            )
        if not (0 <= self.price < math.inf and 0 <= (self.rate or 0) <= 1 and self.ask.strip("<>").isalnum()):
            wrong = f"{self.price}, {self.rate} and '{self.ask}'"
            raise UserError(f"price is 0 or more, rate null or from 0 to 1, and ask a word such as <ask>, not {wrong}.")
        if self.of.parse(self.of.reset(random.Random(0)), self.seat, self.ask) is not None:
            raise UserError(f"'{self.ask}' is an answer of {self.of.name} itself; name another word as ask.")

    @property
    def num_players(self) -> int:
        return self.of.num_players

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(seat_name(self.of, seat) for seat in range(self.num_players))

    @property
    def reward_bounds(self) -> tuple[float, float]:
        return self.of.reward_bounds[0] - self.price, self.of.reward_bounds[1]

    @cached_property
    def family(self) -> Family:
        return around(family_of(self.of))

    def parameters(self) -> dict[str, Any]:
        return {"name": NAME} | {key: getattr(self, key) for key in Advised.__annotations__} | {"of": self.of.parameters()}

    def reset(self, rng: random.Random) -> State:
        return State(self.of.reset(rng), rng.getrandbits(64))

    def to_act(self, state: State) -> tuple[int, ...]:
        return self.of.to_act(state.inner)

    def observe(self, state: State, player: int) -> Observation:
        seen = self.of.observe(state.inner, player)
        if player != self.seat or self.rate is not None:
            return seen
        if state.steps == 0:
            seen = replace(seen, text=f"{seen.text}\n{OFFER.format(ask=self.ask, price=self.price)}")
        if seen.phase != "decision":
            return seen
        choices = (*seen.choices, self.ask) if seen.choices else ()
        return replace(seen, pattern=f"(?:{seen.pattern})|{self.ask}", choices=choices)

    def parse(self, state: State, player: int, text: str) -> Action | None:
        asks = text.strip() == self.ask and self.ask in self.observe(state, player).pattern
        return self.ask if asks else self.of.parse(state.inner, player, text)

    def default_action(self, state: State, player: int) -> Action:
        return self.of.default_action(state.inner, player)

    def step(self, state: State, actions: Mapping[int, Action]) -> Step:
        own, topic = dict(actions), self.of.observe(state.inner, min(actions, default=0)).topic
        asks = state.asks + (asked := self._asked(state, own))
        if asked:
            own[self.seat] = self._advice(state)
        step = self.of.step(state.inner, own)
        done = (*state.done, *((topic, player, action) for player, action in sorted(own.items())))
        if step.rewards is None:
            return replace(step, state=State(step.state, state.seed, state.steps + 1, done, asks))
        rewards = tuple(points - self.price * (asks > 0 and p == self.seat) for p, points in enumerate(step.rewards))
        played: dict[str, list[Action]] = {topic: [None] * self.num_players for topic, _, _ in done}
        for name, player, action in done:
            played[name][player] = action
        info = {"played": played if len(played) > 1 else played[topic], **step.info, "asks": asks}
        return Step(State(step.state, state.seed, state.steps + 1), rewards, step.done, info)

    def _asked(self, state: State, actions: Mapping[int, Action]) -> bool:
        if self.rate is None or self.of.observe(state.inner, self.seat).phase != "decision":
            return actions.get(self.seat) == self.ask
        return self.seat in actions and stream(state.seed, "asks", state.steps).random() < self.rate

    def _advice(self, state: State) -> Action:
        """What the helper does in the seat's place."""
        observation, rng = self.of.observe(state.inner, self.seat), stream(state.seed, "helper", state.steps)
        strategy = scripted(self.helper, 0, self.of).strategy
        said = any_choice(observation) if strategy is None else strategy(observation.view, rng)
        action = self.of.parse(state.inner, self.seat, said if isinstance(said, str) else rng.choices(observation.choices, said)[0])
        return self.default_action(state, self.seat) if action is None else action


def advised(of: Any = "ipd", **given: Any) -> Advised:
    """The game ``of``, its name or with parameters, with a helper; what else is ``given`` belongs to the game inside."""
    own = {key: value for key, value in given.items() if key in Advised.__annotations__}
    inside = {key: value for key, value in given.items() if key not in own}
    return Advised(make(**inside | ({"name": of} if isinstance(of, str) else dict(of))), **own)


def around(inner: Family) -> Family:
    """What is known of the game inside, measured on what was carried out, and how often the helper decided."""

    def measure(game: Advised, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
        scalars, tables = inner.measure(game.of, [(as_played(episode), player) for episode, player in sides])
        own = [episode for episode, player in sides if player == game.seat]
        decisions = sum(turn.phase == "decision" for episode in own for turn in episode.turns(game.seat))
        asks = sum(played.info["asks"] for episode in own for played in episode.rounds)
        return scalars | {"asked": asks / decisions if decisions else None}, tables

    return Family(
        name="advised",
        strategies=inner.strategies,
        can_play=lambda game, name: inner.can_play(game.of, name),
        seats=lambda game, name: inner.seats(game.of, name),
        measures=(*inner.measures, ASKED),
        measure=measure,
    )


def as_played(episode: Episode) -> Episode:
    """The episode with what was carried out in place of what was answered."""

    def turned(played: Round) -> Round:
        turns = [
            replace(t, action=carried_out(played, t), completion=replace(t.completion, probabilities=())) for t in played.turns
        ]
        return replace(played, turns=tuple(turns))

    return replace(episode, rounds=tuple(map(turned, episode.rounds)))


if __name__ == "__main__":
    from asking import main  # beside this file

    sys.exit(main())
