"""Bargaining over a price with private values: a seller's cost and a buyer's value, talk, and two prices named at once.

    cost, value ── messages, in turn ──> prices, at once ── bid >= ask? ──> sold at the mean of both, or nothing

The sealed-bid double auction of Chatterjee and Samuelson, Bargaining under incomplete information (Operations Research, 1983), with
talk. Whatever is said binds nobody.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar

from detente.games.base import Observation, Phase, Step
from detente.games.parameters import MOST, Horizon, as_json, build, check_count, check_switch
from detente.games.splitting.words import number, times
from detente.games.talk import Talk, quoted
from detente.games.wordings import told, wordings

(WORDING,) = wordings("bilateral_trade", "bargaining")
SELLER, BUYER = 0, 1


@dataclass(frozen=True, slots=True)
class TradeState:
    """``worth``: [round] the seller's cost and the buyer's value. ``past``: [round] both prices. ``spoken``: in this round."""

    worth: tuple[tuple[int, int], ...]
    first: int  # who speaks first in round one; then they take turns
    spoken: tuple[str, ...] = ()
    past: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class TradeView:
    """What a script sees: its own cost or value, what was said in this round, and the prices of all earlier ones, its own first."""

    player: int
    phase: Phase
    highest: int
    own: int
    heard: tuple[str, ...]
    past: tuple[tuple[float, float], ...]

    def message(self, text: str) -> str:
        """The answer that says this."""
        return f"Message: {text}".strip()

    def claim(self, worth: float) -> str:
        """The answer that says that this is its cost or value."""
        return self.message(f"{'My cost' if self.player == SELLER else 'My value'} is {self._within(worth)}.")

    def price(self, price: float) -> str:
        """The answer that names this price, or the one next to it, to one decimal."""
        return f"Price: {self._within(price)}"

    def _within(self, amount: float) -> str:
        return number(min(float(self.highest), max(0.0, amount)))


@dataclass(frozen=True, kw_only=True)
class Bargaining(Horizon):
    """Cost and value are whole numbers from 0 to ``highest``. ``messages`` per player and round, of at most ``message_chars``.

    ``revealed``: whether both are told cost and value after a round, and not the prices alone.
    """

    name: str = "bargaining"
    highest: int = 100
    messages: int = 1
    message_chars: int = 500
    revealed: bool = True

    family: ClassVar[str] = "detente.games.bilateral_trade:FAMILY"
    num_players: ClassVar[int] = 2
    symmetric: ClassVar[bool] = False
    roles: ClassVar[tuple[str, str]] = ("seller", "buyer")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("highest", self.highest, 1, MOST)
        check_count("messages", self.messages, 0, 100)
        check_count("message_chars", self.message_chars, 1, 10_000)
        check_switch("revealed", self.revealed)

    @property
    def reward_bounds(self) -> tuple[float, float]:
        return -float(self.highest), float(self.highest)

    def parameters(self) -> dict[str, Any]:
        return as_json(self)

    def reset(self, rng: random.Random) -> TradeState:
        first = rng.randrange(2)
        return TradeState(tuple(self._draw(rng) for _ in range(self.draw_horizon(rng))), first)

    def _draw(self, rng: random.Random) -> tuple[int, int]:
        return rng.randint(0, self.highest), rng.randint(0, self.highest)

    def resample(self, state: TradeState, player: int, rng: random.Random) -> TradeState:
        """Draw afresh what the player cannot know: the other's cost or value of this round, of earlier ones too unless these were
        told, and all that comes later."""
        now = len(state.past)

        def fresh(round_: int, worth: tuple[int, int]) -> tuple[int, int]:
            if round_ < now and self.revealed:
                return worth
            cost, value = self._draw(rng)
            if round_ > now:
                return cost, value
            return (worth[SELLER], value) if player == SELLER else (cost, worth[BUYER])

        return replace(state, worth=tuple(fresh(round_, worth) for round_, worth in enumerate(state.worth)))

    def to_act(self, state: TradeState) -> tuple[int, ...]:
        if len(state.past) == len(state.worth):
            return ()
        return (self._speaker(state, len(state.spoken)),) if self._talking(state) else (SELLER, BUYER)

    def _talking(self, state: TradeState) -> bool:
        return len(state.spoken) < 2 * self.messages

    def _speaker(self, state: TradeState, turn: int) -> int:
        """Who speaks at a turn of this round."""
        return (state.first + len(state.past) + turn) % 2

    def observe(self, state: TradeState, player: int) -> Observation:
        talking = self._talking(state)
        phase: Phase = "message" if talking else "decision"
        now = len(state.past)
        view = TradeView(
            player=player,
            phase=phase,
            highest=self.highest,
            own=state.worth[now][player],
            heard=tuple(said for turn, said in enumerate(state.spoken) if self._speaker(state, turn) != player),
            past=tuple((prices[player], prices[1 - player]) for prices in state.past),
        )
        text = "\n".join(filter(None, (self._news(state, player), self._question(state, player))))
        topic = ("message" if talking else "price") if self.messages else ""
        if talking:
            return Observation(text, view, self._talk.pattern.pattern, (), phase, self._talk.form("{}"), self._talk.help, topic)
        help_ = f"Type a number from 0 to {self.highest}, with at most one decimal."
        return Observation(text, view, _priced(self.highest).pattern, (), phase, "Price: {}", help_, topic)

    @cached_property
    def _talk(self) -> Talk:
        return Talk(self.message_chars)

    def _news(self, state: TradeState, player: int) -> str:
        if state.spoken:
            if self._speaker(state, len(state.spoken) - 1) == player:
                return ""
            said = state.spoken[-1]
            return f"The {self.roles[1 - player]} says: {quoted(said)}" if said else f"The {self.roles[1 - player]} says nothing."
        first = f"{self.rules()}\nYou are the {self.roles[player]}."
        own = f"{'The cost' if player == SELLER else 'The value'} of this round is {state.worth[len(state.past)][player]}."
        return f"{self._outcome(state, player) if state.past else first}\n{own}"

    def _outcome(self, state: TradeState, player: int) -> str:
        ask, bid = state.past[-1]
        cost, value = state.worth[len(state.past) - 1]
        sold = f"sold for {number((ask + bid) / 2)}" if bid >= ask else "not sold"
        worth = f" The cost was {cost}, the value {value}." if self.revealed else ""
        return f"Last round the seller named {number(ask)}, the buyer {number(bid)}: {sold}.{worth}"

    def _question(self, state: TradeState, player: int) -> str:
        if not self._talking(state):
            return "Your price?"
        if self._speaker(state, len(state.spoken)) != player:
            return "" if state.spoken else f"The {self.roles[1 - player]} speaks first."
        return "Your message?" if state.spoken else "You speak first. Your message?"

    def rules(self) -> str:
        """What both players are told before anything else."""
        facts = {
            "highest": self.highest,
            "times": times(self.messages),
            "chars": self.message_chars,
            "message": self._talk.form("..."),
            "price": f"Price: {self.highest // 2}",
        }
        talk = ("talk", "write") if self.messages else ()
        return told(WORDING, facts, (*talk, *(("revealed",) if self.revealed else ())))

    def parse(self, state: TradeState, player: int, text: str) -> str | float | None:
        """A message as one line of text, a price as a number."""
        if self._talking(state):
            return self._talk.parse(text)
        match = _priced(self.highest).fullmatch(text.strip())
        return float(match[1]) if match else None

    def default_action(self, state: TradeState, player: int) -> str | float:
        """Silence, and the price at which nobody else trades: the highest ask, the lowest bid."""
        if self._talking(state):
            return ""
        return float(self.highest) if player == SELLER else 0.0

    def step(self, state: TradeState, actions: Mapping[int, Any]) -> Step:
        if self._talking(state):
            (said,) = actions.values()
            return Step(replace(state, spoken=(*state.spoken, said)))
        cost, value = state.worth[len(state.past)]
        ask, bid = actions[SELLER], actions[BUYER]
        price = (ask + bid) / 2
        rewards = (price - cost, value - price) if bid >= ask else (0.0, 0.0)
        past = (*state.past, (ask, bid))
        info = {"worth": [cost, value], "price": price if bid >= ask else None}
        return Step(replace(state, past=past, spoken=()), rewards, done=len(past) == len(state.worth), info=info)


@lru_cache(64)
def _priced(highest: int) -> re.Pattern[str]:
    """A price from 0 to the highest, with at most one decimal."""
    whole = "|".join(map(str, range(highest - 1, -1, -1)))
    return re.compile(f"Price: ({highest}(?:\\.0)?|(?:{whole})(?:\\.[0-9])?)")


def bargaining(**parameters: Any) -> Bargaining:
    """Bargaining: a seller's cost and a buyer's value are private, both talk and name a price (Chatterjee and Samuelson, 1983)."""
    return build(Bargaining, {}, parameters)
