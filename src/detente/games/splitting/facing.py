"""What a player faces against a script in a splitting game, exactly: every hand, every message, every ask.

    deals, what the script may say ── every draw followed ──> worlds that the player cannot tell apart ──> the tree of a round

A script whose answers depend on the past through a summary of few values says so with ``remembers``. A state is this summary,
who speaks first in the round and what may be dealt. Scripts tell messages apart by the words of the vocabulary that they name.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from detente.errors import UserError
from detente.foreign import fault
from detente.games.decisions import Chance, Choice, End, Node, leaves, mean_points
from detente.games.draws import ContinuumError, outcomes
from detente.games.family import Strategy
from detente.games.splitting.deals import Deal, Played, Seen, SplitState, SplitView
from detente.games.splitting.rules import SplittingGame

S = TypeVar("S", bound=Strategy)
Summary = Callable[[SplitView], Hashable]
Worlds = list[tuple[float, SplitState]]  # each with its probability
Option = tuple[str, Node]
Situation = tuple[tuple[float, int, Deal], ...]  # how likely it is that this player speaks first and this is dealt
MOST_ENDS = 500_000  # of a round


def remembers(summary: Summary) -> Callable[[S], S]:
    """Marks a strategy: its answers depend on ``view.past`` through ``summary(view)`` alone.

    The summary after a round must follow from the one before it and from what the round showed, and have few values, such as
    ``tuple(greed_shown(view)[-2:])``; ``nothing`` for a strategy that looks at no past.
    """

    def mark(strategy: S) -> S:
        setattr(strategy, "remembers", summary)  # noqa: B010 (a function has no such attribute for the type checker)
        return strategy

    return mark


def nothing(view: SplitView) -> Hashable:
    """The summary of a strategy that looks at no past."""
    return ()


class State(NamedTuple):
    """What the rest of an episode depends on: the summary of the past, and the number of the situation."""

    summary: Hashable
    situation: int


class Facing:
    """The decision process of a player against a script on ``seat``; see ``games.decisions.Process``.

    With ``plays`` the player decides nothing and plays by this strategy. UserError where there is no finite description.
    """

    def __init__(self, game: SplittingGame, script: Strategy, seat: int, plays: Strategy | None = None) -> None:
        self.game, self.script, self.plays = game, script, plays
        self.seat, self.own = seat, 1 - seat
        players = [(seat, script), *([] if plays is None else [(self.own, plays)])]
        begin = game.reset(random.Random(0))
        self._summaries = [(self._view(begin, player), _summary(strategy, game)) for player, strategy in players]
        self._messages = [" and ".join(words) for words in _subsets(game.vocabulary or game.items)]
        self._pasts: dict[Hashable, tuple[tuple[Deal, ...], tuple[Played, ...]]] = {}  # one for each summary
        self._situations: dict[Situation, int] = {}
        self._next: dict[tuple[int, Deal], int] = {}
        self._rounds: dict[tuple[Deal, str, str], Played] = {}
        self._trees: dict[Hashable, Node] = {}
        first = [(1 / 2, 0), (1 / 2, 1)] if game.messages else [(1.0, 0)]
        opening = tuple((p * q, speaker, deal) for p, speaker in first for deal, q in self._drawn(None).items())
        self.start = State(self._summarised((), ()), self._number(opening))

    @property
    def rounds(self) -> int:
        return self.game.rounds if self.game.continuation is None else self.game.max_rounds

    @property
    def continuation(self) -> float | None:
        return self.game.continuation

    @property
    def span(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return self.game.reward_bounds, self.game.reward_bounds

    def round(self, state: Hashable) -> Node:
        """Every world that a state may stand for, told apart by what the player is told and does."""
        if state not in self._trees:
            assert isinstance(state, State)
            deals, past = self._pasts[state.summary]
            situation = list(self._situations)[state.situation]
            self._trees[state] = self._told(
                [(p, SplitState((*deals, deal), (speaker - len(past)) % 2, (), past)) for p, speaker, deal in situation]
            )
        return self._trees[state]

    def tells(self, view: SplitView) -> tuple[int, Hashable, Hashable]:
        """What the player learns from a view: how many rounds are over, what the last one showed, and what it is told now."""
        known = view.known
        now = (view.phase, view.stock, view.truth, known.own, known.values, view.said, view.heard)
        return len(view.past), view.past[-1] if view.past else None, now

    def says(self, view: SplitView, answer: str) -> str:
        """Answers are words of the game."""
        return answer

    def _told(self, worlds: Worlds) -> Node:
        """The player is asked, now or once the script has spoken."""
        apart: dict[Hashable, Worlds] = defaultdict(list)
        for p, state in self._until_asked(worlds):
            apart[self.tells(self._view(state, self.own))[2]].append((p, state))
        total = sum(p for p, _ in worlds)
        return Chance(tuple((now, sum(p for p, _ in same) / total, self._asked(same)) for now, same in apart.items()))

    def _until_asked(self, worlds: Worlds) -> Iterator[tuple[float, SplitState]]:
        for p, state in worlds:
            if self.own in self.game.to_act(state):
                yield p, state
            else:
                said = self._answers(self.script, state, self.seat).items()
                yield from self._until_asked([(p * q, self._step(state, {self.seat: text})) for text, q in said])

    def _asked(self, worlds: Worlds) -> Node:
        """The player answers; the worlds are those that look the same to it."""
        view = self._view(worlds[0][1], self.own)
        if view.phase == "message":
            answers = [view.message(view.claim.format(words) if words else "") for words in self._messages]
            return self._answered(
                worlds, answers, lambda text: self._told([(p, self._step(state, {self.own: text})) for p, state in worlds])
            )
        acts = [(p * q, state, text) for p, state in worlds for text, q in self._answers(self.script, state, self.seat).items()]
        if len(acts) * math.prod(q + 1 for q in view.stock) > MOST_ENDS:
            raise UserError(f"{self.game.name} is too large for exact values: too many asks are possible; make the stock smaller.")
        asks = [view.ask(units) for units in itertools.product(*(range(q + 1) for q in view.stock))]
        return self._answered(worlds, asks, lambda text: self._ended(acts, text), undominated)

    def _answered(
        self,
        worlds: Worlds,
        answers: list[str],
        follow: Callable[[str], Node],
        selected: Callable[[list[Option]], list[Option]] = lambda options: options,
    ) -> Node:
        """The player chooses an answer, or gives the one that its strategy says."""
        if self.plays is None:
            return Choice(tuple(selected([(answer, follow(answer)) for answer in answers])))
        said = self._answers(self.plays, worlds[0][1], self.own)
        return Chance(tuple((answer, q, follow(answer)) for answer, q in said.items()))

    def _ended(self, acts: list[tuple[float, SplitState, str]], answer: str) -> Node:
        """Both asked: the ends of the round, told apart by what the player sees of it."""
        apart: dict[Seen, list[tuple[float, End]]] = defaultdict(list)
        for p, state, text in acts:
            played = self._played(state, answer, text)
            end = End(played.points[self.own], played.points[self.seat], self._following(state, played))
            apart[played.seen[self.own]].append((p, end))
        total = sum(p for p, _, _ in acts)
        return Chance(tuple((seen, sum(p for p, _ in same) / total, self._merged(same)) for seen, same in apart.items()))

    def _played(self, state: SplitState, own: str, theirs: str) -> Played:
        """What the asks come to, whatever was before."""
        key = (state.deal, own, theirs)
        if key not in self._rounds:
            self._rounds[key] = self._step(state, {self.own: own, self.seat: theirs}).past[-1]
        return self._rounds[key]

    def _merged(self, ends: list[tuple[float, End]]) -> End:
        if len({end.state for _, end in ends}) > 1:
            raise UserError(
                f"So little is revealed in this {self.game.name} that nobody can know what the script remembers, and no value is "
                "exact; add to game.reveal."
            )
        own, theirs = mean_points(ends)
        return End(own, theirs, ends[0][1].state)

    def _following(self, state: SplitState, played: Played) -> State:
        """The state after a round."""
        rounds = len(state.past) + 1
        speaker = (state.first + rounds) % 2 if self.game.messages else 0
        return State(self._summarised(state.deals[:rounds], (*state.past, played)), self._dealt(speaker, state.deal))

    def _summarised(self, deals: tuple[Deal, ...], past: tuple[Played, ...]) -> Hashable:
        """The summary of a past, which then stands for all that have this summary."""
        result = tuple(
            summary(replace(view, past=tuple([played.seen[view.player] for played in past]))) for view, summary in self._summaries
        )
        self._pasts.setdefault(result, (deals, past))
        return result

    def _dealt(self, speaker: int, previous: Deal) -> int:
        """The situation after this deal."""
        key = (speaker, previous)
        if key not in self._next:
            self._next[key] = self._number(tuple((p, speaker, deal) for deal, p in self._drawn(previous).items()))
        return self._next[key]

    def _number(self, situation: Situation) -> int:
        return self._situations.setdefault(situation, len(self._situations))

    def _drawn(self, previous: Deal | None) -> Mapping[Deal, float]:
        return outcomes(lambda rng: self.game.draw(rng, previous))

    def _view(self, state: SplitState, player: int) -> SplitView:
        view: SplitView = self.game.observe(state, player).view
        return view

    def _answers(self, strategy: Strategy, state: SplitState, player: int) -> Mapping[str, float]:
        view, name = self._view(state, player), _name(strategy)
        try:
            answers = outcomes(lambda rng: strategy(view, rng))
        except ContinuumError:
            raise UserError(f"The strategy '{name}' draws from infinitely many values, so there are no exact values.") from None
        except Exception as error:
            raise fault(f"The strategy '{name}'", error) from error
        return {text: p for text, p in answers.items() if isinstance(text, str)}

    def _step(self, state: SplitState, answers: Mapping[int, str]) -> SplitState:
        actions: dict[int, Any] = {}
        for player, text in answers.items():
            action = self.game.parse(state, player, text)
            actions[player] = self.game.default_action(state, player) if action is None else action
        after: SplitState = self.game.step(state, actions).state
        return after


def _summary(strategy: Strategy, game: SplittingGame) -> Summary:
    summary: Summary | None = getattr(strategy, "remembers", None)
    if game.exact:
        raise UserError(f"Scripts bargain with numbers in {game.name}, which have no end, so there are no exact values.")
    if summary is None:
        raise UserError(
            f"The strategy '{_name(strategy)}' does not say what it remembers, so there are no exact values against it; see "
            "docs/add-a-game.md."
        )
    return summary


def _name(strategy: Strategy) -> str:
    return str(getattr(strategy, "__name__", "of this name"))


def _subsets(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [chosen for size in range(len(words) + 1) for chosen in itertools.combinations(words, size)]


def undominated(options: list[Option]) -> list[Option]:
    """Without the answers beside which another one leads to the same states, gives the player no less and the script no more."""
    kept: dict[Hashable, list[tuple[float, float, str, Node]]] = defaultdict(list)
    for answer, node in options:
        ends = leaves(node)
        own, theirs = mean_points(ends)
        following: dict[Hashable, float] = defaultdict(float)
        for p, end in ends:
            following[end.state] += p
        alike = kept[frozenset((state, round(p, 12)) for state, p in following.items())]
        if not any(o >= own and t <= theirs for o, t, _, _ in alike):
            alike[:] = [other for other in alike if not (own >= other[0] and theirs <= other[1])] + [(own, theirs, answer, node)]
    return [(answer, node) for alike in kept.values() for _, _, answer, node in alike]
