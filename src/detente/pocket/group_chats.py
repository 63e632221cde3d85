"""The chats that ``pocket_groups`` learns from: games of several players, and games with amounts, played for the record.

    source ── a game with drawn parameters ──> seats: the assistant, scripts, more of the assistant's kind ──> one seat's chat

The games are played by the package's own rollout, so that prompts are those that a model will read, whatever a game says.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from detente.games import make
from detente.games.base import Game
from detente.games.family import Probabilities, Strategy, family_of, strategies_for
from detente.players.scripted import Scripted
from detente.pocket import group_manners as manners
from detente.pocket.splitting_chats import Chat
from detente.records import Episode
from detente.rollout import Match, play_matches

Manner = Callable[[Any, Any, random.Random], "str | Probabilities"]  # what the assistant answers in a game to a view
PRESET = 0.6  # how often public goods are played with the parameters of the presets
SCRIPTS = 2  # that an episode's partners may be, beside the assistant's kind


@dataclass(frozen=True)
class Kind:
    """``draw`` makes a game of drawn parameters, in which the assistant has this ``manner``; of so many of all chats."""

    draw: Callable[[random.Random], Game]
    manner: Manner
    share: float


def played(game: Game, manner: Manner, rng: random.Random) -> tuple[Episode, int]:
    """An episode with the assistant on a seat that is drawn, and the seat. The others are scripts or of the assistant's manner."""
    known = family_of(game).strategies
    names = [name for name in strategies_for(game) if name in known]
    own: Strategy = partial(manner, game)
    partners = [own, *(known[name] for name in rng.sample(names, min(SCRIPTS, len(names))))]
    seat = rng.randrange(game.num_players)
    seats = [own if player == seat else rng.choice(partners) for player in range(game.num_players)]
    players = [Scripted("chat", rng.getrandbits(32), strategy) for strategy in seats]
    (episode,) = play_matches([Match(game, rng.getrandbits(32), players)])
    return episode, seat


def recorded(game: Game, manner: Manner, rng: random.Random) -> Chat:
    """What the assistant reads and answers in a game, in an episode in which it is asked something."""
    chat: Chat = []
    while not chat:
        episode, seat = played(game, manner, rng)
        for turn in episode.turns(seat):
            chat += [{"role": "user", "content": turn.prompt}, {"role": "assistant", "content": turn.completion.text}]
    return chat


def goods(rng: random.Random) -> Game:
    """Public goods without institutions."""
    if rng.random() < PRESET:
        return make(
            "public_goods", players=3, institutions=False, multiplier=1.8, levels=[0, 10, 20], window=1, rounds=rng.randint(3, 10)
        )
    players = rng.choice((2, 3, 4, 5))
    return make(
        "public_goods",
        players=players,
        institutions=False,
        multiplier=rng.choice([multiplier for multiplier in (1.2, 1.4, 1.5, 1.6, 1.8, 2, 2.4, 3) if multiplier < players]),
        rounds=rng.randint(2, 7),
        **_terms(rng),
    )


def sanctions(rng: random.Random) -> Game:
    """Public goods with institutions, mostly among few: their chats are long."""
    preset = rng.random() < PRESET
    players = rng.choice((3, 4, 7) if preset else (3, 4, 5))
    given = {"levels": [0, 10, 20], "window": 1} if preset else _terms(rng) | {"tokens": rng.choice((5, 10, 20))}
    rounds = rng.choice((2, 3, 4, 2, 3, 10)) if players > 4 else rng.randint(2, 6)
    return make("public_goods", players=players, counterbalance=rng.random() < 0.8, multiplier=1.6, rounds=rounds, **given)


def _terms(rng: random.Random) -> dict[str, Any]:
    endowment = rng.choice((20, 20, 10))
    levels = rng.choice((None, [0, endowment // 2, endowment]))
    return {"endowment": endowment, "levels": levels, "window": rng.choice((1, 2, 5)), "noise": 0.1 * (rng.random() < 0.15)}


def gifts(rng: random.Random) -> Game:
    """The donor game."""
    return make(
        "donor",
        players=rng.choice((4, 6, 12)),
        rounds=rng.randint(3, 12),
        trace=rng.choice((0, 1, 3, 3, 3)),
        punishment=rng.random() < 0.25,
        levels=rng.choice(((), (0, 25, 50, 75, 100))),
    )


def fishing(rng: random.Random) -> Game:
    """The commons, now and then with a round of talk or noise."""
    return make(
        "commons",
        players=rng.choice((5, 5, 5, 3, 4)),
        rounds=rng.randint(3, 12),
        capacity=rng.choice((100, 100, 100, 60, 80)),
        messages=int(rng.random() < 0.25),
        noise=0.1 * (rng.random() < 0.1),
    )


def investing(rng: random.Random) -> Game:
    """The investor game."""
    return make(
        "investor", rounds=rng.randint(3, 10), endowment=rng.choice((10, 10, 10, 20)), multiplier=rng.choice((3, 3, 3, 2, 4))
    )


def trading(rng: random.Random) -> Game:
    """Bargaining over a price."""
    return make("bargaining", rounds=rng.randint(2, 10), messages=int(rng.random() < 0.8), revealed=rng.random() < 0.8)


def tables(rng: random.Random) -> Game:
    """The trust game, the traveler's dilemma, and now and then other payoff tables."""
    name = rng.choices(("trust_game", "travelers_dilemma", "ipd", "stag_hunt", "chicken"), (4, 4, 1, 0.5, 0.5))[0]
    return make(name, rounds=rng.randint(4, 12), counterbalance=rng.random() < 0.25)


KINDS = (
    Kind(goods, manners.public_goods, 0.34),
    Kind(sanctions, manners.public_goods, 0.18),
    Kind(gifts, manners.donor, 0.11),
    Kind(fishing, manners.commons, 0.11),
    Kind(investing, manners.investor, 0.09),
    Kind(trading, manners.bargaining, 0.09),
    Kind(tables, manners.matrix, 0.08),
)


def group_chat(rng: random.Random) -> Chat:
    """A chat of a kind of games drawn by its share."""
    (kind,) = rng.choices(KINDS, [kind.share for kind in KINDS])
    return recorded(kind.draw(rng), kind.manner, rng)


def reading_matter(rng: random.Random) -> Chat:
    """What the tokenizer is made of: all numbers up to 100, and a chat of any kind of games, all equally likely."""
    kind = rng.choice(KINDS)
    numbers = {"role": "user", "content": " ".join(map(str, range(101)))}
    return [numbers, *recorded(kind.draw(rng), kind.manner, rng)]
