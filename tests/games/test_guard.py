"""Whatever goes wrong inside somebody's own game, family or strategy is one sentence that says where."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import detente
from detente.errors import UserError
from detente.games import Family, Observation, Step, make
from detente.games.family import family_of, measured
from detente.games.guard import guarded


@dataclass(frozen=True)
class Coins:
    """One player names a side of a coin; faults are put in by hand."""

    name = "mine:Coins"
    num_players = 1
    reward_bounds = (0.0, 1.0)
    family = Family(name="coins", strategies={"heads": lambda view, rng: "heads"})

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name}

    def reset(self, rng: random.Random) -> Any:
        return 0

    def to_act(self, state: Any) -> Any:
        return (0,)

    def observe(self, state: Any, player: int) -> Any:
        return Observation("Heads or tails?", None, "heads|tails", ("heads", "tails"))

    def parse(self, state: Any, player: int, text: str) -> Any:
        return text

    def default_action(self, state: Any, player: int) -> Any:
        return "tails"

    def step(self, state: Any, actions: Any) -> Any:
        return Step(1, (1.0,), done=True)


def fail(*given: Any) -> Any:
    raise KeyError("x")


@pytest.mark.parametrize("method", ["reset", "to_act", "observe", "parse", "step", "parameters"])
def test_a_method_that_fails(method: str) -> None:
    game = type("Coins", (Coins,), {method: fail})()
    with pytest.raises(UserError, match=rf"^The game mine:Coins raised KeyError 'x' in {method}; --debug shows where\.$"):
        detente.play(game, ["heads"])


@pytest.mark.parametrize(
    ("method", "returned", "right"),
    [
        ("to_act", (), "the players who answer, at least one of 0"),
        ("to_act", (1,), "the players who answer"),
        ("to_act", (0, 0), "the players who answer"),
        ("to_act", 0, "the players who answer"),
        ("observe", None, "an Observation"),
        ("step", 1, "a Step"),
        ("step", Step(1, (1.0, 2.0), done=True), "1 rewards, one finite number per player"),
        ("step", Step(1, (float("nan"),), done=True), "1 rewards, one finite number per player"),
        ("step", Step(1, None, done=True), "rewards with the last step"),
    ],
)
def test_a_method_that_returns_something_else(method: str, returned: Any, right: str) -> None:
    game = type("Coins", (Coins,), {method: lambda *given: returned})()
    with pytest.raises(UserError, match=f"^The game mine:Coins returned .* in {method}; it should be {right}"):
        detente.play(game, ["heads"])


def test_games_of_the_package_are_played_as_they_are() -> None:
    game = make("ipd")
    assert guarded(game) is game
    assert family_of(game).measure.__module__.startswith("detente")


@pytest.mark.parametrize(
    ("measure", "sentence"),
    [
        (fail, "raised KeyError 'x' in measure"),
        (lambda: ({}, {}), "raised TypeError"),
        (lambda game, sides: 1, "returned 1 in measure"),
        (lambda game, sides: ({"heads": float("inf")}, {}), "returned .* in measure"),
        (lambda game, sides: ({}, {"after": 3}), "returned .* in measure"),
        (lambda game, sides: ({"heads": "many"}, {}), "returned .* in measure"),
    ],
)
def test_a_family_whose_measure_is_wrong(measure: Callable[..., Any], sentence: str) -> None:
    (episode,) = detente.play(Coins(), ["heads"])
    game = type("Coins", (Coins,), {"family": Family(name="coins", measure=measure)})()
    with pytest.raises(UserError, match=f"^The family 'coins' of the game mine:Coins {sentence}"):
        measured(game, [(episode, 0)])


def test_a_game_that_never_ends_is_stopped_and_named() -> None:
    game = type("Coins", (Coins,), {"step": lambda self, state, actions: Step(state + 1, (1.0,))})()
    with pytest.raises(
        UserError, match=r"^The game mine:Coins was not done after 10,000 steps; its step should say done=True at some time\.$"
    ):
        detente.play(game, ["heads"])
