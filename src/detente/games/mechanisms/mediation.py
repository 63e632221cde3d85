"""Mediation: a mediator, proposed and voted on, plays for whoever delegates, by how many delegate.

    proposals: what it plays if 1, 2 ... delegate ──> votes ──> in every round: the choices of the game, and to delegate

A mediator that cooperates if all delegate and defects otherwise makes delegating an equilibrium (Monderer and Tennenholtz, Strong
mediated equilibrium, Artificial Intelligence 2009; mediation in CoopEval, Xiao et al., 2026, arXiv 2604.15267).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from detente.games.base import Action, Observation, Step
from detente.games.family import Strategy
from detente.games.mechanisms import strategies
from detente.games.mechanisms.agreements import Agreement, AgreementState, Offer, advanced
from detente.games.mechanisms.views import either

DELEGATE = "Delegate"
DELEGATED = "to the mediator"  # the action


@dataclass(frozen=True, kw_only=True)
class Mediation(Agreement):
    """A mediator names a choice for each number of players who delegate. In every round a player picks for itself or delegates."""

    name: str = "mediation"

    topics: ClassVar[tuple[str, ...]] = ("mediator", "vote")

    def strategies(self) -> Mapping[str, Strategy]:
        return strategies.MEDIATION

    def introduction(self) -> str:
        return (
            "For the following game the players choose a mediator, which answers for those who leave it to it. A mediator names an "
            f"answer for each number of players who do, from 1 to {self.num_players}. Everybody proposes one, all vote, and the "
            f"one with the most votes is there in all rounds. In every round you give an answer of the game, or {DELEGATE}."
        )

    def slots(self, state: AgreementState) -> tuple[tuple[str, ...], ...]:
        return (self._choices(state),) * self.num_players

    def allowed(self, state: AgreementState) -> str:
        numbers = ", ".join(map(str, range(1, self.num_players + 1)))
        return f"its answers if {numbers} delegate, in this order, each of them {either(self._choices(state))}"

    def meant(self, state: AgreementState, parts: Sequence[str]) -> Offer:
        choices = self._choices(state)
        return tuple(choices.index(part) for part in parts)

    def words(self, state: AgreementState, offer: Offer) -> str:
        choices = self._choices(state)
        return ", ".join(f"{choices[int(place)]} if {number} delegate" for number, place in enumerate(offer, 1)).replace(
            "if 1 delegate", "if 1 delegates", 1
        )

    def fair(self) -> Offer:
        return (*(self.defective for _ in range(self.num_players - 1)), self.cooperative)

    def sound(self, offer: Offer) -> bool:
        return offer[-1] == self.cooperative and all(gain <= 0 for gains in self.gains[int(offer[-2])] for gain in gains)

    def play(self, state: AgreementState, inner: Observation) -> Observation:
        pattern = f"{inner.pattern}|{re.escape(DELEGATE)}"
        return replace(inner, text=f" Or: {DELEGATE}.", choices=(*inner.choices, DELEGATE), pattern=pattern)

    def parse(self, state: AgreementState, player: int, text: str) -> Action | None:
        if not state.topic and text.strip() == DELEGATE:
            return DELEGATED
        return super().parse(state, player, text)

    def voted(self, state: AgreementState) -> AgreementState:
        return replace(state, topic="")

    def outcome(self, state: AgreementState) -> str:
        return f"The mediator with the most votes: {self.words(state, state.offer or ())}."

    def played(self, state: AgreementState, answers: Sequence[Action]) -> Step:
        delegated = [answer == DELEGATED for answer in answers]
        place = (state.offer or (0,))[sum(delegated) - 1]
        actions = [
            self._action(state.state, seat, int(place)) if delegates else answer
            for seat, (delegates, answer) in enumerate(zip(delegated, answers, strict=True))
        ]
        step, info, _ = advanced(self, state, actions)
        terms = {"mediator": [int(part) for part in state.offer or ()], "delegated": delegated}
        return Step(replace(state, state=step.state, begun=True), step.rewards, done=step.done, info=info | terms)
