"""Bargaining where points need an exact agreement: offers as numbers in a message, taken up or countered.

An offer says what its speaker means to take, one number per item in their order. It is good enough for the other player if the
rest is worth at least half of everything to it. Then that player answers that it takes the rest, which ends the bargaining; else it
makes an offer of its own. After the last message a player takes the rest of the other's last offer if that is enough, else its own
offer.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from detente.games.splitting.deals import Amounts, SplitView


def spoken(units: Iterable[int]) -> str:
    """An offer in words. It names no item, so that a message's claim stays what it names."""
    return f"I take {', '.join(map(str, units))}."


def bargain(view: SplitView, wanted: Iterable[str] = ()) -> Amounts:
    """What to take, and to say so: the rest of the other's last offer if it is enough, else an offer of one's own.

    The own offer is enough for oneself and leaves the other as much as possible of the ``wanted`` items, then of all.
    """
    rest = left(view)
    if rest is not None and is_enough(view, rest):
        return rest
    divisions = itertools.product(*(range(q + 1) for q in view.stock))

    def left_over(units: Amounts) -> tuple[int, int, int]:
        named = sum(-n for n, item in zip(units, view.items, strict=True) if item in wanted)
        return named, -sum(units), worth(view, units)

    return max((units for units in divisions if is_enough(view, units)), key=left_over)


def left(view: SplitView) -> Amounts | None:
    """What the other's last offer of this round leaves; None if there is none."""
    for text in reversed(view.heard):
        units = tuple(map(int, re.findall(r"\d+", text)))
        if len(units) == len(view.stock) and all(n <= q for n, q in zip(units, view.stock, strict=True)):
            return tuple(q - n for n, q in zip(units, view.stock, strict=True))
    return None


def is_enough(view: SplitView, units: Amounts) -> bool:
    """Whether these units are worth at least half of what everything is worth to oneself."""
    return 2 * worth(view, units) >= worth(view, view.stock)


def worth(view: SplitView, units: Amounts) -> int:
    """The points of these units to oneself."""
    return sum(n * value for n, value in zip(units, view.known.own or (), strict=True))
