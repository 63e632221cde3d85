"""Deal or No Deal: a few things are divided by talk, and without an agreement both players get nothing.

The game of Lewis et al., Deal or No Deal? End-to-End Learning for Negotiation Dialogues (EMNLP 2017, arXiv 1706.05125), played for
several rounds. Both know the stock and neither knows what it is worth to the other, so talk must find out how values differ;
claiming more than one's share pays as long as the other gives in, and costs both of them everything when it does not.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from detente.errors import UserError, as_typed
from detente.games.parameters import build
from detente.games.splitting.deals import Amounts, Deal, Known, Values
from detente.games.splitting.rules import SplittingGame
from detente.games.wordings import Wording, wordings

MIN_UNITS, MAX_UNITS = 5, 7  # in all
WORTH = 10  # points that the whole stock is worth to each player
KINDS = 3


@dataclass(frozen=True, kw_only=True)
class DealOrNoDeal(SplittingGame):
    """Every context, a stock and the values of both, is equally likely; see ``contexts``.

    Points are paid only if for every kind the two proposals together are exactly the stock.
    """

    name: str = "deal_or_no_deal"
    items: tuple[str, ...] = ("books", "hats", "balls")
    messages: int = 2

    claim: ClassVar[str] = "I value {} most."
    wordings: ClassVar[tuple[Wording, ...]] = wordings("splitting", "contexts")
    told_asks: ClassVar[str] = "you proposed to take {}, the other player {}"
    exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.items) != KINDS:
            raise UserError(f"Deal or No Deal divides {KINDS} kinds of items, not {as_typed(self.items)}.")

    @property
    def reward_bounds(self) -> tuple[float, float]:
        return 0.0, float(WORTH)

    def draw(self, rng: random.Random, previous: Deal | None) -> Deal:
        stock, values = rng.choice(contexts())
        return Deal(stock, values, tuple(map(self._most, values)))

    def award(self, deal: Deal, asks: Sequence[Amounts]) -> list[tuple[float, ...]]:
        """[player][item] units received: what each proposed to take if that divides the stock exactly, else nothing."""
        agreed = tuple(map(sum, zip(*asks, strict=True))) == deal.stock
        return [tuple(map(float, ask)) if agreed else (0.0,) * KINDS for ask in asks]

    def facts(self) -> dict[str, object]:
        return {
            "kinds": f"{', '.join(self.items[:-1])} and {self.items[-1]}",
            "fewest": MIN_UNITS,
            "most": MAX_UNITS,
            "worth": WORTH,
            "proposal": self._form("proposal", self._list(1)),
        }

    def situation(self, deal: Deal, player: int) -> str:
        return f"There are {self._list(*deal.stock)}. You value {self._worth(deal.values[player])}."

    def known(self, deal: Deal, player: int) -> Known:
        own = deal.values[player]
        possible: dict[frozenset[str], list[Amounts]] = defaultdict(list)
        for other in others(deal.stock, own):
            possible[frozenset(self._most(other))].append(other)
        return Known(own, if_named={words: Values(own, values[0]) for words, values in possible.items() if len(values) == 1})

    def _most(self, values: Amounts) -> tuple[str, ...]:
        """The kinds of maximum value per unit: what an honest player names."""
        return tuple(item for item, value in zip(self.items, values, strict=True) if value == max(values))


@cache
def contexts() -> tuple[tuple[Amounts, tuple[Amounts, Amounts]], ...]:
    """Every stock with every pair of values that the rules allow.

    A stock holds 5 to 7 units, at least one of each of three kinds, and is worth 10 points to each player. Every kind is worth
    something to at least one player, and some kind to both.
    """
    stocks = [stock for stock in itertools.product(range(1, MAX_UNITS), repeat=KINDS) if MIN_UNITS <= sum(stock) <= MAX_UNITS]
    return tuple((stock, (own, other)) for stock in stocks for own in worths(stock) for other in others(stock, own))


@cache
def others(stock: Amounts, own: Amounts) -> tuple[Amounts, ...]:
    """The values that the other player can have, given one's own."""
    return tuple(
        other
        for other in worths(stock)
        if all(map(max, own, other)) and any(map(min, own, other))  # at least one player wants each kind, and both want some kind
    )


@cache
def worths(stock: Amounts) -> tuple[Amounts, ...]:
    """All values per unit, whole numbers, that make the stock worth 10 points."""
    return tuple(
        values
        for values in itertools.product(range(WORTH + 1), repeat=KINDS)
        if sum(q * v for q, v in zip(stock, values, strict=True)) == WORTH
    )


def deal_or_no_deal(**parameters: Any) -> DealOrNoDeal:
    """Deal or No Deal: three kinds, private values, messages, and points only if both propose one division (Lewis et al. 2017)."""
    return build(DealOrNoDeal, {}, parameters)
