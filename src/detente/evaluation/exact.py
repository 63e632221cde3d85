"""The best plan against an agent whose rule is known, by dynamic programming over the states that a round can begin in.

    V(s) = max over answers of the expectation of [a u + b v + c V(s')]        u, v: points of the responder and of the agent

The weights (a, b) are the responder's aim: its own points (1, 0), which gives the best response; harm (0, -1), which gives the
floor, the least that an opponent can leave the agent; or the margin (1, -1). c is the probability that the game goes on after a
round. With a fixed number of rounds c is 1, and the value is that of a responder who knows the last round, which players are not
told. In a matrix game a state is a history of joint moves. Where histories were left out, every value comes with bounds: after
such a history a round is worth at least the worst and at most the best entry of the payoff table. Where there are too many full
histories, the last k joint moves stand for them, see ``last_moves``.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from detente.evaluation.histories import Behaviour, History
from detente.games.decisions import Chance, Choice, End, Node, Path, Process, fold
from detente.games.matrix import MatrixGame
from detente.records import Episode

Aim = Literal["own", "harm", "margin"]
AIMS: dict[Aim, tuple[int, int]] = {"own": (1, 0), "harm": (0, -1), "margin": (1, -1)}  # weights of the two sides' points
DIGITS = 9  # values that agree in these digits after the point are equal
Plan = Mapping[tuple[int, Hashable, Path], str]  # [rounds played, state, path in the round] -> the answer


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
    """A plan and what it is worth: expected totals over an episode of the aim, of the responder and of the agent.

    ``plan[rounds played, state, path]`` is the responder's answer.
    """

    value: Bounds
    own: Bounds
    agent: Bounds
    plan: Plan


class _Worth(NamedTuple):
    """Bounds of the aim, and of both sides' points under the plan."""

    low: float
    high: float
    own_low: float
    own_high: float
    agent_low: float
    agent_high: float


def solve(process: Process, rounds: int, *, continuation: float | None = None, aim: Aim = "own") -> Response:
    """The plan of maximum aim over at most ``rounds`` rounds; of answers of equal value the one that gives the responder most, and
    of these the first."""
    weights, goes_on = AIMS[aim], 1.0 if continuation is None else continuation
    (u_low, u_high), (v_low, v_high) = process.span
    unknown = (_aim(weights, u_low, v_high), _aim(weights, u_high, v_low), u_low, u_high, v_low, v_high)
    left = [0.0, *itertools.accumulate(goes_on**t for t in range(rounds))][::-1]  # rounds that are expected after so many
    plan: dict[tuple[int, Hashable, Path], str] = {}
    after: dict[Hashable, _Worth] = {}

    def total(played: int, state: Hashable) -> _Worth:
        return after.get(state) or _Worth(*(bound * left[played] for bound in unknown))

    def value(tree: Node, played: int, state: Hashable) -> _Worth:
        def end(node: End) -> _Worth:
            now = (_aim(weights, node.own, node.theirs), node.own, node.theirs)
            return _Worth(*(now[i // 2] + goes_on * bound for i, bound in enumerate(total(played + 1, node.state))))

        def chance(branches: Sequence[tuple[float, _Worth]]) -> _Worth:
            return _Worth(*(sum(p * worth[i] for p, worth in branches) for i in range(6)))

        def choice(path: Path, options: Mapping[str, _Worth]) -> _Worth:
            chosen = max(options, key=lambda answer: [round(bound, DIGITS) for bound in options[answer][:3]])
            plan[played, state, path] = chosen
            low, high = (max(worth[i] for worth in options.values()) for i in (0, 1))
            return options[chosen]._replace(low=low, high=high)

        return fold(tree, end, chance, choice)

    trees = _reachable(process, rounds)
    for played in reversed(range(rounds)):
        after = {state: value(tree, played, state) for state, tree in trees[played].items()}
    result = total(0, process.start)
    return Response(Bounds(*result[:2]), Bounds(*result[2:4]), Bounds(*result[4:]), plan)


def _aim(weights: tuple[int, int], own: float, theirs: float) -> float:
    return weights[0] * own + weights[1] * theirs


def _reachable(process: Process, rounds: int) -> list[dict[Hashable, Node]]:
    """[rounds played] the states that are known and can be reached, with their rounds."""
    known: dict[Hashable, Node | None] = {}
    level: list[dict[Hashable, Node]] = []
    states: Iterable[Hashable] = (process.start,)
    for _ in range(rounds):
        for state in states:
            if state not in known:
                known[state] = process.round(state)
        level.append({state: tree for state in states if (tree := known[state]) is not None})
        states = dict.fromkeys(state for tree in level[-1].values() for state in _following(tree))
    return level


def _following(tree: Node) -> list[Hashable]:
    """The states that a round can lead to."""
    states: list[Hashable] = []
    fold(tree, lambda end: states.append(end.state), lambda branches: None, lambda path, options: None)
    return states


# ---- matrix games


@dataclass(frozen=True)
class Histories:
    """A matrix game against an agent on ``seat``, a state being a history with the agent's moves first, or its end.

    ``memory``: the agent's behaviour is given after the last ``memory`` joint moves (see ``last_moves``), else after full
    histories. ``moves`` are those that the responder may play.
    """

    game: MatrixGame
    agent: Behaviour
    seat: int
    memory: int | None
    moves: Sequence[str]

    start: History = ()

    @property
    def span(self) -> tuple[tuple[float, float], tuple[float, float]]:
        cells = [cell for row in self.game.payoffs for cell in row]
        own, theirs = ([cell[seat] for cell in cells] for seat in (1 - self.seat, self.seat))
        return (min(own), max(own)), (min(theirs), max(theirs))

    def round(self, state: Hashable) -> Node | None:
        """Both move at once; None where the agent's probabilities are not known."""
        if state not in self.agent.probabilities:
            return None
        history: History = state  # type: ignore[assignment]
        acts = [(action, p) for action, p in zip(self.agent.actions, self.agent.probabilities[history], strict=True) if p > 0]
        return Choice(
            tuple((move, Chance(tuple((action, p, self._end(history, action, move)) for action, p in acts))) for move in self.moves)
        )

    def _end(self, history: History, action: str, move: str) -> End:
        row, column = (action, move) if self.seat == 0 else (move, action)
        points = self.game.payoffs[self.game.actions.index(row)][self.game.actions.index(column)]
        return End(points[1 - self.seat], points[self.seat], recent((*history, (action, move)), self.memory))


def best_response(
    game: MatrixGame,
    agent: Behaviour,
    rounds: int,
    *,
    seat: int = 1,
    memory: int | None = None,
    moves: Sequence[str] | None = None,
    aim: Aim = "own",
) -> Response:
    """The best response to an agent on ``seat`` over ``rounds`` rounds, see ``Histories``.

    With a single move in ``moves`` the value is that of always playing it.
    """
    process = Histories(game, agent, seat, memory, moves or game.actions)
    return solve(process, rounds, continuation=game.continuation, aim=aim)


def recent(history: History, memory: int | None) -> History:
    """The last ``memory`` joint moves of a history, or all of it."""
    return history if memory is None else history[len(history) - memory :] if memory < len(history) else history


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
        if (played, state, ()) not in response.plan:
            break
        probabilities = agent.probabilities[state]
        likely = agent.actions[probabilities.index(max(probabilities))]
        history = (*history, (likely, response.plan[played, state, ()]))
    return history
