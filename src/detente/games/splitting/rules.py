"""Splitting games: every round something is dealt, the players may talk, then all of them ask for a share at once.

    deal ──> messages, in turn ──> asks, at once ──> points = units received x one's own values

``SplittingGame`` is what the games of this family share: whose turn it is, tags, parsing,
points. A game of the family says what is dealt, what players read, and (where it has another rule) what asks receive.
"""

from __future__ import annotations

import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from operator import mul
from typing import Any, ClassVar

from detente.errors import UserError, as_typed
from detente.games.base import Observation, Phase, Step
from detente.games.parameters import added, as_json, check_choice, check_count, check_horizon, draw_horizon
from detente.games.splitting.allocation import allocate
from detente.games.splitting.deals import Amounts, Deal, Known, Played, Seen, SplitState, SplitView, Values
from detente.games.splitting.words import TAGS, Wanted, number, times
from detente.games.talk import Talk, quoted
from detente.games.wordings import Wording, check_wording, choose, told

REVEAL = ("values", "asks", "points")


@dataclass(frozen=True, kw_only=True)
class SplittingGame(ABC):
    """What the splitting games share; two players.

    ``messages`` per player and round, of at most ``message_chars`` characters; ``tags`` is their style, and that of proposals.
    ``reveal`` names what both are told after a round: the values of both, the asks, the points. ``continuation`` None plays
    ``rounds`` rounds; else after each round the game goes on with that probability, at most ``max_rounds`` rounds in all.
    ``wording``: in which words the rules are told, 0 to 5, or ``any``, drawn from the game seed.
    """

    name: str
    items: tuple[str, ...]
    messages: int = 1
    message_chars: int = 500
    tags: str = "angle"
    reveal: tuple[str, ...] = REVEAL
    rounds: int = 10
    continuation: float | None = None
    max_rounds: int = 50
    wording: int | str = added(0)

    family: ClassVar[str] = "detente.games.splitting:FAMILY"
    num_players: ClassVar[int] = 2
    vocabulary: ClassVar[tuple[str, ...]] = ()  # the words that a truthful message chooses from; by default the items
    claim: ClassVar[str] = "{}"  # a sentence with such words in it
    told_asks: ClassVar[str] = "you asked for {}, the other player for {}"
    wordings: ClassVar[tuple[Wording, ...]] = ()
    exact: ClassVar[bool] = False  # whether there are points only if the asks add up to exactly the stock

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))
        object.__setattr__(self, "reveal", tuple(self.reveal))
        check_horizon(self.rounds, self.continuation, self.max_rounds)
        check_count("messages", self.messages, 0, 100)
        check_count("message_chars", self.message_chars, 1, 10_000)
        check_choice("tags", self.tags, TAGS)
        check_wording(self.wording)
        for word in self.reveal:
            check_choice("reveal", word, REVEAL)
        if not self.items or len(set(self.items)) < len(self.items) or any(not re.fullmatch("[a-z]+", i) for i in self.items):
            raise UserError(f"The items are different words in small letters, not {as_typed(self.items)}.")

    @property
    @abstractmethod
    def reward_bounds(self) -> tuple[float, float]:
        """The minimum and the maximum reward that a player can get in one round."""

    @abstractmethod
    def draw(self, rng: random.Random, previous: Deal | None) -> Deal:
        """The next deal."""

    def rules(self, wording: int = 0) -> str:
        """What a player is told before anything else."""
        present = {*self.parts(), *(("talk", "write") if self.messages else ())}
        return told(self.wordings[wording], self._facts() | self.facts(), present)

    @abstractmethod
    def facts(self) -> dict[str, object]:
        """What fills the gaps of the game's ``wordings``, beside the forms of answers and what is said of messages."""

    def parts(self) -> tuple[str, ...]:
        """The parts of its wordings that hold for these parameters, beside those on messages."""
        return ()

    def _facts(self) -> dict[str, object]:
        return {
            "message": self._form("message", "..."),
            "messages": self.messages,
            "times": times(self.messages),
            "count": f"{self.messages} message{'' if self.messages == 1 else 's'}",
            "chars": self.message_chars,
        }

    @abstractmethod
    def situation(self, deal: Deal, player: int) -> str:
        """What a player is told of the deal: all that it may know."""

    def outcome(self, deal: Deal, played: Played, player: int) -> str:
        """What a player is told of the last round."""
        other = 1 - player
        parts = []
        if "values" in self.reveal:
            parts.append(f"the other player valued {self._worth(deal.values[other])}")
        if "asks" in self.reveal:
            own, theirs = self._list(*played.asks[player]), self._list(*played.asks[other])
            parts.append(self.told_asks.format(own, theirs))
        if "points" in self.reveal:
            parts.append(f"you got {number(played.points[player])} points, the other player {number(played.points[other])}")
        return f"Last round {'; '.join(parts)}." if parts else "A new round."

    def _worth(self, values: Amounts) -> str:
        return ", ".join(f"{item} {value}" for item, value in zip(self.items, values, strict=True))

    @abstractmethod
    def known(self, deal: Deal, player: int) -> Known:
        """The same as ``situation``, for scripts."""

    def award(self, deal: Deal, asks: Sequence[Amounts]) -> list[tuple[float, ...]]:
        """[player][item] units received: the splitting rule, item by item."""
        by_item = map(allocate, zip(*asks, strict=True), deal.stock)
        return list(zip(*by_item, strict=True))

    def parameters(self) -> dict[str, Any]:
        return as_json(self)

    def reset(self, rng: random.Random) -> SplitState:
        first = rng.randrange(2)
        deals: list[Deal] = []
        for _ in range(draw_horizon(rng, self.rounds, self.continuation, self.max_rounds)):
            deals.append(self.draw(rng, deals[-1] if deals else None))
        return SplitState(tuple(deals), first, wording=choose(self.wording, rng))

    def resample(self, state: SplitState, player: int, rng: random.Random) -> SplitState:
        """Draw afresh what the player cannot know: the hidden part of this deal, and all later deals."""
        deals = list(state.deals[: len(state.past)])
        for present in state.deals[len(state.past) :]:
            new = self.draw(rng, deals[-1] if deals else None)
            while len(deals) == len(state.past) and self.situation(new, player) != self.situation(present, player):
                new = self.draw(rng, deals[-1] if deals else None)
            deals.append(new)
        return replace(state, deals=tuple(deals))

    def to_act(self, state: SplitState) -> tuple[int, ...]:
        if len(state.past) == len(state.deals):
            return ()
        return (self._speaker(state),) if self._talking(state) else (0, 1)

    def _talking(self, state: SplitState) -> bool:
        return len(state.spoken) < 2 * self.messages

    def _speaker(self, state: SplitState, turn: int | None = None) -> int:
        """Who speaks at a turn of this round, by default the present one. The first speaker alternates."""
        return (state.first + len(state.past) + (len(state.spoken) if turn is None else turn)) % 2

    def observe(self, state: SplitState, player: int) -> Observation:
        phase: Phase = "message" if self._talking(state) else "decision"
        wanted = self._wanted(state.deal.stock, phase)
        news, question = self._news(state, player), self._question(state, player)
        return Observation(
            f"{news}\n{question}" if news and question else news or question,
            self._view(state, player, phase),
            wanted.pattern.pattern,
            (),
            phase,
            wanted.form,
            wanted.help,
        )

    def _news(self, state: SplitState, player: int) -> str:
        if state.spoken:
            if self._speaker(state, len(state.spoken) - 1) == player:
                return ""
            said = state.spoken[-1]
            return f"The other player says: {quoted(said)}" if said else "The other player says nothing."
        before = (
            self.outcome(state.deals[len(state.past) - 1], state.past[-1], player) if state.past else self._rules(state.wording)
        )
        return f"{before}\n{self.situation(state.deal, player)}"

    @cached_property
    def _rules(self) -> Callable[[int], str]:
        return cache(self.rules)

    def _question(self, state: SplitState, player: int) -> str:
        if not self._talking(state):
            return "Your proposal?"
        if self._speaker(state) != player:
            return "" if state.spoken else "The other player speaks first."
        return "Your message?" if state.spoken else "You speak first. Your message?"

    def _view(self, state: SplitState, player: int, phase: Phase) -> SplitView:
        own = (player - self._speaker(state, 0)) % 2  # its first turn to speak in this round
        return SplitView(
            player=player,
            phase=phase,
            items=self.items,
            stock=state.deal.stock,
            known=self.known(state.deal, player),
            truth=state.deal.truth[player],
            vocabulary=self.vocabulary or self.items,
            claim=self.claim,
            said=state.spoken[own::2],
            heard=state.spoken[1 - own :: 2],
            past=tuple([played.seen[player] for played in state.past]),
            forms=self._forms,
            exact=self.exact,
        )

    def _seen(self, deal: Deal, asks: Sequence[Amounts], player: int) -> Seen:
        revealed = "values" in self.reveal
        values = Values(deal.values[player], deal.values[1 - player]) if revealed else self.known(deal, player).values
        return Seen(deal.stock, values, asks[player], asks[1 - player] if "asks" in self.reveal else None)

    @cached_property
    def _forms(self) -> Mapping[str, str]:
        return {"message": self._form("message", "{}"), "decision": self._form("proposal", self._list("{}"))}

    @cached_property
    def _talk(self) -> Talk:
        return Talk(self.message_chars, TAGS[self.tags]["message"])

    def _form(self, answer: str, inside: str) -> str:
        """A "message" or a "proposal" with its tags around it."""
        before, after = TAGS[self.tags][answer]
        return f"{before} {inside} {after}".strip()

    def _list(self, *amounts: object) -> str:
        """``7`` for the only item; else ``10 hats, 0 books, 5 balls``; one amount stands for all."""
        if len(self.items) == 1:
            return str(amounts[0])
        by_item = amounts if len(amounts) == len(self.items) else amounts * len(self.items)
        return ", ".join(f"{amount} {item}" for amount, item in zip(by_item, self.items, strict=True))

    @cached_property
    def _wanted(self) -> Callable[[Amounts, Phase], Wanted]:
        """What an answer must look like with a stock in a phase; made once."""

        def wanted(stock: Amounts, phase: Phase) -> Wanted:
            return Wanted(re.compile(self._pattern(stock, phase)), self._forms[phase], self._help(stock, phase))

        return lru_cache(256)(wanted)

    def _pattern(self, stock: Amounts, phase: Phase) -> str:
        if phase == "message":
            return self._talk.pattern.pattern
        numbers = ["(" + "|".join(map(str, range(q, -1, -1))) + ")" for q in stock]
        before, after = (re.escape(tag) for tag in TAGS[self.tags]["proposal"])
        return f"{before} {self._list(*numbers)} {after}".strip()

    def _help(self, stock: Amounts, phase: Phase) -> str:
        if phase == "message":
            return self._talk.help
        if len(self.items) == 1:
            return f"Type how many {self.items[0]} you ask for: a whole number from 0 to {stock[0]}."
        most = self._list(*stock)
        return f"Type how many {', '.join(self.items)} you ask for, as {len(stock)} whole numbers, at most {most}."

    def parse(self, state: SplitState, player: int, text: str) -> str | dict[str, int] | None:
        """A message as one line of text, an ask as item -> units."""
        if self._talking(state):
            return self._talk.parse(text)
        match = self._wanted(state.deal.stock, "decision").pattern.fullmatch(text.strip())
        if match is None:
            return None
        return {item: int(units) for item, units in zip(self.items, match.groups(), strict=True)}

    def default_action(self, state: SplitState, player: int) -> str | dict[str, int]:
        """Silence, and an ask for nothing."""
        return "" if self._talking(state) else dict.fromkeys(self.items, 0)

    def step(self, state: SplitState, actions: Mapping[int, Any]) -> Step:
        if self._talking(state):
            spoken = (*state.spoken, actions[self._speaker(state)])
            return Step(SplitState(state.deals, state.first, spoken, state.past, state.wording))
        deal = state.deal
        asks = tuple([tuple([actions[player][item] for item in self.items]) for player in (0, 1)])
        received = self.award(deal, asks)
        points = tuple([sum(map(mul, units, worth)) for units, worth in zip(received, deal.values, strict=True)])
        seen = (self._seen(deal, asks, 0), self._seen(deal, asks, 1))
        after = SplitState(state.deals, state.first, (), (*state.past, Played(asks, points, seen)), state.wording)
        info = {
            "stock": list(deal.stock),
            "values": [list(worth) for worth in deal.values],
            "received": [list(units) for units in received],
            "truth": [list(words) for words in deal.truth],
        }
        return Step(after, points, done=len(after.past) == len(after.deals), info=info)
