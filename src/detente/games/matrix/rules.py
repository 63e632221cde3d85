"""Two-player matrix games played for several rounds: both pick a label at once, a table gives the points.

    ipd:   they C   they D          (the standard payoffs: Axelrod, The Evolution of Cooperation, 1984)
    I C    3, 3     0, 5
    I D    5, 0     1, 1

The prompt is neutral: players see labels such as <A> and <B>, never what they mean. ``counterbalance`` draws from the game
seed which label stands for which action and in which order they are listed. With ``noise`` a chosen action may be replaced:

    chosen ── slip, from the game seed ──> played ──> points, and what both players are told
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar

from detente.errors import UserError, as_typed
from detente.games.base import Observation, Step
from detente.games.parameters import added, as_json, check_horizon, check_share, check_switch, draw_horizon
from detente.games.roles import roles
from detente.games.sides import moves
from detente.games.wordings import check_wording, choose, told, wordings
from detente.records import Round

WORDINGS = wordings("matrix", "matrix")
LARGEST_PAYOFF = 10**12  # sums over many rounds stay exact enough
Payoffs = tuple[tuple[tuple[float, float], ...], ...]


@dataclass(frozen=True, slots=True)
class MatrixView:
    """What a script sees: its own and the other's past actions, and its payoff table with its own action first."""

    player: int
    actions: tuple[str, ...]
    answers: tuple[str, ...]  # what to say for each action, same order
    own: tuple[str, ...]
    other: tuple[str, ...]
    payoffs: Payoffs  # [own action][other's action] -> (own points, other's points)


@dataclass(frozen=True, slots=True)
class MatrixState:
    """Everything that has happened, and what the seed decided. ``history``: the joint moves that were played."""

    horizon: int
    labels: tuple[str, ...]  # the label of each action, in the order of actions
    listing: tuple[int, ...]  # the order in which the prompt lists the actions
    history: tuple[tuple[str, str], ...] = ()
    wording: int = 0
    slips: tuple[tuple[int, int], ...] = ()  # [round][player] from the chosen action's number to the played one's; () without noise


@dataclass(frozen=True)
class MatrixGame:
    """A two-player game in normal form.

    payoffs[i][j] = (row player's points, column player's points) when row plays actions[i] and column actions[j].
    ``cooperative`` names the action whose rate is reported as cooperation: the first one, or None where there is no such action.
    ``continuation`` None plays ``rounds`` rounds; else after each round the game goes on with that probability, at most
    ``max_rounds`` rounds in all. ``noise``: the probability with which a player's chosen action is replaced by another one, all
    equally likely. ``default``: the action that is played for an invalid answer, None for the one that is listed first.
    ``wording``: in which words the rules are told, 0 to 5, or ``any``, drawn from the game seed. ``roles``: what the row and the
    column player are called in reports, where they differ.
    """

    name: str
    actions: tuple[str, ...]
    payoffs: Payoffs
    cooperative: str | None = None
    labels: tuple[str, ...] = ("A", "B")
    counterbalance: bool = False
    rounds: int = 10
    continuation: float | None = None
    max_rounds: int = 50
    noise: float = added(0.0)
    default: str | None = added(None)
    wording: int | str = added(0)
    roles: tuple[str, str] | None = added(None)

    num_players = 2
    family: ClassVar[str] = "detente.games.matrix:FAMILY"

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", tuple(self.actions))
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "payoffs", _table(self.payoffs, len(self.actions)))
        if len(self.labels) != len(self.actions) or len(set(self.labels)) != len(self.labels):
            raise UserError(f"The game needs {len(self.actions)} different labels, one per action, not {as_typed(self.labels)}.")
        if any(not re.fullmatch(r"[A-Za-z0-9]+", label) for label in self.labels):
            raise UserError(f"A label is made of letters and digits, not {as_typed(self.labels)}.")
        if self.cooperative not in (None, self.actions[0]):
            raise UserError(f"The cooperative action is the first of {as_typed(self.actions)}, not '{self.cooperative}'.")
        check_switch("counterbalance", self.counterbalance)
        check_horizon(self.rounds, self.continuation, self.max_rounds)
        check_share("noise", self.noise)
        if self.default is not None and self.default not in self.actions:
            raise UserError(f"The default action is one of {', '.join(self.actions)}, not {as_typed(self.default)}.")
        check_wording(self.wording)
        if self.roles is not None:
            object.__setattr__(self, "roles", tuple(self.roles) if isinstance(self.roles, list) else self.roles)
            roles(self)
        if self.noise and len(self.actions) < 2:
            raise UserError("Noise replaces an action by another one, and this game has one action.")

    @property
    def reward_bounds(self) -> tuple[float, float]:
        points = [x for row in self.payoffs for cell in row for x in cell]
        return min(points), max(points)

    @property
    def symmetric(self) -> bool:
        """Whether players who trade seats trade rewards."""
        return self.payoffs == self._seen_by[1]

    def parameters(self) -> dict[str, Any]:
        return as_json(self)

    def reset(self, rng: random.Random) -> MatrixState:
        labels, listing = list(self.labels), list(range(len(self.actions)))
        if self.counterbalance:
            rng.shuffle(labels)
            rng.shuffle(listing)
        horizon = draw_horizon(rng, self.rounds, self.continuation, self.max_rounds)
        slips = tuple((self._slip(rng), self._slip(rng)) for _ in range(horizon)) if self.noise else ()
        return MatrixState(horizon, tuple(labels), tuple(listing), (), choose(self.wording, rng), slips)

    def _slip(self, rng: random.Random) -> int:
        return rng.randrange(1, len(self.actions)) if rng.random() < self.noise else 0

    def reseated(self, state: MatrixState, seats: Sequence[int]) -> MatrixState:
        """The state in which the slips of player p belong to the player on ``seats[p]``."""
        return replace(state, slips=tuple((pair[seats.index(0)], pair[seats.index(1)]) for pair in state.slips))

    def to_act(self, state: MatrixState) -> tuple[int, ...]:
        return (0, 1) if len(state.history) < state.horizon else ()

    def observe(self, state: MatrixState, player: int) -> Observation:
        answers, pattern = _answers(state.labels)
        view = self._view(state.history, player, answers)
        own, other = view.own, view.other
        if not other:
            rules = _rules(view.payoffs, answers, state.listing, self.noise, state.wording)
            return Observation(rules, view, pattern, answers)
        theirs, mine = answers[self.actions.index(other[-1])], answers[self.actions.index(own[-1])]
        news = f"You played {mine}. The other player played {theirs}." if self.noise else f"The other player picked {theirs}."
        return Observation(f"{news} Your label?", view, pattern, answers)

    def view(self, history: Sequence[tuple[str, str]], player: int) -> MatrixView:
        """What a script sees after these joint moves, where labels mean what they do without ``counterbalance``."""
        return self._view(history, player, _answers(self.labels)[0])

    def _view(self, history: Sequence[tuple[str, str]], player: int, answers: tuple[str, ...]) -> MatrixView:
        rows, columns = zip(*history, strict=True) if history else ((), ())
        own, other = (rows, columns) if player == 0 else (columns, rows)
        return MatrixView(player, self.actions, answers, own, other, self._seen_by[player])

    @cached_property
    def _seen_by(self) -> tuple[Payoffs, Payoffs]:
        """The payoff table as each player sees it."""
        indices = range(len(self.actions))
        turned = tuple(tuple((self.payoffs[i][j][1], self.payoffs[i][j][0]) for i in indices) for j in indices)
        return self.payoffs, turned

    def parse(self, state: MatrixState, player: int, text: str) -> str | None:
        answers, _ = _answers(state.labels)
        text = text.strip()
        return self.actions[answers.index(text)] if text in answers else None

    def default_action(self, state: MatrixState, player: int) -> str:
        return self.actions[state.listing[0]] if self.default is None else self.default

    def step(self, state: MatrixState, actions: Mapping[int, str]) -> Step:
        row, column = self._played(state, 0, actions[0]), self._played(state, 1, actions[1])
        history = (*state.history, (row, column))
        after = MatrixState(state.horizon, state.labels, state.listing, history, state.wording, state.slips)
        rewards = self.payoffs[self.actions.index(row)][self.actions.index(column)]
        info = {"played": [row, column]} if self.noise else {}
        return Step(after, rewards, done=len(history) >= state.horizon, info=info)

    def _played(self, state: MatrixState, player: int, chosen: str) -> str:
        slip = state.slips[len(state.history)][player] if state.slips else 0
        return self.actions[(self.actions.index(chosen) + slip) % len(self.actions)] if slip else chosen


