"""The public goods game, with and without institutions that may punish and reward, for any number of players.

    institution, at once ──> contribution, at once ──> sanctions, by the members of the one institution that has them ──> points

Whoever keeps its coins earns more than whoever gives, and all earn more where all give. After Gürerk, Irlenbusch and Rockenbach,
The competitive advantage of sanctioning institutions, Science 2006, as language models play it. Prompts call the institutions
<A> and <B>; ``counterbalance`` draws from the game seed which label stands for which and in which order they are told.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from detente.games.base import Action, Observation, Step
from detente.games.parameters import as_json, build, draw_horizon
from detente.games.public_goods.asking import form, observation
from detente.games.public_goods.points import punished, rewarded
from detente.games.public_goods.rounds import FREE, INSTITUTIONS, SANCTIONING, GroupState, Played, Row, trade_seats
from detente.games.public_goods.terms import Terms


@dataclass(frozen=True, kw_only=True)
class PublicGoods(Terms):
    """A public goods game; see ``Terms`` for its parameters.

    An invalid answer joins the institution without sanctions, gives nothing, or sends nothing.
    """

    family: ClassVar[str] = "detente.games.public_goods:FAMILY"
    symmetric: ClassVar[bool] = True

    def parameters(self) -> dict[str, Any]:
        return as_json(self)

    def reset(self, rng: random.Random) -> GroupState:
        labels, listing = list(self.labels), [0, 1]
        if self.counterbalance:
            rng.shuffle(labels)
            rng.shuffle(listing)
        horizon = draw_horizon(rng, self.rounds, self.continuation, self.max_rounds)
        orders = tuple(self._order(rng) for _ in range(horizon))
        slips = tuple(self._slips(rng) for _ in range(horizon)) if self.noise else ()
        return GroupState(horizon, tuple(labels), tuple(listing), orders, slips, self.unchosen)

    def _order(self, rng: random.Random) -> tuple[int, ...]:
        return tuple(rng.sample(range(self.players), self.players))

    def _slips(self, rng: random.Random) -> tuple[int | None, ...]:
        return tuple(rng.choice(self.steps) if rng.random() < self.noise else None for _ in range(self.players))

    def reseated(self, state: GroupState, seats: Sequence[int]) -> GroupState:
        """The first state in which what the seed decided for player p belongs to ``seats[p]``."""
        orders = tuple(tuple(seats[player] for player in order) for order in state.orders)
        return replace(state, orders=orders, slips=tuple(trade_seats(slips, seats) for slips in state.slips))

    def resample(self, state: GroupState, player: int, rng: random.Random) -> GroupState:
        """Who of the others is who, apart in every round; what members of another institution gave; and all that is to come."""
        now, seats = len(state.past), self._mixed(player, rng)
        institutions = trade_seats(state.institutions, seats) if state.institutions else ()
        given = trade_seats(state.contributions, seats) if state.contributions else ()
        contributions = tuple(
            level if institutions[other] == institutions[player] else rng.choice(self.steps) for other, level in enumerate(given)
        )
        horizon = max(now + 1, draw_horizon(rng, self.rounds, self.continuation, self.max_rounds))
        order = tuple(seats[other] for other in state.order)
        return replace(
            state,
            horizon=horizon,
            orders=(*state.orders[:now], order, *(self._order(rng) for _ in range(now + 1, horizon))),
            slips=(*state.slips[:now], *(self._slips(rng) for _ in range(now, horizon))) if self.noise else (),
            institutions=institutions,
            contributions=contributions,
            past=tuple(played.mixed(self._mixed(player, rng)) for played in state.past),
        )

    def _mixed(self, player: int, rng: random.Random) -> list[int]:
        """New seats for all players but one."""
        others = [other for other in range(self.players) if other != player]
        moved = dict(zip(others, rng.sample(others, len(others)), strict=True))
        return [moved.get(seat, seat) for seat in range(self.players)]

    def to_act(self, state: GroupState) -> tuple[int, ...]:
        if len(state.past) == state.horizon:
            return ()
        return _sanctioning(state) if state.topic == "sanctions" else tuple(range(self.players))

    def observe(self, state: GroupState, player: int) -> Observation:
        return observation(self, state, player)

    def parse(self, state: GroupState, player: int, text: str) -> Action | None:
        """An institution as its name, a contribution as a number, sanctions as a list of tokens in the order told."""
        asked, text = form(self, state, player), text.strip()
        if not asked.accepts(text):
            return None
        if asked.topic == "institution":
            return INSTITUTIONS[asked.choices.index(text)]
        numbers = [int(number) for number in re.findall(r"-?\d+", text)]
        return numbers if asked.topic == "sanctions" else numbers[0]

    def default_action(self, state: GroupState, player: int) -> Action:
        if state.topic == "institution":
            return FREE
        return 0 if state.topic == "contribution" else [0] * len(state.fellows(player))

    def step(self, state: GroupState, actions: Mapping[int, Any]) -> Step:
        if state.topic == "institution":
            return Step(replace(state, institutions=tuple(actions[player] for player in range(self.players))))
        if state.topic == "sanctions":
            return self._finished(state, actions)
        after = replace(state, contributions=tuple(self._given(state, player, actions[player]) for player in range(self.players)))
        return Step(after) if _sanctioning(after) else self._finished(after, {})

    def _given(self, state: GroupState, player: int, chosen: int) -> int:
        slip = state.slips[len(state.past)][player] if state.slips else None
        return chosen if slip is None else slip

    def _finished(self, state: GroupState, actions: Mapping[int, Sequence[int]]) -> Step:
        """The end of a round in which these tokens were sent, each player's in the order in which it was told of the others."""
        sent = self._sent(state, actions)
        received = list(zip(*sent, strict=True))
        first, second = self.stakes.first(state.institutions, state.contributions), self.stakes.second(sent)
        rows = tuple(
            Row(institution, given, rewarded(tokens), punished(tokens), *points)
            for institution, given, tokens, *points in zip(
                state.institutions, state.contributions, received, first, second, strict=True
            )
        )
        past = (*state.past, Played(rows, state.order))
        info: dict[str, Any] = {"contributions": [*state.contributions]}
        if self.institutions:
            info |= {"institutions": [*state.institutions], "tokens": [[*row] for row in sent], "stages": [first, second]}
        if self.noise:
            info["played"] = {"contribution": [*state.contributions]}
        after = replace(state, institutions=self.unchosen, contributions=(), past=past)
        return Step(after, tuple(row.points for row in rows), done=len(past) == state.horizon, info=info)

    def _sent(self, state: GroupState, actions: Mapping[int, Sequence[int]]) -> tuple[tuple[int, ...], ...]:
        """[from][to] the tokens by seat."""
        by_seat = {player: dict(zip(state.fellows(player), tokens, strict=True)) for player, tokens in actions.items()}
        seats = range(self.players)
        return tuple(tuple(by_seat.get(player, {}).get(other, 0) for other in seats) for player in seats)


def _sanctioning(state: GroupState) -> tuple[int, ...]:
    """Who may send tokens: the members of the institution with sanctions, if there are several."""
    members = tuple(player for player, institution in enumerate(state.institutions) if institution == SANCTIONING)
    return members if len(members) > 1 else ()


def public_goods(**parameters: Any) -> PublicGoods:
    """Public goods: giving is best for all and keeping is best for oneself; n players, with sanctions or without."""
    return build(PublicGoods, {}, parameters)
