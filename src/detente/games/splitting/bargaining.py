"""Bargaining where points need an exact agreement: offers as numbers in a message, taken up or countered.

A player says what it means to take, one number per item in their order. Who hears an offer that leaves it enough, half of what
everything is worth to it, says that it takes the rest, which ends the bargaining; else it says what it would take instead. When all
is said, whoever was left enough by the other's last words takes the rest, and its partner takes what it said.
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
    """What to say one takes, and to take: the rest of the other's last offer if it is enough, else the offer of one's own.

    The own offer is enough and leaves the other as much as possible of the ``wanted`` items, then of all.
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
