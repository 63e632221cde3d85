"""Contract: payments between players that follow from what they choose, proposed, voted on, and binding if all accept.

    proposals: a payment for each choice ──> votes ──> accepted by all? ── yes ──> whoever picks a choice pays the others for it

A payment for the defective choice that is at least what defecting would gain makes cooperation an equilibrium (contracting in
CoopEval, Xiao et al., 2026, arXiv 2604.15267).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from detente.errors import UserError, as_typed
from detente.games.base import Action, Observation, Step
from detente.games.family import Strategy
from detente.games.mechanisms import strategies
from detente.games.mechanisms.agreements import Agreement, AgreementState, Offer, advanced
from detente.games.mechanisms.deeds import chosen
from detente.games.mechanisms.views import choice, either

MOST_PAYMENTS, LARGEST = 10, 10**9


@dataclass(frozen=True, kw_only=True)
class Contract(Agreement):
    """``payments``: what can be paid for a choice, in points, from nothing up; None: nothing, half and all of the span of a
    round's points. Whoever picks a choice pays so much, in equal parts to the others, in every round of the game inside.
    """

    name: str = "contract"
    payments: tuple[float, ...] | None = None

    topics: ClassVar[tuple[str, ...]] = ("contract", "vote", "acceptance")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.payments is None:
            return
        object.__setattr__(self, "payments", tuple(self.payments) if isinstance(self.payments, list | tuple) else self.payments)
        if not _are_payments(self.payments):
            raise UserError(
                f"The payments of a contract are 2 to {MOST_PAYMENTS} different numbers of points from 0 up, 0 the first, not "
                f"{as_typed(self.payments)}."
            )
        if len({*self.spelled}) < len(self.spelled):
            raise UserError(
                f"Two payments of a contract read alike: {', '.join(self.spelled)}; players are told six digits of each."
            )

    @property
    def amounts(self) -> tuple[float, ...]:
        """What can be paid for a choice."""
        low, high = self.of.reward_bounds
        return (0.0, (high - low) / 2, float(high - low)) if self.payments is None else self.payments

    @property
    def spelled(self) -> tuple[str, ...]:
        """What can be paid for a choice, as players read and write it."""
        return tuple(f"{amount:g}" for amount in self.amounts)

    @property
    def reward_bounds(self) -> tuple[float, float]:
        low, high = self.of.reward_bounds
        return low - max(self.amounts), high + max(self.amounts)

    def strategies(self) -> Mapping[str, Strategy]:
        return strategies.CONTRACT

    def introduction(self) -> str:
        return (
            "Before the following game the players agree on a contract, or on none. A contract names a payment for each answer to "
            "the game: whoever gives it in a round pays so many points, in equal parts to the others. Everybody proposes one, all "
            "vote, and the one with the most votes holds in all rounds if everybody accepts it."
        )

    def slots(self, state: AgreementState) -> tuple[tuple[str, ...], ...]:
        return (self.spelled,) * len(self._choices(state))

    def allowed(self, state: AgreementState) -> str:
        return f"the payments for {', '.join(self._choices(state))}, in this order, each of them {either(self.spelled)}"

    def meant(self, state: AgreementState, parts: Sequence[str]) -> Offer:
        named = dict(zip(self.spelled, self.amounts, strict=True))
        return tuple(float(named[part]) for part in parts)

    def words(self, state: AgreementState, offer: Offer) -> str:
        costs = [f"{label} costs {amount:g}" for label, amount in zip(self._choices(state), offer, strict=True)]
        return ", ".join(costs)

    def fair(self) -> Offer:
        needed = self._needed()
        return tuple(next((amount for amount in self.amounts if amount >= gain), self.amounts[-1]) for gain in needed)

    def sound(self, offer: Offer) -> bool:
        costs = [amount - offer[self.cooperative] for amount in offer]
        return all(cost >= gain for cost, gain in zip(costs, self._needed(), strict=True))

    def _needed(self) -> list[float]:
        """For each choice the most that a player gains by it where all others cooperate."""
        return [max(0.0, *gains) for gains in self.gains[self.cooperative]]

    def asked(self, state: AgreementState, inner: Observation) -> Observation:
        if state.topic != "acceptance":
            return super().asked(state, inner)
        text = f"The proposal with the most votes: {self.words(state, state.offer or ())}. Do you accept it?"
        text += " Answer 'Accept: yes' or 'Accept: no'."
        return choice(("Accept: yes", "Accept: no"), text, "acceptance", "Type Accept: yes or Accept: no.")

    def voted(self, state: AgreementState) -> AgreementState:
        return replace(state, topic="acceptance")

    def outcome(self, state: AgreementState) -> str:
        if state.offer is None:
            return "Not everybody accepted: there is no contract."
        return f"Everybody accepted. The contract: {self.words(state, state.offer)}."

    def played(self, state: AgreementState, answers: Sequence[Action]) -> Step:
        step, info, done = advanced(self, state, answers)
        told = [(seat, self.inside.observe(state.state, seat)) for seat in done]
        places = [chosen(self.inside, state.state, seat, done[seat], seen) for seat, seen in told]
        owed = [0.0 if state.offer is None or place is None else state.offer[place] for place in places]
        shares = [amount / (self.num_players - 1) for amount in owed]
        received = [[share for other, share in enumerate(shares) if other != seat] for seat in range(self.num_players)]
        points = step.rewards or ()
        rewards = tuple(math.fsum([points[seat], -owed[seat], *received[seat]]) for seat in range(self.num_players))
        terms: dict[str, Any] = {
            "contract": None if state.offer is None else [*state.offer],
            "transfers": [math.fsum([-owed[seat], *received[seat]]) for seat in range(self.num_players)],
        }
        return Step(replace(state, state=step.state, begun=True), rewards, done=step.done, info=info | terms)


def _are_payments(payments: Any) -> bool:
    if not isinstance(payments, tuple) or any(type(amount) not in (int, float) for amount in payments):
        return False
    rising = [*payments] == sorted({*payments})
    return rising and 2 <= len(payments) <= MOST_PAYMENTS and payments[0] == 0 and payments[-1] <= LARGEST
