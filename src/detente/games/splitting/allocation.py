"""What asks receive: the splitting rule, and how greedy an ask is."""

from __future__ import annotations

from collections.abc import Sequence


def allocate(asks: Sequence[float], stock: float) -> tuple[float, ...]:
    """What each of n players receives of one item: stock * p_i / max(stock, sum of p).

    Asks that fit are granted and the rest is lost; asks that do not fit are scaled down in proportion.
    """
    divisor = max(stock, sum(asks))
    return tuple([stock * ask / divisor if divisor else 0.0 for ask in asks])


def greed(asks: Sequence[float], values: Sequence[float], others: Sequence[float], stock: Sequence[float]) -> float | None:
    """The share in [0, 1] that a player asks for of the items that the other values more; None where there is no such item."""
    shares = [ask / q for ask, own, other, q in zip(asks, values, others, stock, strict=True) if own < other and q]
    return sum(shares) / len(shares) if shares else None
