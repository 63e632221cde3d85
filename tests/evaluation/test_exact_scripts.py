"""Exact values against scripts of splitting games: known ones, and plans played against the script itself."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from detente.errors import UserError
from detente.evaluation.exact import solve
from detente.evaluation.exact_scripts import AgainstScript, against_script
from detente.evaluation.exploitability import exploitability
from detente.games import make
from detente.games.splitting import nothing, remembers
from detente.games.splitting.facing import Facing
from detente.games.splitting.strategies import SPLITTING
from detente.options import AnswerOptions
from detente.policies import Policies
from detente.records import PolicyRef


def against(name: str, game: str = "trust_and_split", seat: int = 1, **parameters: Any) -> AgainstScript:
    return against_script(make(game, **parameters), PolicyRef("script", name), seat)


@pytest.mark.parametrize(
    ("name", "best", "floor"),
    [
        ("reciprocator", (52.25, 27.5), (44.4167, 0.8333)),
        ("fair_reciprocator", (50.375, 46.25), (31.3296, 22.1719)),
        ("greedy", (27.5, 27.5), (27.5, 27.5)),
        ("liar", (27.5, 27.5), (27.5, 27.5)),
        ("welfare", (53.75, 12.5), (46.6667, 0.8333)),
        ("half_lower", (36.6667, 18.3333), (36.6667, 18.3333)),
    ],
)
def test_known_values_over_ten_rounds(name: str, best: tuple[float, float], floor: tuple[float, float]) -> None:
    """Points per round of the opponent and of the script. Who plays welfare with a reciprocator gets 50."""
    known = against(name)
    assert (known.best.own.low / 10, known.best.agent.low / 10) == pytest.approx(best, abs=1e-4)
    assert (known.harmful.own.low / 10, known.harmful.agent.low / 10) == pytest.approx(floor, abs=1e-4)
    assert known.harmful.agent.low == pytest.approx(-known.harmful.value.low)


@pytest.mark.parametrize(
    ("game", "script", "plays", "points"),
    [
        ("trust_and_split", "reciprocator", "greedy", (32.4951, 27.0005)),
        ("trust_and_split", "reciprocator", "half_lower", (51.6667, 33.3333)),
        ("trust_and_split", "liar", "welfare", (6.25, 33.75)),
        ("split_no_comm", "welfare", "greedy", (141.6667, 68.3333)),
        ("split_no_comm", "grim", "welfare", (127.5, 127.5)),
    ],
)
def test_two_scripts_exactly(game: str, script: str, plays: str, points: tuple[float, float]) -> None:
    result = solve(Facing(make(game), SPLITTING[script], 1, SPLITTING[plays]), 10)  # type: ignore[arg-type]
    assert (result.own.low / 10, result.agent.low / 10) == pytest.approx(points, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "game", "parameters"),
    [
        ("reciprocator", "trust_and_split", {"rounds": 4}),
        ("liar_half", "trust_and_split", {"rounds": 3}),
        ("fair_reciprocator", "trust_and_split", {"rounds": 4, "alternating_hands": True}),
        ("grim", "trust_and_split", {"continuation": 0.5, "max_rounds": 6}),
        ("reciprocator", "split_no_comm", {"rounds": 4, "stock": 2}),
        ("grim", "trust_and_split_items", {"rounds": 2, "stock": 2}),
    ],
)
@pytest.mark.parametrize("seat", [0, 1])
def test_the_plans_are_worth_in_play_what_they_should(name: str, game: str, parameters: dict[str, Any], seat: int) -> None:
    """Within four standard errors: half of the width of a 95 % interval is two."""
    known = against(name, game, seat, **parameters)
    for value, seen in ((known.best.own, known.earned), (known.harmful.agent, known.left)):
        width = (seen.high or 0) - (seen.low or 0)
        assert value.low == pytest.approx(seen.mean, abs=width + 1e-9)


def test_nobody_does_better_than_the_best_response() -> None:
    game: Any = make("trust_and_split", rounds=3)
    for script in ("reciprocator", "liar_half"):
        known = against(script, rounds=3)
        for plays in ("greedy", "half_lower", "liar", "liar_half", "welfare", "silent", "grim"):
            result = solve(Facing(game, SPLITTING[script], 1, SPLITTING[plays]), 3)
            assert result.own.low <= known.best.own.low + 1e-9
            assert result.agent.low >= known.harmful.agent.low - 1e-9


def test_a_script_of_ones_own_says_what_it_remembers() -> None:
    """It asks for half, and for everything after the other did; best is to ask for 9 of 14, and for 10 of 15 in the end."""

    @remembers(lambda view: bool(view.past) and view.past[-1].other == (10,))
    def insulted(view: Any, rng: random.Random) -> str:
        if view.phase == "message":
            return str(view.message(""))
        return str(view.ask((10,) if view.past and view.past[-1].other == (10,) else (5,)))

    result = solve(Facing(make("trust_and_split"), insulted, 1), 2)  # type: ignore[arg-type]
    assert result.own.low == pytest.approx(55 * (9 / 14 + 10 / 15))  # 10 coins are worth 55 on average


def test_the_script_of_the_guide() -> None:
    """Half until the other was greedy: a player that never asks for more than half of what the script values more gets most."""
    guide = (Path(__file__).parents[2] / "docs" / "add-a-game.md").read_text(encoding="utf-8")
    (block,) = (text for text in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "remembers" in text)
    names: dict[str, Any] = {}
    exec(block, names)
    result = solve(Facing(make("trust_and_split"), names["grim"], 1), 3)  # type: ignore[arg-type]
    asks_half_as_lower = 2 * (10 / 15 * 100 + 5) / 2
    assert result.own.low == pytest.approx(asks_half_as_lower + 55 * 10 / 15)  # in the last round everything is asked for


@pytest.mark.parametrize(
    ("game", "parameters", "sentence"),
    [
        ("deal_or_no_deal", {}, "Scripts bargain with numbers in deal_or_no_deal, which have no end"),
        ("split_no_comm", {"stock": 200}, "split_no_comm is too large for exact values: too many asks are possible"),
    ],
)
def test_games_without_exact_values(game: str, parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        against("greedy", game, **parameters)


def test_scripts_without_a_finite_description() -> None:
    game: Any = make("trust_and_split", rounds=2)

    def forgetful(view: Any, rng: random.Random) -> str:
        return str(view.message("hello") if view.phase == "message" else view.ask((int(10 * rng.random()),)))

    with pytest.raises(UserError, match="The strategy 'forgetful' does not say what it remembers"):
        Facing(game, forgetful, 1)
    drawing = Facing(game, remembers(nothing)(forgetful), 1)
    with pytest.raises(UserError, match="The strategy 'forgetful' draws from infinitely many values"):
        solve(drawing, 2)

    @remembers(nothing)
    def broken(view: Any, rng: random.Random) -> str:
        raise ValueError("oh")

    with pytest.raises(UserError, match="The strategy 'broken'"):
        solve(Facing(game, broken, 1), 2)


def test_what_nobody_can_know_is_refused() -> None:
    """Hands alternate, so the next deal depends on this one, of which nobody is told whose hand was the upper one."""
    game: Any = make("trust_and_split", rounds=2, reveal=[], messages=0, alternating_hands=True)
    with pytest.raises(UserError, match="So little is revealed in this trust_and_split"):
        solve(Facing(game, SPLITTING["greedy"], 1), 2)


def test_models_have_no_finite_description() -> None:
    table = Policies(make("trust_and_split"), AnswerOptions(), device="cpu")
    with pytest.raises(
        UserError, match="a splitting game and a script that says what it remembers, not openai:x in trust_and_split"
    ):
        exploitability(table, PolicyRef("remote", "openai:x"))


def test_it_is_an_exploitability() -> None:
    table = Policies(make("trust_and_split", rounds=2), AnswerOptions(), device="cpu")
    result = exploitability(table, table.resolve("greedy"))
    assert (result.method, result.histories) == ("finite memory", 3)
    assert (result.value.low, result.gain, result.loss) == pytest.approx((55, 5, 50))
    assert "asks, valued more 10.00" in result.play
    assert result.to_json()["floor"] == pytest.approx([55, 55])
