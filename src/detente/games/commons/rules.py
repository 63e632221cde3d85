"""The commons: all take from one stock at once, and what is left grows back (after GovSim's fishery, Piatti et al., 2024).

    stock ── messages, at once ──> asks, at once ──> what each takes ──> what is left ── growth ──> next month's stock

Asks beyond the stock are scaled down in proportion. Once less than a minimum is left there is nothing to take any more: the months
that remain pass with asks for nothing, so that all episodes of a group have as many rounds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from detente.errors import UserError, as_typed
from detente.games.amounts import Amount, amount
from detente.games.base import Observation, Phase, Step
from detente.games.parameters import MOST, Horizon, as_json, build, check_count, check_share
from detente.games.splitting.allocation import allocate
from detente.games.splitting.words import number, times
from detente.games.talk import Talk, quoted
from detente.games.wordings import told, wordings

(WORDING,) = wordings("commons", "commons")


@dataclass(frozen=True, slots=True)
class Month:
    """What was asked for, as it was played, and taken of a stock, player by player."""

    stock: int
    asks: tuple[int, ...]
    taken: tuple[float, ...]
    left: float


@dataclass(frozen=True, slots=True)
class CommonsState:
    """``spoken``: what all have said this month, once for each time. ``slips``: [month][player] what replaces an ask, in [0, 1) of
    all the others that there are; None where nothing does, () without noise."""

    horizon: int
    stock: int
    past: tuple[Month, ...] = ()
    spoken: tuple[tuple[str, ...], ...] = ()
    slips: tuple[tuple[float | None, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class CommonsView:
    """What a script sees: the stock, how much of it each player can take so that it grows back (``share``), all that was done."""

    player: int
    phase: Phase
    stock: int
    capacity: int
    share: int
    past: tuple[Month, ...]

    items: ClassVar[tuple[str, ...]] = ("tons",)  # what the number of an ask counts

    def ask(self, units: int) -> str:
        """The answer that asks for so many units, or for all that there are."""
        return amount("Ask", range(self.stock + 1)).form(min(units, self.stock))

    def message(self, text: str) -> str:
        """The answer that says this."""
        return f"Message: {text}".strip()


@dataclass(frozen=True, kw_only=True)
class Commons(Horizon):
    """``players`` take from a stock of ``capacity`` units, which is the most that it can be and what it is at first.

    What is left after a round grows to ``growth`` times as much, rounded down; if less than ``minimum`` is left, to nothing.
    ``messages`` per player and round, all at once, of at most ``message_chars`` characters. ``noise``: the probability with which
    an ask is replaced by another one, all equally likely.
    """

    name: str = "commons"
    players: int = 5
    rounds: int = 12
    capacity: int = 100
    growth: float = 2.0
    minimum: int = 5
    messages: int = 0
    message_chars: int = 500
    noise: float = 0.0

    family: ClassVar[str] = "detente.games.commons:FAMILY"
    symmetric: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("players", self.players, 2, 20)
        check_count("capacity", self.capacity, 1, MOST)
        check_count("minimum", self.minimum, 1, self.capacity)
        check_count("messages", self.messages, 0, 10)
        check_count("message_chars", self.message_chars, 1, 10_000)
        check_share("noise", self.noise)
        if type(self.growth) not in (int, float) or not 1 <= self.growth <= 100:
            raise UserError(f"The option growth is a number from 1 to 100, not {as_typed(self.growth)}.")

    @property
    def num_players(self) -> int:
        return self.players

    @property
    def reward_bounds(self) -> tuple[float, float]:
        return 0.0, float(self.capacity)

    def parameters(self) -> dict[str, Any]:
        return as_json(self)

    def sustainable(self, stock: int) -> int:
        """The most that all together can take so that the stock is full again afterwards; 0 where it will not be."""
        return max(0, stock - max(self.minimum, math.ceil(self.capacity / self.growth)))

    def reset(self, rng: random.Random) -> CommonsState:
        horizon = self.draw_horizon(rng)
        months = range(horizon) if self.noise else ()
        slips = tuple(tuple(self._slip(rng) for _ in range(self.players)) for _ in months)
        return CommonsState(horizon, self.capacity, slips=slips)

    def _slip(self, rng: random.Random) -> float | None:
        slips, place = rng.random() < self.noise, rng.random()
        return place if slips else None

    def reseated(self, state: CommonsState, seats: Sequence[int]) -> CommonsState:
        """The state in which the slips of player p belong to the player on ``seats[p]``."""
        order = [seats.index(seat) for seat in range(self.players)]
        return replace(state, slips=tuple(tuple(month[player] for player in order) for month in state.slips))

    def to_act(self, state: CommonsState) -> tuple[int, ...]:
        return tuple(range(self.players)) if len(state.past) < state.horizon else ()

    def _talking(self, state: CommonsState) -> bool:
        return state.stock > 0 and len(state.spoken) < self.messages

    def observe(self, state: CommonsState, player: int) -> Observation:
        talking = self._talking(state)
        phase: Phase = "message" if talking else "decision"
        wanted: Talk | Amount = self._talk if talking else amount("Ask", range(state.stock + 1))
        question = "Your message?" if talking else "Your ask?"
        share = self.sustainable(state.stock) // self.players
        view = CommonsView(player, phase, state.stock, self.capacity, share, state.past)
        text = f"{self._news(state, player)}\n{question}"
        topic = ("message" if talking else "ask") if self.messages else ""
        return Observation(text, view, wanted.pattern.pattern, (), phase, wanted.form("{}"), wanted.help, topic)

    @cached_property
    def _talk(self) -> Talk:
        return Talk(self.message_chars)

    def _news(self, state: CommonsState, player: int) -> str:
        if state.spoken:
            said = [(seat, text) for seat, text in enumerate(state.spoken[-1]) if seat != player]
            return "\n".join(f"Player {seat + 1} says{f': {quoted(text)}' if text else ' nothing.'}" for seat, text in said)
        if not state.past:
            return f"{self.rules()}\nYou are player {player + 1}."
        last = state.past[-1]
        others = ", ".join(f"player {seat + 1} {number(units)}" for seat, units in enumerate(last.taken) if seat != player)
        now = f"The lake holds {state.stock} tons now." if state.stock else "There are no fish any more: the lake holds 0 tons."
        return f"Last month you caught {number(last.taken[player])} tons; {others}. {number(last.left)} tons were left. {now}"

    def rules(self) -> str:
        """What every player is told before anything else."""
        facts = {
            "others": f"{self.players - 1} other players" if self.players > 2 else "another player",
            "capacity": self.capacity,
            "growth": f"{self.growth:g}",
            "minimum": self.minimum,
            "ask": amount("Ask", range(2)).form(7),
            "noise": f"{self.noise:g}",
            "times": times(self.messages),
            "chars": self.message_chars,
            "message": self._talk.form("..."),
        }
        parts = {"slips": self.noise, "talk": self.messages}
        return told(WORDING, facts, [part for part, present in parts.items() if present])

    def parse(self, state: CommonsState, player: int, text: str) -> str | int | None:
        """A message as one line of text, an ask as a number."""
        return self._talk.parse(text) if self._talking(state) else amount("Ask", range(state.stock + 1)).parse(text)

    def default_action(self, state: CommonsState, player: int) -> str | int:
        """Silence, and an ask for nothing."""
        return "" if self._talking(state) else 0

    def step(self, state: CommonsState, actions: Mapping[int, Any]) -> Step:
        chosen = tuple(actions[player] for player in range(self.players))
        if self._talking(state):
            return Step(replace(state, spoken=(*state.spoken, chosen)))
        asks = tuple(self._played(state, player, ask) for player, ask in enumerate(chosen))
        taken = allocate(asks, state.stock)
        left = max(0, state.stock - sum(asks))
        grown = min(self.capacity, math.floor(self.growth * left)) if left >= self.minimum else 0
        past = (*state.past, Month(state.stock, asks, taken, left))
        info = {"stock": state.stock, "share": self.sustainable(state.stock) // self.players, "left": left}
        slips = {"played": list(asks)} if self.noise else {}
        return Step(replace(state, stock=grown, past=past, spoken=()), taken, done=len(past) == state.horizon, info=info | slips)

    def _played(self, state: CommonsState, player: int, ask: int) -> int:
        place = state.slips[len(state.past)][player] if state.slips else None
        return ask if place is None or not state.stock else (ask + 1 + int(place * state.stock)) % (state.stock + 1)


def commons(**parameters: Any) -> Commons:
    """The commons: five players fish in one lake, and what they leave doubles every month (after Piatti et al., 2024)."""
    return build(Commons, {}, parameters)
