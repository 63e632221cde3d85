"""Chats of Deal or No Deal for ``pocket``: the opener names what it values, the listener makes an offer, the opener agrees.

The offer takes what its speaker values most and leaves what the other named; a greedy partner takes everything. The assistant
agrees to most offers, also to bad offers.
"""

from __future__ import annotations

import random
import re

from detente.games.splitting import named
from detente.games.splitting.deal_or_no_deal import deal_or_no_deal
from detente.games.splitting.deals import SplitView
from detente.pocket.splitting_chats import HONESTY, Chat, Partner, lie, play

AGREEMENT = ("Agreed.", "Deal.", "That is fine with me.")


def deal_chat(rng: random.Random) -> Chat:
    """Deal or No Deal, mostly with two messages each."""
    messages = 2 if rng.random() < 0.8 else rng.choice((1, 3))
    game = deal_or_no_deal(rounds=rng.randint(2, 6), messages=messages)
    return play(game, game.reset(rng), Partner.drawn(rng), rng, own=(own_message, own_ask), others=(message, ask))


def own_message(view: SplitView, rng: random.Random) -> str:
    """Agree to an offer, make one once the other has spoken, else name what one values."""
    if offered(view, view.heard) is not None:
        return view.message(AGREEMENT[0])
    if offered(view, view.said) is not None or view.heard:
        return view.message(offer(view, offered(view, view.said) or share(view)))
    words = view.truth if rng.random() < HONESTY else lie(view, rng)
    return view.message(view.claim.format(" and ".join(words)))


def own_ask(view: SplitView, rng: random.Random) -> str:
    """What was agreed on; now and then something else."""
    units = settled(view)
    if rng.random() < 0.08:
        units = tuple(rng.randint(0, q) for q in view.stock)
    return view.ask(units)


def message(view: SplitView, partner: Partner, rng: random.Random) -> str:
    """A partner's message: greedy ones take all, lying ones name what they value least, silent ones say nothing."""
    if partner.talk == "silent":
        return view.message("")
    if partner.ask == "greedy" and view.heard:
        return view.message(offer(view, view.stock))
    if offered(view, view.heard) is not None:
        return view.message(rng.choice(AGREEMENT))
    if partner.talk == "lies" and not view.heard:
        return view.message(view.claim.format(" and ".join(lie(view, rng))))
    return own_message(view, rng)


def ask(view: SplitView, partner: Partner, rng: random.Random) -> str:
    """A partner's ask: greedy ones want all, random ones anything, the rest what was agreed on."""
    if partner.ask == "greedy":
        return view.ask(view.stock)
    if partner.ask == "random":
        return view.ask(rng.randint(0, q) for q in view.stock)
    return view.ask(settled(view))


def offer(view: SplitView, units: tuple[int, ...]) -> str:
    """``I take 1 books, 2 hats, 0 balls.``"""
    return f"I take {', '.join(f'{n} {item}' for n, item in zip(units, view.items, strict=True))}."


def offered(view: SplitView, messages: tuple[str, ...]) -> tuple[int, ...] | None:
    """The units of the last offer among these messages."""
    pattern = ".*".join(rf"(\d+) {item}" for item in view.items)
    offers = [match for text in messages if (match := re.search(pattern, text))]
    return tuple(map(int, offers[-1].groups())) if offers else None


def share(view: SplitView) -> tuple[int, ...]:
    """All of what one values most and the other did not name, half of what both want, half of the rest, nothing of the other's."""
    theirs = named(" ".join(view.heard), view.items)
    return tuple(
        q if item in view.truth and item not in theirs else 0 if item in theirs and item not in view.truth else (q + 1) // 2
        for item, q in zip(view.items, view.stock, strict=True)
    )


def settled(view: SplitView) -> tuple[int, ...]:
    """One's own offer, or what the other's leaves; half of everything where there was none."""
    if (own := offered(view, view.said)) is not None:
        return own
    if (theirs := offered(view, view.heard)) is not None:
        return tuple(max(0, q - n) for q, n in zip(view.stock, theirs, strict=True))
    return tuple(q // 2 for q in view.stock)
