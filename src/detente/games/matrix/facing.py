"""What a player faces against a script in a matrix game, exactly, over any number of rounds.

    history ── shortened ──> a history of three joint moves at most, on which the script's answer is the same

The strategies of the package look at the last two joint moves, and at whether a player has ever done anything but its first
action. So one joint move can stand for all that came before the last two, and there are few states.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import product

from detente.games.decisions import Chance, Choice, End, Node
from detente.games.family import Probabilities, Strategy
from detente.games.matrix.rules import MatrixGame, MatrixView
from detente.games.matrix.strategies import MATRIX

LAST = 2  # joint moves at which the strategies look one by one
MOST_ACTIONS = 4  # states are up to four times the fourth power of them

History = tuple[tuple[str, str], ...]  # joint moves, the row player's first


@dataclass(frozen=True)
class Facing:
    """The decision process of a player against a script on ``seat``; see ``games.decisions.Process``. A state is a short history.

    With ``plays`` the player decides nothing and plays by this strategy.
    """

    game: MatrixGame
    script: Strategy
    seat: int
    plays: Strategy | None = None

    start: History = ()

    @property
    def rounds(self) -> int:
        return self.game.rounds if self.game.continuation is None else self.game.max_rounds

    @property
    def continuation(self) -> float | None:
        return self.game.continuation

    @property
    def span(self) -> tuple[tuple[float, float], tuple[float, float]]:
        cells = [cell for row in self.game.payoffs for cell in row]
        own, theirs = ([cell[seat] for cell in cells] for seat in (1 - self.seat, self.seat))
        return (min(own), max(own)), (min(theirs), max(theirs))

    def round(self, state: Hashable) -> Node:
        """Both move at once; then the player is told what was played."""
        history: History = state  # type: ignore[assignment]
        actions = self.game.actions
        theirs = self._played(self._asked(self.script, history, self.seat))
        if self.plays is not None:
            own = self._played(self._asked(self.plays, history, 1 - self.seat))
            return self._told(history, own, theirs)
        certain = (tuple(float(action == chosen) for action in actions) for chosen in actions)
        options = (self._told(history, self._played(chosen), theirs) for chosen in certain)
        return Chance((((), 1.0, Choice(tuple(zip(actions, options, strict=True)))),))

    def tells(self, view: MatrixView) -> tuple[int, Hashable, Hashable]:
        """What the player learns from a view: how many rounds are over, what was played in the last one, and nothing now."""
        played = (view.own[-1], view.other[-1]) if view.own else None
        return len(view.own), played, ()

    def says(self, view: MatrixView, answer: str) -> str:
        """The label of an action."""
        return view.answers[view.actions.index(answer)]

    def _told(self, history: History, own: Probabilities, theirs: Probabilities) -> Node:
        actions = self.game.actions
        pairs = ((a, b, p * q) for (a, p), (b, q) in product(zip(actions, own, strict=True), zip(actions, theirs, strict=True)))
        return Chance(tuple(((a, b), p, self._end(history, a, b)) for a, b, p in pairs if p > 0))

    def _end(self, history: History, own: str, theirs: str) -> End:
        joint = (own, theirs) if self.seat == 1 else (theirs, own)
        row, column = (self.game.actions.index(action) for action in joint)
        points = self.game.payoffs[row][column]
        return End(points[1 - self.seat], points[self.seat], shortened((*history, joint), self.game.actions))

    def _asked(self, strategy: Strategy, history: History, seat: int) -> Probabilities:
        answer = strategy(self.game.view(history, seat), random.Random(0))
        assert not isinstance(answer, str), "the strategies of matrix games say how likely each action is"
        return answer

    def _played(self, chosen: Probabilities) -> Probabilities:
        """How likely each action is to be played where noise replaces some that are chosen."""
        if not self.game.noise:
            return chosen
        moved = self.game.noise / (len(chosen) - 1)
        return tuple(p * (1 - self.game.noise) + (1 - p) * moved for p in chosen)


def faces(game: MatrixGame, script: Strategy, seat: int, plays: Strategy | None) -> Facing | None:
    """What a player faces; None where a strategy is not of the package, or the game has many actions."""
    known = {strategy for strategy in (script, plays) if strategy is not None} <= {*MATRIX.values()}
    return Facing(game, script, seat, plays) if known and len(game.actions) <= MOST_ACTIONS else None


def shortened(history: History, actions: tuple[str, ...]) -> History:
    """The last joint moves, and before them one for all that came earlier: each player's first action if it never did anything
    else, its last action otherwise."""
    if len(history) <= LAST:
        return history
    return (_summed_up(history[:-LAST], actions), *history[-LAST:])


def _summed_up(earlier: History, actions: tuple[str, ...]) -> tuple[str, str]:
    rows, columns = zip(*earlier, strict=True)
    first, last = actions[0], actions[-1]
    return first if {*rows} == {first} else last, first if {*columns} == {first} else last
