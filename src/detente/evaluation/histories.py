"""What a frozen agent does after every history of a matrix game: its own probabilities, not frequencies of play.

    agent, history of joint moves ──> P(each action)          history: ((own, other's), ...), the agent's move first

The agent's chat is forked wherever it could have made another move, so that every history has the chat to which this play would
have led. Histories that are too improbable are left out, and the result says so. Must not load torch; agents that are models do.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from detente.errors import UserError
from detente.games.base import Observation
from detente.games.matrix import MatrixGame, MatrixState
from detente.games.matrix.measures import invalid
from detente.players.base import Player
from detente.players.llm import LLMPlayer
from detente.policies import Policies
from detente.records import Completion, PolicyRef
from detente.seeding import derive
from detente.together import run

History = tuple[tuple[str, str], ...]  # joint moves, the agent's own first
Others = Callable[[History], Sequence[str]]  # the other player's moves that are followed after a history
AT_ONCE = 512  # chats that an engine holds at the same time


@dataclass(frozen=True)
class Behaviour:
    """What an agent does. ``probabilities[history]`` are those of ``actions``; ``reach[history]`` is the product of the
    probabilities of the agent's own moves in it. ``complete`` says whether no history was left out for being improbable.
    ``invalid[history]`` is the part of the default action's probability that comes of invalid answers."""

    actions: tuple[str, ...]
    probabilities: Mapping[History, tuple[float, ...]]
    reach: Mapping[History, float]
    complete: bool
    invalid: Mapping[History, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Node:
    history: History
    reach: float
    player: Player  # before it answers in the next round
    briefing: str = ""  # what it is told now, after the game's words


@dataclass
class _Collected:
    probabilities: dict[History, tuple[float, ...]] = field(default_factory=dict)
    reach: dict[History, float] = field(default_factory=dict)
    invalid: dict[History, float] = field(default_factory=dict)
    complete: bool = True


def read(
    policies: Policies,
    policy: PolicyRef,
    start: MatrixState,
    rounds: int,
    *,
    seat: int = 1,
    others: Others | None = None,
    min_reach: float = 0.0,
    limit: int = 100_000,
) -> Behaviour:
    """The agent's probabilities after every history of fewer than ``rounds`` rounds.

    ``start`` is the state before the first round, which decides what the labels mean. ``others`` limits the other's moves that are
    followed (default: all), ``min_reach`` the reach below which a history is left out. UserError if there are more than ``limit``
    histories, and for agents without known probabilities: people, remote models, random strategies of other libraries.
    """
    game: MatrixGame = policies.game  # type: ignore[assignment]
    follow = others or (lambda history: game.actions)
    collected = _Collected()
    if policy.kind == "remote":
        raise UnknownProbabilitiesError(policy)

    async def everything() -> None:
        player = policies.player(policy, chat="history/0", seed=derive(0, "history"))
        if isinstance(player, LLMPlayer):
            player.guided = True  # so that the chat can be continued with any move
        level = [_Node((), 1.0, player, policies.briefing(policy))]
        for _ in range(rounds):
            if len(collected.probabilities) + len(level) > limit:
                raise TooManyHistoriesError(limit)
            parts = [level[i : i + AT_ONCE] for i in range(0, len(level), AT_ONCE)]
            level = [child for part in parts for child in await _expand(game, start, seat, part, follow, min_reach, collected)]

    run(everything())
    return Behaviour(game.actions, collected.probabilities, collected.reach, collected.complete, collected.invalid)


class UnknownProbabilitiesError(UserError):
    """The probabilities of the agent's actions are not known."""

    def __init__(self, policy: PolicyRef) -> None:
        super().__init__(f"The probabilities of {policy} are not known, so what it does can only be counted in play.")


class TooManyHistoriesError(UserError):
    """There are more histories than can be read."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"There are more than {limit} histories to read; play fewer rounds.")


async def _expand(
    game: MatrixGame,
    start: MatrixState,
    seat: int,
    level: Sequence[_Node],
    follow: Others,
    min_reach: float,
    collected: _Collected,
) -> list[_Node]:
    """Read the probabilities of every node, and continue it with every move that is probable enough."""
    children = await asyncio.gather(*(_ask(game, start, seat, node, follow, min_reach, collected) for node in level))
    return [child for branch in children for child in branch]


async def _ask(
    game: MatrixGame,
    start: MatrixState,
    seat: int,
    node: _Node,
    follow: Others,
    min_reach: float,
    collected: _Collected,
) -> list[_Node]:
    state = replace(start, history=tuple((own, other) if seat == 0 else (other, own) for own, other in node.history))
    observation = game.observe(state, seat)
    if node.briefing:
        observation = replace(observation, text=f"{observation.text}\n{node.briefing}")
    asked = _fork(node.player, node.history, "?")
    completion = await asked.act(observation)
    asked.close()
    default = game.actions.index(game.default_action(state, seat))
    probabilities = _probabilities(completion, default)
    collected.probabilities[node.history], collected.reach[node.history] = probabilities, node.reach
    collected.invalid[node.history] = invalid(completion.probabilities)
    children = []
    for action, p in zip(game.actions, probabilities, strict=True):
        if p * node.reach <= min_reach:
            collected.complete = collected.complete and p == 0
            continue
        after = await _made(node, asked, completion, observation, observation.choices[game.actions.index(action)])
        for other in follow(node.history):
            history = (*node.history, (action, other))
            children.append(_Node(history, node.reach * p, _fork(after, history, "")))
    return children


async def _made(node: _Node, asked: Player, completion: Completion, observation: Observation, answer: str) -> Player:
    """The player after it has given this answer."""
    if completion.text == answer:
        return asked
    fork = _fork(node.player, node.history, answer)
    if isinstance(fork, LLMPlayer):  # whose chat has to hold the answer; scripts see what was played
        observation = replace(observation, pattern=re.escape(answer), choices=())
    await fork.act(observation)
    fork.close()
    return fork


def _fork(player: Player, history: History, answer: str) -> Player:
    """A copy of the player in its present state, with a chat of its own from here on."""
    fork = copy.copy(player)
    if isinstance(fork, LLMPlayer):
        fork.chat_id = f"history/{history}/{answer}"
    return fork


def _probabilities(completion: Completion, default: int) -> tuple[float, ...]:
    """The probability that each action is played: the default one also takes that of invalid answers."""
    if not completion.probabilities:
        raise UnknownProbabilitiesError(completion.policy)
    total, lost = sum(completion.probabilities), invalid(completion.probabilities)
    return tuple(p + lost * (i == default) if lost else p / total for i, p in enumerate(completion.probabilities))
