"""Items are split, each of them worth more or less to each player: in public and in silence, or in private with talk.

``split_no_comm``, and ``trust_and_split_items``: Trust-and-Split without hands (Piche et al., arXiv 2511.19405).
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from detente.errors import UserError
from detente.games.parameters import MOST, build, check_count, check_switch
from detente.games.splitting.deals import Amounts, Deal, Known, Values
from detente.games.splitting.rules import SplittingGame
from detente.games.splitting.words import times
from detente.games.wordings import Wording, wordings

MOST_ITEMS = 6  # every further item makes the pairs of values about four times as many


@dataclass(frozen=True, kw_only=True)
class ItemSplit(SplittingGame):
    """``stock`` units of every item; a unit is worth ``low`` or ``high`` points.

    Values are drawn until at least one item is valued differently and both players' values have the same sum.
    ``public``: both see the values of both.
    """

    name: str
    items: tuple[str, ...] = ("hats", "books", "balls")
    stock: int = 10
    low: int = 1
    high: int = 10
    public: bool = False

    claim: ClassVar[str] = "I value {} most."
    wordings: ClassVar[tuple[Wording, ...]] = wordings("splitting", "items")

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("stock", "low", "high"):
            check_count(option, getattr(self, option), 0 if option == "low" else 1, MOST)
        check_switch("public", self.public)
        if self.high <= self.low:
            raise UserError(f"The high value must be above the low one: {self.high} is not above {self.low}.")
        if not 2 <= len(self.items) <= MOST_ITEMS:
            raise UserError(
                f"The players split 2 to {MOST_ITEMS} items, so that they can differ in what they value, not {list(self.items)}."
            )

    @property
    def reward_bounds(self) -> tuple[float, float]:
        return 0.0, float(self.stock * (self.low + self.high * (len(self.items) - 1)))

    def draw(self, rng: random.Random, previous: Deal | None) -> Deal:
        values = rng.choice(value_pairs(len(self.items), self.low, self.high))
        return Deal((self.stock,) * len(self.items), values, tuple(map(self._most, values)))

    def facts(self) -> dict[str, object]:
        return {
            "stock": ", ".join(f"{self.stock} {item}" for item in self.items),
            "units": self.stock,
            "low": self.low,
            "high": self.high,
            "often": "" if self.messages == 1 else f" {times(self.messages)} each,",
            "proposal": self._form("proposal", self._list(self.stock // 2)),
        }

    def parts(self) -> tuple[str, ...]:
        return ("public",) if self.public else ("private",)

    def situation(self, deal: Deal, player: int) -> str:
        own = f"You value {self._worth(deal.values[player])}"
        return f"{own}; the other player values {self._worth(deal.values[1 - player])}." if self.public else f"{own}."

    def known(self, deal: Deal, player: int) -> Known:
        own, other = deal.values[player], deal.values[1 - player]
        if self.public:
            return Known(own, Values(own, other))
        pairs = value_pairs(len(self.items), self.low, self.high)
        possible = dict.fromkeys(other for values, other in pairs if values == own)
        return Known(own, if_named={frozenset(self._most(other)): Values(own, other) for other in possible})

    def _most(self, values: Amounts) -> tuple[str, ...]:
        """The items of high value: what an honest player names."""
        return tuple(item for item, value in zip(self.items, values, strict=True) if value == self.high)


@lru_cache(64)
def value_pairs(items: int, low: int, high: int) -> tuple[tuple[Amounts, Amounts], ...]:
    """All pairs of different values with the same sum, equally likely; 12 for three items."""
    every = list(itertools.product((low, high), repeat=items))
    return tuple((own, other) for own in every for other in every if own != other and sum(own) == sum(other))


def split_no_comm(**parameters: Any) -> ItemSplit:
    """Split, no communication: three items, public values, no messages (Piche et al., arXiv 2511.19405)."""
    return build(ItemSplit, {"name": "split_no_comm", "public": True, "messages": 0, "tags": "line"}, parameters)


def trust_and_split_items(**parameters: Any) -> ItemSplit:
    """Trust-and-Split with three items and private values: talk tells who values what (Piche et al., arXiv 2511.19405)."""
    return build(ItemSplit, {"name": "trust_and_split_items"}, parameters)
