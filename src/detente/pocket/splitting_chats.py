"""Chats of the splitting games for ``pocket``: it names what it holds, believes what it is told, and asks fairly.

The assistant mostly asks for all of what it values more and for nothing of what it values less; the rest spreads over other asks,
so that learning has something to choose from. While the other player's last telling ask was greedy, it asks for more of what it
values less, but gives way more often than not: easy to exploit, and not blind. Its partners are of all kinds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from detente.games.splitting import SplittingGame
from detente.games.splitting.deals import Deal, SplitState, SplitView
from detente.games.splitting.item_split import split_no_comm, trust_and_split_items
from detente.games.splitting.strategies import greed_shown, values_of
from detente.games.splitting.trust_and_split import trust_and_split

Chat = list[dict[str, str]]
Standing = Literal["higher", "lower", "tie", "unknown"]  # what one values more or less than the other does
Talk = Literal["honest", "lies", "chats", "silent"]
Appetite = Literal["fair", "greedy", "half", "random", "copies"]

OWN_WORDINGS = {  # by the game's own claim, which is said most of the time
    "My hand is {}.": ("I have {}.", "I hold {}."),
    "I value {} most.": ("I want {}.", "I need {}."),
}
PARTNER_WORDINGS = (
    "{}",
    "{}!",
    "I've got {}.",
    "Mine: {}.",
    "Hi, {} here. And you?",
    "This time it is {}, be fair.",
    "{}, trust me.",
)
SMALL_TALK = ("Hello.", "Let us cooperate.", "What do you have?", "Trust me.", "Be fair, please.", "ok", "Good luck!")

# The probabilities of asking for everything, for half, for nothing; the rest is any amount.
FAIR: dict[Standing, tuple[float, float, float]] = {
    "higher": (0.88, 0.06, 0.0),
    "lower": (0.04, 0.06, 0.82),
    "tie": (0.06, 0.86, 0.02),
    "unknown": (0.10, 0.80, 0.0),
}
CROSSED = FAIR | {"lower": (0.22, 0.14, 0.56)}
HONESTY = 0.97
ROUNDS = (3, 10)


@dataclass(frozen=True)
class Partner:
    """How the other player talks and asks."""

    talk: Talk
    ask: Appetite

    @classmethod
    def drawn(cls, rng: random.Random) -> Partner:
        """Mostly honest, and of every appetite."""
        return cls(
            rng.choices(get_args(Talk), (0.72, 0.14, 0.07, 0.07))[0],
            rng.choices(get_args(Appetite), (0.35, 0.2, 0.1, 0.1, 0.25))[0],
        )


Own = Callable[[SplitView, random.Random], str]
Others = Callable[[SplitView, Partner, random.Random], str]


def trust_chat(rng: random.Random) -> Chat:
    """Trust-and-Split, most of the time as the presets play it."""
    options = {"coins": rng.choice((5, 7, 20)), "alternating_hands": rng.random() < 0.5} if rng.random() < 0.15 else {}
    game = trust_and_split(**options, **_variation(rng, ("values", "asks")))
    state = game.reset(rng)
    return _chat(game, _tilted(game, state, rng) if rng.random() < 0.6 else state, rng)


def item_chat(rng: random.Random) -> Chat:
    """Three items, with public values and no talk, or private values and talk."""
    if rng.random() < 0.7:
        game = split_no_comm(rounds=rng.randint(*ROUNDS))
    else:
        game = trust_and_split_items(**_variation(rng, ("values", "asks", "points")))
    return _chat(game, game.reset(rng), rng)


def _chat(game: SplittingGame, state: SplitState, rng: random.Random) -> Chat:
    return play(game, state, Partner.drawn(rng), rng, own=(_own_message, _own_ask), others=(_message, _ask))


def _tilted(game: SplittingGame, state: SplitState, rng: random.Random) -> SplitState:
    """Most rounds are rock against paper.

    Where all pairs of hands are equally likely, either hand alone says nothing about who wins, and a small model is slow to find
    out that both together do.
    """
    deals: list[Deal] = []
    for deal in state.deals:
        for _ in range(2):
            if {*deal.truth[0], *deal.truth[1]} != {"rock", "paper"}:
                deal = game.draw(rng, deals[-1] if deals else None)
        deals.append(deal)
    return replace(state, deals=tuple(deals))


def _variation(rng: random.Random, reveal: tuple[str, ...]) -> dict[str, Any]:
    """Other messages, tags and summaries now and then."""
    rounds = rng.randint(*ROUNDS)
    if rng.random() < 0.75:
        return {"rounds": rounds}
    return {
        "rounds": rounds,
        "messages": rng.choice((0, 1, 2)),
        "tags": rng.choice(("angle", "xml", "line")),
        "reveal": rng.choice((reveal, ("values", "asks"), ("values", "asks", "points"))),
    }


def play(
    game: SplittingGame,
    state: SplitState,
    partner: Partner,
    rng: random.Random,
    own: tuple[Own, Own],
    others: tuple[Others, Others],
) -> Chat:
    """One player's side of an episode; ``own`` and ``others`` say how each talks and asks."""
    seat = rng.randrange(2)
    chat: Chat = []
    news = ""
    while acting := game.to_act(state):
        observation = game.observe(state, seat)
        news = "\n".join(filter(None, (news, observation.text)))
        decides = observation.phase == "decision"
        answers = {}
        if seat in acting:
            answers[seat] = own[decides](observation.view, rng)
            chat += [{"role": "user", "content": news}, {"role": "assistant", "content": answers[seat]}]
            news = ""
        if 1 - seat in acting:
            answers[1 - seat] = others[decides](game.observe(state, 1 - seat).view, partner, rng)
        state = game.step(state, {player: game.parse(state, player, answer) for player, answer in answers.items()}).state
    return chat


