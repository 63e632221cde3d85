"""Strategies for splitting games: the next message or ask as a pure function of what was seen.

Every strategy but ``liar``, ``silent`` and ``random`` names truthfully what only it knows. Where points need an exact agreement,
messages also say what the player means to take, see ``bargaining``; greedy strategies take everything and never agree. Adding a
strategy is a function and a line in ``SPLITTING``.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from detente.games.family import Strategy
from detente.games.splitting.bargaining import bargain, spoken
from detente.games.splitting.deals import Amounts, SplitView, Values
from detente.games.splitting.rules import greed, named
from detente.games.splitting.trust_and_split import BEATS

PUNISHMENT = 2  # rounds


def greedy(view: SplitView, rng: random.Random) -> str:
    """Ask for everything."""
    return _play(view, view.truth, view.stock)


def fair_half(view: SplitView, rng: random.Random) -> str:
    """Ask for half of every item, rounded down."""
    return _play(view, view.truth, half(view))


def welfare(view: SplitView, rng: random.Random) -> str:
    """Ask for all that one values more than the other does, nothing that one values less, half of the rest.

    Half of everything where the values are neither public nor named by the other.
    """
    return _play(view, view.truth, efficient(view))


def liar(view: SplitView, rng: random.Random) -> str:
    """Ask for everything and name something false: the hand that beats the other's where that is known, else a random word."""
    heard = _heard(view)
    false = [word for word in view.vocabulary if word not in view.truth] or view.vocabulary
    winning = [word for word in false if len(heard) == 1 and BEATS.get(word) in heard]
    return _play(view, winning or [rng.choice(false)], view.stock)


def silent(view: SplitView, rng: random.Random) -> str:
    """Say nothing and ask as ``welfare`` does."""
    return view.message("") if view.phase == "message" else view.ask(efficient(view))


def reciprocator(view: SplitView, rng: random.Random) -> str:
    """Welfare, but greedy after the other was greedy in one of the last two rounds that show it.

    Greedy is to ask for more than half of what the partner values more, for whatever reason. A reciprocator is never knowingly
    greedy first, so no partner has a reason to punish it; but two reciprocators that fall out by a misunderstanding never make up.
    """
    return greedy(view, rng) if any(greed_shown(view)[-PUNISHMENT:]) else welfare(view, rng)


def grim(view: SplitView, rng: random.Random) -> str:
    """Welfare until the other was greedy once, as for the reciprocator, then greedy for ever."""
    return greedy(view, rng) if any(greed_shown(view)) else welfare(view, rng)


def random_split(view: SplitView, rng: random.Random) -> str:
    """Name a random word and ask for any number of each item, all equally likely."""
    return _play(view, [rng.choice(view.vocabulary)], [rng.randint(0, q) for q in view.stock])


SPLITTING: dict[str, Strategy] = {
    "greedy": greedy,
    "fair_half": fair_half,
    "welfare": welfare,
    "liar": liar,
    "silent": silent,
    "reciprocator": reciprocator,
    "grim": grim,
    "random": random_split,
}


def _play(view: SplitView, words: Iterable[str], units: Iterable[int]) -> str:
    if view.phase == "decision":
        return view.ask(units)
    claim = view.claim.format(" and ".join(words))
    return view.message(f"{claim} {spoken(units)}" if view.exact else claim)


def half(view: SplitView) -> Amounts:
    """Half of every item, rounded down; where agreement is needed, what is worth half of everything to the player."""
    return bargain(view) if view.exact else tuple(q // 2 for q in view.stock)


def efficient(view: SplitView) -> Amounts:
    """What the player should ask for that both together get the most; half of every item if it cannot tell.

    Where agreement is needed, it bargains for half of what everything is worth to it and leaves the other what that named.
    """
    if view.exact:
        return bargain(view, _heard(view))
    values = values_of(view)
    if values is None:
        return half(view)
    return tuple(
        q if own > other else 0 if own < other else q // 2
        for q, own, other in zip(view.stock, values.own, values.other, strict=True)
    )


def values_of(view: SplitView) -> Values | None:
    """The values of both players, if they are public or if the other's messages of this round name what tells them."""
    return view.known.values or view.known.if_named.get(_heard(view))


def _heard(view: SplitView) -> frozenset[str]:
    return named(" ".join(view.heard), view.vocabulary)


def greed_shown(view: SplitView) -> list[bool]:
    """Whether the other was greedy, in each past round that shows it."""
    shares = [
        greed(seen.other, seen.values.other, seen.values.own, seen.stock)
        for seen in view.past
        if seen.values is not None and seen.other is not None
    ]
    return [share > 1 / 2 for share in shares if share is not None]
