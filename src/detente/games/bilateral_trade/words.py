"""Which cost or value a message claims."""

from __future__ import annotations

import re
from collections.abc import Sequence

NUMBER = re.compile(r"(?<![\w.,-])\d{1,6}(?:\.\d)?(?![\w]|[.,]\d)")


def claimed(messages: Sequence[str], highest: int) -> float | None:
    """The number that the messages name, the last one's if several do; None where it is none, or not a single one, or too high."""
    for text in reversed(messages):
        numbers = {float(number) for number in NUMBER.findall(text)}
        if numbers:
            (first, *more) = numbers
            return first if not more and first <= highest else None
    return None