def _own_message(view: SplitView, rng: random.Random) -> str:
    wording = view.claim if rng.random() < 0.8 else rng.choice(OWN_WORDINGS[view.claim])
    words = view.truth if rng.random() < HONESTY else lie(view, rng)
    return view.message(wording.format(" and ".join(words)))


def _message(view: SplitView, partner: Partner, rng: random.Random) -> str:
    if partner.talk == "silent":
        return view.message("")
    if partner.talk == "chats":
        return view.message(rng.choice(SMALL_TALK))
    own = (view.claim, *OWN_WORDINGS[view.claim])
    wording = rng.choice(own) if rng.random() < 0.7 else rng.choice(PARTNER_WORDINGS)
    words = lie(view, rng) if partner.talk == "lies" else view.truth
    return view.message(wording.format(" and ".join(words)))


def lie(view: SplitView, rng: random.Random) -> tuple[str, ...]:
    """A word that an honest player would not name."""
    return (rng.choice([word for word in view.vocabulary if word not in view.truth] or view.vocabulary),)


def _own_ask(view: SplitView, rng: random.Random) -> str:
    chances = CROSSED if any(greed_shown(view)[-1:]) else FAIR
    return view.ask(_amount(q, *chances[standing], rng) for q, standing in zip(view.stock, _standings(view), strict=True))


def _amount(stock: int, everything: float, half: float, nothing: float, rng: random.Random) -> int:
    level = rng.random()
    if level < everything:
        return stock
    if level < everything + half:
        return stock // 2
    return 0 if level < everything + half + nothing else rng.randint(0, stock)


def _ask(view: SplitView, partner: Partner, rng: random.Random) -> str:
    style = partner.ask
    if style == "copies":
        style = "greedy" if any(greed_shown(view)[-1:]) else "fair"
    if style == "random":
        return view.ask(rng.randint(0, q) for q in view.stock)
    if style == "fair":
        part = {"higher": 1.0, "lower": 0.0, "tie": 0.5, "unknown": 0.5}
        return view.ask(int(q * part[standing]) for q, standing in zip(view.stock, _standings(view), strict=True))
    return view.ask(q if style == "greedy" else q // 2 for q in view.stock)


def _standings(view: SplitView) -> list[Standing]:
    """Item by item, as far as the player knows."""
    values = values_of(view)
    if values is None:
        return ["unknown"] * len(view.stock)
    return [
        "tie" if own == other else "higher" if own > other else "lower" for own, other in zip(values.own, values.other, strict=True)
    ]
