"""A game that is played again and again by a population: with the same partners, or with others every time.

    orders (from the seed) ── groups of this play ──> each plays the game inside ── all are paid ──> a round ──> ... ──> next play

All groups of a play have the same seed of the game inside, so that they share their luck and end together. A play has as many
rounds as the game inside; its rounds are the rounds of the whole.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from detente.games.base import Action, Game, Observation, State, Step
from detente.games.family import Strategy, family_of
from detente.games.mechanisms import strategies
from detente.games.mechanisms.around import Around, check_players
from detente.games.mechanisms.deeds import Deed, deed, played_by
from detente.games.mechanisms.views import TOPICS, MechanismView
from detente.games.parameters import Horizon, check_count

MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Group:
    """The players on the seats of one game inside: its state, what they decided in this round, and what ended the round (None: it
    goes on)."""

    players: tuple[int, ...]
    state: State
    deeds: tuple[tuple[int, Deed], ...] = ()  # seat and decision
    paid: Step | None = None

    def done_by(self, seat: int) -> tuple[Deed, ...]:
        """What the player on a seat has decided."""
        return tuple(decision for own, decision in self.deeds if own == seat)


@dataclass(frozen=True, slots=True)
class Past:
    """A round that is over: who was together, and by player what it did and got."""

    groups: tuple[tuple[int, ...], ...]
    deeds: tuple[tuple[Deed, ...], ...]
    points: tuple[float, ...]

    def partners(self, player: int) -> list[int]:
        """Who was in the player's group."""
        (group,) = [group for group in self.groups if player in group]
        return [other for other in group if other != player]

    def cooperated(self, player: int) -> bool | None:
        """Whether all that the player decided was cooperative; None where nobody can say."""
        known = [decision.cooperated for decision in self.deeds[player]]
        return None if not known or None in known else all(known)


