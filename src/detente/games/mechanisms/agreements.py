"""Agreements: before a game begins all propose something at once, and vote on what was proposed.

    proposals, at once ──> votes, at once ──> the most votes; of equals the one listed first, in an order from the seed ──> the game

The game inside is one in which all choose from the same list at once, in every round once. What an agreement is about, and what
follows from it, is up to ``Contract`` and ``Mediation``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, ClassVar

from detente.errors import UserError
from detente.games.base import Action, Game, Observation, State, Step
from detente.games.family import Strategy
from detente.games.mechanisms.around import Around, check_players
from detente.games.mechanisms.deeds import chosen, played_by, scripted_action
from detente.games.mechanisms.views import MechanismView, choice

FEW, MOST_CHOICES = 16, 6  # proposals that are listed as choices; choices of the game inside
Offer = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class AgreementState:
    """``order``: in which proposals are listed, from the seed. ``topic``: what is asked, "" while the game inside is played. By
    player: ``proposals``, ``votes`` and ``answers`` (who accepts). ``offer``: the proposal with the most votes, then what holds."""

    seed: int
    state: State
    order: tuple[int, ...]
    topic: str
    proposals: tuple[Offer, ...] = ()
    votes: tuple[int, ...] = ()
    answers: tuple[bool, ...] = ()
    offer: Offer | None = None
    begun: bool = False

    @property
    def listed(self) -> tuple[Offer, ...]:
        """The proposals as they are listed."""
        return tuple(self.proposals[player] for player in self.order)


@dataclass(frozen=True, kw_only=True)
class Agreement(Around):
    """Proposals and votes before the game ``of``."""

    of: Game
    name: str = ""

    topics: ClassVar[tuple[str, ...]] = ()  # what is asked, in turn, before the game inside

    def __post_init__(self) -> None:
        check_players(self)
        if not self._lists():
            raise UserError(
                f"The mechanism {self.name} needs a game in which all choose from the same list at once, once a round, of 2 to "
                f"{MOST_CHOICES} choices, such as ipd, or public_goods with institutions=false and levels=[0,10,20]; "
                f"{self.of.name} with these parameters is none."
            )

    def _lists(self) -> bool:
        seats = range(self.num_players)
        state = self.inside.reset(random.Random(0))
        lists = {self.inside.observe(state, seat).choices for seat in seats}
        together = {*self.inside.to_act(state)} == {*seats} and len(lists) == 1
        if not together or not 2 <= len(lists.pop()) <= MOST_CHOICES:
            return False
        return self.inside.step(state, {seat: self.inside.default_action(state, seat) for seat in seats}).rewards is not None

    def strategies(self) -> Mapping[str, Strategy]:
        """The scripts that use this mechanism."""
        raise NotImplementedError

    # ---- what agreements differ in

    def introduction(self) -> str:
        """What is said of the mechanism before the rules of the game inside."""
        raise NotImplementedError

    def slots(self, state: AgreementState) -> tuple[tuple[str, ...], ...]:
        """For each number or choice of a proposal what it can be."""
        raise NotImplementedError

    def allowed(self, state: AgreementState) -> str:
        """What a proposal says, and what it can say, for a player."""
        raise NotImplementedError

    def meant(self, state: AgreementState, parts: Sequence[str]) -> Offer:
        """The proposal that says this."""
        raise NotImplementedError

    def words(self, state: AgreementState, offer: Offer) -> str:
        """What a proposal comes to, for a player."""
        raise NotImplementedError

    def fair(self) -> Offer:
        """The proposal of the scripts that want cooperation."""
        raise NotImplementedError

    def sound(self, offer: Offer) -> bool:
        """Whether under it cooperation, or delegation, of all is an equilibrium of one round."""
        raise NotImplementedError

    def outcome(self, state: AgreementState) -> str:
        """What came of proposals and votes, told when the game inside begins."""
        raise NotImplementedError

    # ---- what cooperation pays in one round, from the rules

    @cached_property
    def gains(self) -> tuple[tuple[tuple[float, ...], ...], ...]:
        """[others][own][seat]: what a player on that seat gets by the choice ``own``, where all others make the choice ``others``,
        more than if all cooperated; choices by place."""
        seats, places = range(self.num_players), range(len(self._choices(self.reset(random.Random(0)))))
        together = self.paid([self.cooperative] * self.num_players)

        def gain(others: int, own: int, seat: int) -> float:
            return self.paid([own if player == seat else others for player in seats])[seat] - together[seat]

        return tuple(tuple(tuple(gain(others, own, seat) for seat in seats) for own in places) for others in places)

    @cached_property
    def cooperative(self) -> int:
        """The place of the cooperative choice in the list; the first, where nobody can say which it is."""
        return self._scripted(self.family.cooperator(self), 0)

    @cached_property
    def defective(self) -> int:
        """The place of the choice of the defecting script."""
        return self._scripted(self.family.defector(self), -1)

    def _scripted(self, name: str | None, otherwise: int) -> int:
        state = self.inside.reset(random.Random(0))
        told = self.inside.observe(state, 0)
        place = chosen(self.inside, state, 0, scripted_action(self.inside, state, 0, told, name), told)
        return otherwise % len(told.choices) if place is None else place

    def paid(self, places: Sequence[int]) -> tuple[float, ...]:
        """The points of one round of the game inside in which the players pick these places of the list, and none slips."""
        rewards: tuple[float, ...] = ()
        for seed in range(100):
            state = self.inside.reset(random.Random(seed))
            actions = {seat: self._action(state, seat, place) for seat, place in enumerate(places)}
            step = self.inside.step(state, actions)
            rewards = step.rewards or ()
            if played_by(step, actions) == actions:
                break
        return rewards

    def _action(self, state: State, seat: int, place: int) -> Action:
        return self.inside.parse(state, seat, self.inside.observe(state, seat).choices[int(place)])

    # ---- rules

    @property
    def reward_bounds(self) -> tuple[float, float]:
        return self.of.reward_bounds

    def reset(self, rng: random.Random) -> AgreementState:
        order = tuple(rng.sample(range(self.num_players), self.num_players))
        seed = rng.getrandbits(53)
        return AgreementState(seed, self.inside.reset(random.Random(seed)), order, self.topics[0])

    def reseated(self, state: AgreementState, seats: Sequence[int]) -> AgreementState:
        """The first state in which what the seed decided for player p belongs to ``seats[p]``."""
        moved: Callable[[State, Sequence[int]], State] = getattr(self.of, "reseated", lambda inner, seats: inner)
        return replace(state, state=moved(state.state, seats), order=tuple(seats[player] for player in state.order))

    def to_act(self, state: AgreementState) -> tuple[int, ...]:
        return tuple(range(self.num_players)) if state.topic else self.inside.to_act(state.state)

    def observe(self, state: AgreementState, player: int) -> Observation:
        inner = self.inside.observe(state.state, player)
        asked = self.asked(state, inner) if state.topic else self.play(state, inner)
        offers = state.listed if state.topic == "vote" else (state.offer,) if state.offer is not None else ()
        sound = tuple(self.sound(offer) for offer in offers)
        fair = self.answer(state, self.fair()) if state.topic == self.topics[0] else ""
        view = MechanismView(
            self.inside, player, state.topic, inner, asked.choices, ignoring=self.ignoring(state), fair=fair, sound=sound
        )
        return replace(asked, view=view, text=self._text(state, inner, asked.text))

    def _text(self, state: AgreementState, inner: Observation, question: str) -> str:
        if state.topic == self.topics[0]:
            return f"{self.introduction()}\n{inner.text}\nBefore this: {question}"
        if state.topic or state.begun:
            return question if state.topic else f"{inner.text}{question}"
        return f"{self.outcome(state)}\n{inner.text.splitlines()[-1]}{question}"

    def _choices(self, state: AgreementState) -> tuple[str, ...]:
        return self.inside.observe(state.state, 0).choices

    def play(self, state: AgreementState, inner: Observation) -> Observation:
        """The question of the game inside; the text is what is added to it."""
        return replace(inner, text="")

    def asked(self, state: AgreementState, inner: Observation) -> Observation:
        """The question of the mechanism: its form, and its text."""
        if state.topic == "vote":
            lines = [f"{number}: {self.words(state, offer)}" for number, offer in enumerate(state.listed, 1)]
            votes = tuple(f"Vote: {number}" for number in range(1, self.num_players + 1))
            lines += [f"Which one do you vote for? Answer in the form 'Vote: 1', with its number from 1 to {self.num_players}."]
            text = "\n".join(["The proposals:", *lines])
            return choice(votes, text, "vote", f"Type Vote: and a number from 1 to {self.num_players}.")
        slots, head = self.slots(state), self.topics[0].capitalize()
        form = f"{head}: {', '.join('{}' for _ in slots)}"
        example = form.format(*(slot[-1] for slot in slots))
        allowed = self.allowed(state)
        text, help = f"what do you propose? Answer in the form {example!r}: {allowed}.", f"Type it like {example}: {allowed}."
        if len(proposals := [*product(*slots)]) <= FEW:
            return choice(tuple(form.format(*parts) for parts in proposals), text, self.topics[0], help)
        pattern = f"{head}: " + ", ".join(f"({'|'.join(map(re.escape, slot))})" for slot in slots)
        return Observation(text, None, pattern, topic=self.topics[0], form=form, help=help)

    def answer(self, state: AgreementState, offer: Offer) -> str:
        """The answer that proposes this."""
        offers = {self.meant(state, parts): parts for parts in product(*self.slots(state))}
        return f"{self.topics[0].capitalize()}: {', '.join(offers[offer])}"

    def nothing(self, state: AgreementState) -> Offer:
        """The proposal of who wants nothing: the first that there is."""
        return self.meant(state, [slot[0] for slot in self.slots(state)])

    def ignoring(self, state: AgreementState) -> str:
        """The answer of who wants nothing of the mechanism."""
        if state.topic == self.topics[0]:
            return self.answer(state, self.nothing(state))
        return {"vote": "Vote: 1", "acceptance": "Accept: no", "": ""}[state.topic]

    def parse(self, state: AgreementState, player: int, text: str) -> Action | None:
        """A proposal as a list, a vote as the number of a proposal, an acceptance as true or false."""
        if not state.topic:
            return self.inside.parse(state.state, player, text)
        text = text.strip()
        if not self.asked(state, self.inside.observe(state.state, player)).accepts(text):
            return None
        said = text.partition(": ")[2]
        if state.topic == "vote":
            return int(said)
        return [*self.meant(state, said.split(", "))] if state.topic == self.topics[0] else said == "yes"

    def default_action(self, state: AgreementState, player: int) -> Action:
        if not state.topic:
            return self.inside.default_action(state.state, player)
        return self.parse(state, player, self.ignoring(state))

    def step(self, state: AgreementState, actions: Mapping[int, Action]) -> Step:
        answers = [actions[player] for player in range(self.num_players)]
        if state.topic == self.topics[0]:
            return Step(replace(state, topic="vote", proposals=tuple(map(tuple, answers))))
        if state.topic == "vote":
            votes = tuple(state.order[number - 1] for number in answers)
            winner = max(state.order, key=votes.count)  # the first of those with the most votes
            return Step(self.voted(replace(state, votes=votes, offer=state.proposals[winner])))
        if state.topic:
            held = state.offer if all(answers) else None
            return Step(replace(state, topic="", answers=tuple(answers), offer=held))
        return self.played(state, answers)

    def voted(self, state: AgreementState) -> AgreementState:
        """The state after the vote."""
        raise NotImplementedError

    def played(self, state: AgreementState, answers: Sequence[Action]) -> Step:
        """A round of the game inside."""
        raise NotImplementedError


def advanced(game: Agreement, state: AgreementState, actions: Sequence[Action]) -> tuple[Step, dict[str, Any], dict[int, Action]]:
    """A round of the game inside: its step, what the record says of it, and what was played."""
    own = dict(enumerate(actions))
    step = game.inside.step(state.state, own)
    done = played_by(step, own)
    due = {seat: _due(game, state.state, seat) for seat in done}
    info = {
        "play": 0,
        "seed": state.seed,
        "groups": [[*range(game.num_players)]],
        "cooperated": [None if due[seat] is None else done[seat] == due[seat] for seat in range(game.num_players)],
        "inside": [step.info],
        "points": list(step.rewards or ()),
        "actions": list(actions),
        "done": [done[seat] for seat in range(game.num_players)],
    }
    if "played" in step.info:  # chance changed actions, which is told under the topic of the game inside
        info["played"] = {game.inside.observe(state.state, 0).topic: info["done"]}
    return step, info, done


def _due(game: Agreement, state: State, seat: int) -> Action | None:
    """What the cooperating script of the game inside would do."""
    return scripted_action(game.inside, state, seat, game.inside.observe(state, seat), game.family.cooperator(game))