def outcome(game: MatrixGame, played: Round, player: int, seed: int) -> str:
    """What both played, under the labels that the game has on this seed."""
    answers, _ = _answers(game.reset(random.Random(seed)).labels)
    picked = {seat: answers[game.actions.index(action)] for seat, action in moves(played).items()}
    return f"you {picked[player]} they {picked[1 - player]}"


@lru_cache(1024)
def _answers(labels: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """What to say for each action, and the pattern that matches it."""
    answers = tuple(f"<{label}>" for label in labels)
    return answers, "|".join(map(re.escape, answers))


@lru_cache(1024)
def _rules(payoffs: Payoffs, answers: tuple[str, ...], listing: tuple[int, ...], noise: float, wording: int) -> str:
    """What a player reads first; the payoffs have its own action first."""
    words = WORDINGS[wording]
    cells = [
        words.parts["cell"].format(
            own=answers[i], other=answers[j], points=_number(payoffs[i][j][0]), theirs=_number(payoffs[i][j][1])
        )
        for i in listing
        for j in listing
    ]
    facts = {
        "either": " or ".join(answers[i] for i in listing),
        "cells": "\n".join(cells),
        "noise": _number(noise),
        "replaced": "the other one" if len(answers) == 2 else "another one, all equally likely",
    }
    return told(words, facts, ("slips",) if noise else ())


def _table(payoffs: Any, size: int) -> Payoffs:
    """Check a payoff table that may come from YAML and make it tuples of floats."""
    wrong = UserError(
        f"The payoff table must be {size} rows of {size} pairs of numbers [row player, column player], none beyond "
        f"{LARGEST_PAYOFF:,}, not {as_typed(payoffs)}."
    )
    try:
        table = tuple(tuple((float(cell[0]), float(cell[1])) for cell in row) for row in payoffs)
        shapes = [len(cell) for row in payoffs for cell in row]
    except (TypeError, ValueError, IndexError, KeyError):
        raise wrong from None
    numbers = [x for row in table for cell in row for x in cell]
    if any(isinstance(x, bool | str) for row in payoffs for cell in row for x in cell) or not all(
        abs(x) <= LARGEST_PAYOFF for x in numbers
    ):
        raise wrong
    if len(table) != size or any(len(row) != size for row in table) or set(shapes) != {2}:
        raise wrong
    return table


def _number(x: float) -> str:
    return f"{x:g}"
