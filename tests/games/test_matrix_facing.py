"""What a player faces against a script of a matrix game: the short histories, and values against a search of all."""

from __future__ import annotations

import itertools
import random

import pytest

from detente import games
from detente.evaluation.exact import solve
from detente.evaluation.exact_scripts import against_script
from detente.games.family import strategies_for
from detente.games.matrix import MatrixGame
from detente.games.matrix.facing import faces, shortened
from detente.games.matrix.strategies import MATRIX
from detente.matches import Counted as Seeds
from detente.matches import Scripts, play_sync
from detente.records import PolicyRef, Seating


def ipd(**parameters: object) -> MatrixGame:
    game = games.make("ipd", **parameters)
    assert isinstance(game, MatrixGame)
    return game


@pytest.mark.parametrize("name", [name for name in strategies_for(ipd()) if name in MATRIX])
def test_a_short_history_is_answered_as_the_whole_one(name: str) -> None:
    game, rng = ipd(), random.Random(0)
    for _ in range(300):
        share = rng.choice([0.1, 0.5, 0.9])
        history = tuple((game.actions[rng.random() < share], game.actions[rng.random() < share]) for _ in range(rng.randrange(9)))
        short = shortened(history, game.actions)
        assert len(short) <= 3
        for seat in (0, 1):
            whole, brief = (MATRIX[name](game.view(seen, seat), random.Random(1)) for seen in (history, short))
            assert whole == brief
        assert shortened((*short, ("C", "D")), game.actions) == shortened((*history, ("C", "D")), game.actions)


@pytest.mark.parametrize(
    ("script", "best"),
    [("always_cooperate", 150), ("always_defect", 30), ("tit_for_tat", 92), ("grim_trigger", 92), ("random", 90)],
)
def test_best_values_of_thirty_rounds(script: str, best: float) -> None:
    """Always defecting is best against the unconditional, cooperating until the last round against reciprocators."""
    process = faces(ipd(rounds=30), MATRIX[script], 1, None)
    assert process is not None
    assert solve(process, 30).value.low == pytest.approx(best)


@pytest.mark.parametrize("script", ["tit_for_tat", "win_stay_lose_shift", "tit_for_two_tats", "suspicious_tit_for_tat"])
def test_the_value_is_that_of_the_best_of_all_sequences(script: str) -> None:
    game = ipd(rounds=5, payoffs=[[[3, 3], [0, 6]], [[6, 0], [1, 1]]])
    process = faces(game, MATRIX[script], 0, None)
    assert process is not None

    def total(moves: tuple[str, ...]) -> float:
        history: tuple[tuple[str, str], ...] = ()
        points = 0.0
        for move in moves:
            answer = MATRIX[script](game.view(history, 0), random.Random(0))
            theirs = game.actions[tuple(answer).index(1.0)]
            points += game.payoffs[game.actions.index(theirs)][game.actions.index(move)][1]
            history = (*history, (theirs, move))
        return points

    assert solve(process, 5).value.low == max(total(moves) for moves in itertools.product(game.actions, repeat=5))


def test_under_noise_the_value_is_that_in_play() -> None:
    game = ipd(rounds=6, noise=0.25)
    process = faces(game, MATRIX["tit_for_tat"], 1, MATRIX["always_cooperate"])
    assert process is not None
    pair = tuple(PolicyRef("script", name) for name in ("always_cooperate", "tit_for_tat"))
    played = play_sync(Scripts(game), game, [Seating(pair, group=i, index=i) for i in range(3000)], stream=Seeds())
    mean = sum(sum(episode.rewards(0)) for episode in played) / len(played)
    assert solve(process, 6).own.low == pytest.approx(mean, abs=0.25)


def test_the_plan_plays_the_game() -> None:
    known = against_script(ipd(rounds=10, counterbalance=True), PolicyRef("script", "tit_for_tat"), 1)
    assert known.best.value.low == known.earned.mean == 32
    assert known.harmful.agent.low == known.left.mean
    assert known.cooperator is not None
    assert known.cooperator.own.low == 30


def test_some_scripts_have_no_finite_description() -> None:
    def own(view: object, rng: random.Random) -> tuple[float, float]:
        return 1.0, 0.0

    assert faces(ipd(), own, 1, None) is None
    wide = games.make("travelers_dilemma")
    assert isinstance(wide, MatrixGame)
    assert (faces(wide, MATRIX["random"], 1, None) is None) == (len(wide.actions) > 4)
