"""Trust-and-Split: coins are worth more to the player with the winning hand, and neither sees the other's hand.

The game of Piche et al., Learning Robust Social Strategies with Large Language Models (arXiv 2511.19405). Each round two different
hands are dealt; only talk tells the players whose is the winning one, and a lie pays at once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from detente.errors import UserError, as_typed
from detente.games.parameters import MOST, build, check_count, check_switch
from detente.games.splitting.deals import Deal, Known, Played, Values
from detente.games.splitting.rules import SplittingGame
from detente.games.splitting.words import number
from detente.games.wordings import Wording, wordings

BEATS = {"rock": "scissors", "paper": "rock", "scissors": "paper"}


@dataclass(frozen=True, kw_only=True)
class TrustAndSplit(SplittingGame):
    """``upper`` and ``lower``: what a coin is worth to the winning and the losing hand.

    With ``alternating_hands`` winner and loser swap every round.
    """

    name: str = "trust_and_split"
    items: tuple[str, ...] = ("coins",)
    reveal: tuple[str, ...] = ("values", "asks")
    coins: int = 10
    upper: int = 10
    lower: int = 1
    alternating_hands: bool = False

    vocabulary: ClassVar[tuple[str, ...]] = tuple(BEATS)
    claim: ClassVar[str] = "My hand is {}."
    wordings: ClassVar[tuple[Wording, ...]] = wordings("splitting", "coins")

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("coins", "upper", "lower"):
            check_count(option, getattr(self, option), 0 if option == "lower" else 1, MOST)
        check_switch("alternating_hands", self.alternating_hands)
        if self.upper <= self.lower:
            raise UserError(f"A coin is worth more with the upper hand: {self.upper} is not above {self.lower}.")
        if len(self.items) != 1:
            raise UserError(f"Trust-and-Split splits one item, not {as_typed(self.items)}; see trust_and_split_items.")

    @property
    def reward_bounds(self) -> tuple[float, float]:
        return 0.0, float(self.coins * self.upper)

    def draw(self, rng: random.Random, previous: Deal | None) -> Deal:
        winner = rng.randrange(2)
        if self.alternating_hands and previous is not None:
            winner = previous.values.index((self.lower,))
        hand = rng.choice(self.vocabulary)
        values, hands = ((self.upper,), (self.lower,)), ((hand,), (BEATS[hand],))
        return Deal((self.coins,), values, hands) if winner == 0 else Deal((self.coins,), values[::-1], hands[::-1])

    def facts(self) -> dict[str, object]:
        half = self._form("proposal", str(self.coins // 2))
        return {"item": self.items[0], "coins": self.coins, "upper": self.upper, "lower": self.lower, "proposal": half}

    def parts(self) -> tuple[str, ...]:
        return ("change",) if self.alternating_hands else ()

    def situation(self, deal: Deal, player: int) -> str:
        return f"Your hand is {deal.truth[player][0]}."

    def outcome(self, deal: Deal, played: Played, player: int) -> str:
        other = 1 - player
        had = f"had the {'upper' if deal.values[other][0] == self.upper else 'lower'} hand" if "values" in self.reveal else ""
        asked = f"asked for {played.asks[other][0]} {self.items[0]}" if "asks" in self.reveal else ""
        news = " and ".join(filter(None, (had, asked)))
        lines = [f"Last round the other player {news}."] if news else []
        if "points" in self.reveal:
            lines.append(f"You got {number(played.points[player])} points, the other player {number(played.points[other])}.")
        return " ".join(lines) or "A new round."

    def known(self, deal: Deal, player: int) -> Known:
        (own,) = deal.truth[player]
        return _known(own, self.upper, self.lower)


@lru_cache(256)
def _known(own: str, upper: int, lower: int) -> Known:
    wins, loses = Values((upper,), (lower,)), Values((lower,), (upper,))
    return Known(if_named={frozenset([hand]): wins if BEATS[own] == hand else loses for hand in BEATS if hand != own})


def trust_and_split(**parameters: Any) -> TrustAndSplit:
    """Trust-and-Split: coins, hidden hands of rock, paper, scissors, and messages (Piche et al., arXiv 2511.19405)."""
    return build(TrustAndSplit, {}, parameters)
