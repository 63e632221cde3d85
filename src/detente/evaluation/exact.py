"""The best response to a frozen agent in a matrix game, by dynamic programming over histories.

    V(h) = max_a sum_b P(b | h) [u(a, b) + c V(h + (b, a))]        a: the responder's move, b: the agent's

u are the responder's points and c the probability that the game goes on after a round. With a fixed number of rounds c is 1, and
the value is that of a responder who knows the last round, which players are not told. Where histories were left out, every value
comes with bounds: after such a history the responder gets at least the worst and at most the best payoff of each remaining round.
Where there are too many full histories, the last k joint moves stand for them, see ``last_moves``.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from detente.evaluation.histories import Behaviour, History
from detente.games.matrix import MatrixGame
from detente.records import Episode


@dataclass(frozen=True, slots=True)
class Bounds:
    """A number in [low, high]."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class Response:
    """A plan and what it is worth: expected totals over an episode of the responder and of the agent.

    ``plan[round, history]`` is the responder's move; histories have the agent's move first.
    """

    value: Bounds
    agent: Bounds
    plan: Mapping[tuple[int, History], str]


def best_response(
    game: MatrixGame,
    agent: Behaviour,
    rounds: int,
    *,
    seat: int = 1,
    memory: int | None = None,
    moves: Sequence[str] | None = None,
) -> Response:
    """The best response to an agent on ``seat`` over ``rounds`` rounds; of moves with equal values the first.

    ``memory``: the agent's behaviour is given after the last ``memory`` joint moves (see ``last_moves``), else after full
    histories. ``moves`` limits the responder; with a single move the value is that of always playing it.
    """
    goes_on = 1.0 if game.continuation is None else game.continuation
    left = [0.0, *itertools.accumulate(goes_on**t for t in range(rounds))][::-1]  # rounds that are expected after so many
    points = {  # (responder's, agent's), by (agent's move, responder's move)
        (own, other): (cell[1 - seat], cell[seat])
        for own, other in itertools.product(game.actions, repeat=2)
        for cell in [_cell(game, (own, other) if seat == 0 else (other, own))]
    }
    worst, best = (tuple(pick(p[i] for p in points.values()) for i in (0, 1)) for pick in (min, max))
    plan: dict[tuple[int, History], str] = {}
    known: dict[tuple[int, History], tuple[Bounds, Bounds]] = {}

    def worth(played: int, history: History) -> tuple[Bounds, Bounds]:
        """The value of the remaining rounds, to the responder and to the agent."""
        unread = _unknown(worst[0], best[0], left[played]), _unknown(worst[1], best[1], left[played])
        return known.get((played, recent(history, memory)), unread)

    def after(played: int, history: History, move: str) -> tuple[Bounds, Bounds]:
        terms = []
        for action, p in zip(agent.actions, agent.probabilities[history], strict=True):
            if p > 0:
                own, other = points[action, move]
                value, theirs = worth(played + 1, (*history, (action, move)))
                terms.append((p, own, value, other, theirs))
        return (
            Bounds(
                sum(p * (u + goes_on * v.low) for p, u, v, _, _ in terms),
                sum(p * (u + goes_on * v.high) for p, u, v, _, _ in terms),
            ),
            Bounds(
                sum(p * (u + goes_on * v.low) for p, _, _, u, v in terms),
                sum(p * (u + goes_on * v.high) for p, _, _, u, v in terms),
            ),
        )

    by_length: dict[int, list[History]] = defaultdict(list)
    for history in agent.probabilities:
        by_length[len(history)].append(history)
    for played in reversed(range(rounds)):
        for history in by_length[played if memory is None else min(played, memory)]:
            options = {move: after(played, history, move) for move in moves or game.actions}
            chosen = max(options, key=lambda move: (options[move][0].low, options[move][0].high))
            value, other = options[chosen]
            plan[played, history] = chosen
            known[played, history] = Bounds(value.low, max(option.high for option, _ in options.values())), other
    value, other = worth(0, ())
    return Response(value, other, plan)


def recent(history: History, memory: int | None) -> History:
    """The last ``memory`` joint moves of a history, or all of it."""
    return history if memory is None else history[len(history) - memory :] if memory < len(history) else history


def _cell(game: MatrixGame, joint: tuple[str, str]) -> tuple[float, float]:
    return game.payoffs[game.actions.index(joint[0])][game.actions.index(joint[1])]


def _unknown(worst: float, best: float, rounds: float) -> Bounds:
    return Bounds(worst * rounds, best * rounds)


def last_moves(game: MatrixGame, episodes: Iterable[Episode], memory: int, *, seat: int = 1, counted: bool = False) -> Behaviour:
    """An agent's mean probabilities after each sequence of its last ``memory`` joint moves, over the histories of these episodes.

    Shorter histories at the start of the game are kept apart. ``counted`` uses the actions played in place of the probabilities,
    which say nothing of invalid answers.
    """
    probabilities: dict[History, list[tuple[float, ...]]] = defaultdict(list)
    for episode in episodes:
        history: History = ()
        for played in episode.rounds:
            moves = {turn.player: turn for turn in played.turns}
            own = moves[seat]
            known = (() if counted else own.completion.probabilities) or tuple(
                float(own.action == action) for action in game.actions
            )
            probabilities[recent(history, memory)].append(tuple(p / sum(known) for p in known))
            history = (*history, (own.action, moves[1 - seat].action))
    means = {state: tuple(sum(column) / len(rows) for column in zip(*rows, strict=True)) for state, rows in probabilities.items()}
    return Behaviour(game.actions, means, dict.fromkeys(means, 1.0), complete=False)


def likely_play(agent: Behaviour, response: Response, rounds: int, memory: int | None = None) -> History:
    """The joint moves when the agent always takes its most probable action, as far as the plan goes."""
    history: History = ()
    for played in range(rounds):
        state = recent(history, memory)
        if (played, state) not in response.plan:
            break
        probabilities = agent.probabilities[state]
        likely = agent.actions[probabilities.index(max(probabilities))]
        history = (*history, (likely, response.plan[played, state]))
    return history