@dataclass(frozen=True, slots=True)
class MeetingsState:
    """``seeds`` and ``orders`` by play; an order lists the players, group by group. ``begun``: this play has had an answer."""

    seeds: tuple[int, ...]
    orders: tuple[tuple[int, ...], ...]
    groups: tuple[Group, ...]
    play: int = 0
    begun: bool = False
    past: tuple[Past, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Meetings(Around, Horizon):
    """The game ``of`` is played ``rounds`` times, or with ``continuation`` after each time another time with that probability, at
    most ``max_rounds`` times. ``look_back``: how many of the last rounds players are told of."""

    of: Game
    name: str = ""
    look_back: int = 3

    topics: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_players(self)
        check_count("look_back", self.look_back, 0, MOST_SHOWN)

    def strategies(self) -> Mapping[str, Strategy]:
        """The scripts that use this mechanism."""
        return strategies.MEETINGS

    # ---- what the two mechanisms differ in

    def order(self, rng: random.Random) -> tuple[int, ...]:
        """The players of a play, group by group."""
        raise NotImplementedError

    def introduction(self) -> str:
        """What is said of the mechanism before the rules of the game inside."""
        raise NotImplementedError

    def told_of(self, past: Sequence[Past], player: int, partners: Sequence[int], choices: Sequence[str]) -> str:
        """What the player is told of the rounds before; one line or several."""
        raise NotImplementedError

    # ---- rules

    @property
    def reward_bounds(self) -> tuple[float, float]:
        return self.of.reward_bounds

    def reset(self, rng: random.Random) -> MeetingsState:
        plays = self.draw_horizon(rng)
        seeds = tuple(rng.getrandbits(53) for _ in range(plays))
        return self._begin(seeds, tuple(self.order(rng) for _ in range(plays)), 0, ())

    def _begin(
        self, seeds: tuple[int, ...], orders: tuple[tuple[int, ...], ...], play: int, past: tuple[Past, ...]
    ) -> MeetingsState:
        size = self.of.num_players
        parts = [orders[play][at : at + size] for at in range(0, self.num_players, size)]
        groups = tuple(Group(part, self.inside.reset(random.Random(seeds[play]))) for part in parts)
        return MeetingsState(seeds, orders, groups, play, past=past)

    def reseated(self, state: MeetingsState, seats: Sequence[int]) -> MeetingsState:
        """The first state in which the places of player p belong to ``seats[p]``."""
        orders = tuple(tuple(seats[player] for player in order) for order in state.orders)
        return self._begin(state.seeds, orders, 0, ())

    def to_act(self, state: MeetingsState) -> tuple[int, ...]:
        waiting = (group for group in state.groups if group.paid is None)
        return tuple(sorted(group.players[seat] for group in waiting for seat in self.inside.to_act(group.state)))

    def observe(self, state: MeetingsState, player: int) -> Observation:
        group, seat = _place(state, player)
        inner = self.inside.observe(group.state, seat)
        partners = [other for other in group.players if other != player]
        shown = state.past[-self.look_back :] if self.look_back else ()
        view = MechanismView(self.inside, seat, "", inner, inner.choices, self.known(shown, partners))
        return replace(inner, text=self._text(state, player, group, seat, inner, shown), view=view)

    def _text(self, state: MeetingsState, player: int, group: Group, seat: int, inner: Observation, shown: Sequence[Past]) -> str:
        if group.paid is not None:
            return ""
        if state.begun:
            return inner.text
        if not state.past:
            return f"{self.introduction()}\n{inner.text}"
        partners = [other for other in group.players if other != player]
        before = self.told_of(shown, player, partners, inner.choices) if shown else ""
        own = f"Your points in the last round: {state.past[-1].points[player]:g}."
        return "\n".join(filter(None, (own, before, self._again(state, seat, inner.text))))

    def _again(self, state: MeetingsState, seat: int, text: str) -> str:
        """The first words of the game inside without rules that are known already: of the same words the last line, a question."""
        first = self.inside.observe(self.inside.reset(random.Random(state.seeds[0])), seat).text
        if text == first:
            return text.splitlines()[-1]
        return text.removeprefix(family_of(self.of).rules(self.of)).strip()

    def known(self, shown: Sequence[Past], partners: Sequence[int]) -> tuple[tuple[bool | None, ...], ...]:
        """For each of the partners whether it cooperated in the rounds shown."""
        return tuple(tuple(past.cooperated(partner) for past in shown) for partner in partners)

    def parse(self, state: MeetingsState, player: int, text: str) -> Action | None:
        group, seat = _place(state, player)
        return self.inside.parse(group.state, seat, text)

    def default_action(self, state: MeetingsState, player: int) -> Action:
        group, seat = _place(state, player)
        return self.inside.default_action(group.state, seat)

    def step(self, state: MeetingsState, actions: Mapping[int, Action]) -> Step:
        groups = tuple(group if group.paid is not None else self._advanced(group, actions) for group in state.groups)
        if any(group.paid is None for group in groups):
            return Step(replace(state, groups=groups, begun=True))
        return self._paid(state, groups)

    def _advanced(self, group: Group, actions: Mapping[int, Action]) -> Group:
        """The group after those of its players who act have acted."""
        own = {seat: actions[group.players[seat]] for seat in self.inside.to_act(group.state)}
        asked = {seat: self.inside.observe(group.state, seat) for seat in own}
        step = self.inside.step(group.state, own)
        done = played_by(step, own)
        deeds = tuple((seat, deed(self.inside, group.state, seat, done[seat])) for seat in own if _tells(asked[seat]))
        paid = step if step.rewards is not None else None
        return Group(group.players, step.state, (*group.deeds, *deeds), paid)

    def _paid(self, state: MeetingsState, groups: tuple[Group, ...]) -> Step:
        """The end of a round, in which all groups were paid; of a play, where the game inside is over."""
        steps = [group.paid for group in groups if group.paid is not None]
        points: dict[int, float] = {}
        deeds: dict[int, tuple[Deed, ...]] = {}
        for group, step in zip(groups, steps, strict=True):
            points |= dict(zip(group.players, step.rewards or (), strict=True))
            deeds |= {player: group.done_by(seat) for seat, player in enumerate(group.players)}
        seats = range(self.num_players)
        rewards = tuple(points[player] for player in seats)
        past = Past(tuple(group.players for group in groups), tuple(deeds[player] for player in seats), rewards)
        info = {
            "play": state.play,
            "seed": state.seeds[state.play],
            "groups": [[*group.players] for group in groups],
            "cooperated": [past.cooperated(player) for player in seats],
            "inside": [step.info for step in steps],
        }
        everything = (*state.past, past)
        over = all(step.done for step in steps)
        if over and state.play + 1 == len(state.seeds):
            return Step(replace(state, groups=groups, begun=True, past=everything), rewards, done=True, info=info)
        if over:
            after = self._begin(state.seeds, state.orders, state.play + 1, everything)
        else:
            going = tuple(Group(group.players, group.state) for group in groups)
            after = replace(state, groups=going, begun=True, past=everything)
        return Step(after, rewards, info=info)


def _tells(asked: Observation) -> bool:
    """Whether an answer is one that others are told of later: a decision in the innermost game."""
    return asked.phase == "decision" and asked.topic not in TOPICS


def _place(state: MeetingsState, player: int) -> tuple[Group, int]:
    """The group of a player, and its seat there."""
    (group,) = [group for group in state.groups if player in group.players]
    return group, group.players.index(player)
