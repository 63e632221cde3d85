"""The investor game: what one invests grows in the other's hands, who returns as much of it as it likes (Berg et al., 1995).

investor ── x of the endowment ──> multiplied ──> trustee ── y of that ──> points: endowment - x + y, multiplier x - y
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from detente.games.amounts import Amount, amount
from detente.games.base import Observation, Step
from detente.games.parameters import Horizon, as_json, build, check_count
from detente.games.wordings import told, wordings

(WORDING,) = wordings("investor", "investor")
INVESTOR, TRUSTEE = 0, 1


@dataclass(frozen=True, slots=True)
class InvestorState:
    """``past``: what was invested and returned, round by round. ``invested``: in this round, None until it is known."""

    horizon: int
    past: tuple[tuple[int, int], ...] = ()
    invested: int | None = None


@dataclass(frozen=True, slots=True)
class InvestorView:
    """What a script sees: ``invested`` in this round, None while the investor has not decided, and all earlier rounds."""

    player: int
    endowment: int
    multiplier: int
    invested: int | None
    past: tuple[tuple[int, int], ...]

    items: ClassVar[tuple[str, ...]] = ("points",)  # what the number of an answer counts

    def invest(self, share: float) -> str:
        """The answer that invests this share of the endowment, to the nearest point."""
        return invest(self.endowment).form(round(share * self.endowment))

    def send(self, share: float) -> str:
        """The answer that returns this share of what the trustee received, to the nearest point."""
        return send(self.received).form(round(share * self.received))

    @property
    def received(self) -> int:
        """What the trustee received in this round."""
        return self.multiplier * (self.invested or 0)


@dataclass(frozen=True, kw_only=True)
class Investor(Horizon):
    """The investor has ``endowment`` points a round; what it invests is worth ``multiplier`` times as much to the trustee."""

    name: str = "investor"
    endowment: int = 10
    multiplier: int = 3

    family: ClassVar[str] = "detente.games.investor:FAMILY"
    num_players: ClassVar[int] = 2
    symmetric: ClassVar[bool] = False
    roles: ClassVar[tuple[str, str]] = ("investor", "trustee")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("endowment", self.endowment, 1, 100)
        check_count("multiplier", self.multiplier, 1, 10)

    @property
    def reward_bounds(self) -> tuple[float, float]:
        return 0.0, float(self.multiplier * self.endowment)

    def parameters(self) -> dict[str, Any]:
        return as_json(self)

    def reset(self, rng: random.Random) -> InvestorState:
        return InvestorState(self.draw_horizon(rng))

    def to_act(self, state: InvestorState) -> tuple[int, ...]:
        if len(state.past) == state.horizon:
            return ()
        return (INVESTOR,) if state.invested is None else (TRUSTEE,)

    def observe(self, state: InvestorState, player: int) -> Observation:
        view = InvestorView(player, self.endowment, self.multiplier, state.invested, state.past)
        wanted = self._wanted(state)
        text = "\n".join(filter(None, (self._news(state, player), self._question(state, player))))
        topic = "investment" if state.invested is None else "return"
        return Observation(text, view, wanted.pattern.pattern, form=wanted.form("{}"), help=wanted.help, topic=topic)

    def _wanted(self, state: InvestorState) -> Amount:
        return invest(self.endowment) if state.invested is None else send(self.multiplier * state.invested)

    def _news(self, state: InvestorState, player: int) -> str:
        if state.invested is not None:  # who invested knows, and the trustee is asked
            return ""
        if not state.past:
            return f"{self.rules()}\nYou are the {self.roles[player]}."
        invested, returned = state.past[-1]
        if player == INVESTOR:
            return f"Last round you invested {invested}, and {returned} of {self.multiplier * invested} points came back."
        return "Last round the investor invested nothing." if not invested else ""

    def _question(self, state: InvestorState, player: int) -> str:
        if state.invested is None:
            return "How much do you invest?" if player == INVESTOR else ""
        received = self.multiplier * state.invested
        sent = f"The investor invested {state.invested} points, and you received {received}. How much do you return?"
        return sent if player == TRUSTEE else ""

    def rules(self) -> str:
        """What both players are told before anything else."""
        facts = {
            "endowment": self.endowment,
            "multiplier": self.multiplier,
            "invest": invest(self.endowment).form(self.endowment // 2),
            "send": send(1).form(self.endowment // 2),
        }
        return told(WORDING, facts, ())

    def parse(self, state: InvestorState, player: int, text: str) -> int | None:
        return self._wanted(state).parse(text)

    def default_action(self, state: InvestorState, player: int) -> int:
        """Nothing is invested, nothing returned."""
        return 0

    def step(self, state: InvestorState, actions: Mapping[int, int]) -> Step:
        if state.invested is None and actions[INVESTOR]:
            return Step(InvestorState(state.horizon, state.past, actions[INVESTOR]))
        invested, returned = (0, 0) if state.invested is None else (state.invested, actions[TRUSTEE])
        past = (*state.past, (invested, returned))
        rewards = (float(self.endowment - invested + returned), float(self.multiplier * invested - returned))
        info = {"invested": invested, "returned": returned}
        return Step(InvestorState(state.horizon, past), rewards, done=len(past) == state.horizon, info=info)


def invest(endowment: int) -> Amount:
    """The answer of the investor."""
    return amount("Invest", range(endowment + 1))


def send(received: int) -> Amount:
    """The answer of a trustee who received so much."""
    return amount("Return", range(received + 1))


def investor(**parameters: Any) -> Investor:
    """The investor game: of 10 points some are invested and tripled, and the trustee returns what it likes (Berg et al., 1995)."""
    return build(Investor, {}, parameters)
