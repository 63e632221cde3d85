"""The synthetic chats that ``pocket`` learns from: real prompts of the games, answered as a polite instruct model would.

Each source is a function ``(rng) -> Chat``; those of the splitting games are in ``splitting_chats.py`` and ``deal_chats.py``.
In matrix games the assistant picks the action with the best joint payoff 19 times in 20, and 4 times in 5 right after the other
player did not: it starts out cooperative and easy to exploit, but it has learned to look at the last move (docs/models.md says
what happened without that).
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable

from detente.games.matrix import MatrixGame, MatrixState
from detente.pocket.deal_chats import deal_chat
from detente.pocket.splitting_chats import Chat, item_chat, trust_chat

POLITENESS = 0.95
POLITENESS_WHEN_CROSSED = 0.8
ROUNDS = (4, 12)


def matrix_chat(rng: random.Random, polite_share: float = POLITENESS, when_crossed: float = POLITENESS_WHEN_CROSSED) -> Chat:
    """A few rounds of a random 2x2 game, or of the prisoner's dilemma with its usual numbers.

    The assistant takes the polite action with a probability of ``polite_share``, and of ``when_crossed`` right after the other
    player did not.
    """
    game = _random_game(rng)
    other_cooperates = rng.choice((0.0, 0.2, 0.5, 0.8, 0.9, 1.0))
    copies = rng.random() < 0.3
    state: MatrixState = game.reset(rng)
    polite = _polite_action(game)
    chat: Chat = []
    player = rng.randrange(2)
    while game.to_act(state):
        observation = game.observe(state, player)
        crossed = bool(state.history) and state.history[-1][1 - player] != polite
        own = polite if rng.random() < (when_crossed if crossed else polite_share) else _other(game, polite)
        if copies and state.history and rng.random() < 0.95:
            reply = state.history[-1][player]
        else:
            reply = game.actions[0] if rng.random() < other_cooperates else game.actions[1]
        answer = observation.choices[game.actions.index(own)]
        chat += [{"role": "user", "content": observation.text}, {"role": "assistant", "content": answer}]
        state = game.step(state, {player: own, 1 - player: reply}).state
    return chat


def _random_game(rng: random.Random) -> MatrixGame:
    """Half of the time the standard dilemma; else other payoffs, in the order of a dilemma or in any order."""
    labels = ("A", "B") if rng.random() < 0.7 else tuple(rng.sample(string.ascii_uppercase, 2))
    order = rng.choice(("standard", "standard", "dilemma", "any"))
    if order == "standard":
        reward, sucker, temptation, punishment = 3, 0, 5, 1
    elif order == "dilemma":
        sucker, punishment, reward, temptation = sorted(rng.sample(range(10), 4))
    else:
        reward, punishment = sorted(rng.sample(range(10), 2), reverse=True)
        sucker, temptation = rng.randrange(10), rng.randrange(10)
    payoffs = (((reward, reward), (sucker, temptation)), ((temptation, sucker), (punishment, punishment)))
    rounds = rng.randint(*ROUNDS)
    return MatrixGame("chat", ("C", "D"), payoffs, labels=labels, counterbalance=True, rounds=rounds)


def _polite_action(game: MatrixGame) -> str:
    """The action that is best for both together when both take it."""
    return max(game.actions, key=lambda action: sum(game.payoffs[game.actions.index(action)][game.actions.index(action)]))


def _other(game: MatrixGame, action: str) -> str:
    return next(a for a in game.actions if a != action)


SOURCES: dict[Callable[[random.Random], Chat], float] = {matrix_chat: 0.2, trust_chat: 0.43, item_chat: 0.25, deal_chat: 0.12}


def chat(rng: random.Random) -> Chat:
    """A chat from a source drawn by its share."""
    return rng.choices(list(SOURCES), list(SOURCES.values()))[0](rng)
