"""Strategies as game records, the probabilistic ones against the literature and an exact stationary distribution."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import numpy as np
import pytest

from detente.errors import UserError
from detente.games import make
from detente.games.base import Observation
from detente.games.family import strategies_for
from detente.games.matrix import MatrixView
from detente.games.matrix.strategies import MATRIX, extortion, generosity
from detente.players.scripted import scripted
from detente.rollout import Match, play_matches

GAME: Any = make("ipd")
IPD = GAME.payoffs


def seen(own: str, other: str, payoffs: Any = IPD) -> MatrixView:
    return MatrixView(0, ("C", "D"), ("<A>", "<B>"), tuple(own), tuple(other), payoffs)


def versus(name: str, moves: str, expect: str) -> None:
    """Against these moves of the other player the strategy answers so, round by round."""
    own = ""
    for t in range(len(moves)):
        probabilities = MATRIX[name](seen(own, moves[:t]), random.Random(0))
        assert sorted(probabilities) == [0, 1], f"{name} hesitates"
        own += "CD"[probabilities.index(1)]  # type: ignore[arg-type]
    assert own == expect, f"{name} against {moves}"


def test_records() -> None:
    versus("always_cooperate", "CDDC", expect="CCCC")
    versus("always_defect", "CDDC", expect="DDDD")
    versus("tit_for_tat", "CDDC", expect="CCDD")
    versus("tit_for_tat", "DCDC", expect="CDCD")
    versus("suspicious_tit_for_tat", "CDDC", expect="DCDD")
    versus("tit_for_two_tats", "DCDDCDC", expect="CCCCDCC")
    versus("tit_for_two_tats", "DDDC", expect="CCDD")
    versus("grim_trigger", "CCDCCC", expect="CCCDDD")
    versus("win_stay_lose_shift", "CCDDDCCC", expect="CCCDCDDD")
    versus("generous_tit_for_tat", "CCCCC", expect="CCCCC")


def drawn(name: str, own: str, other: str, n: int = 4000) -> float:
    observation = Observation("", seen(own, other), "", ("<A>", "<B>"))
    return sum(asyncio.run(scripted(name, seed, GAME).act(observation)).text == "<A>" for seed in range(n)) / n


@pytest.mark.parametrize(
    ("name", "own", "other", "expect"),
    [
        ("random", "", "", 1 / 2),
        ("random", "CC", "DD", 1 / 2),
        ("generous_tit_for_tat", "C", "D", 1 / 3),  # Nowak and Sigmund 1992, standard payoffs
        ("generous_tit_for_tat", "D", "D", 1 / 3),
        ("generous_tit_for_tat", "D", "C", 1),
        ("extort", "", "", 1),
        ("extort", "C", "C", 8 / 9),  # Extort-2 of Stewart and Plotkin 2012
        ("extort", "C", "D", 1 / 2),
        ("extort", "D", "C", 1 / 3),
        ("extort", "D", "D", 0),
    ],
)
def test_probabilities(name: str, own: str, other: str, expect: int) -> None:
    assert MATRIX[name](seen(own, other), random.Random(0)) == pytest.approx((expect, 1 - expect))
    assert drawn(name, own, other) == pytest.approx(expect, abs=4 * (expect * (1 - expect) / 4000) ** 0.5)


def test_extort_2_of_stewart_and_plotkin() -> None:
    assert extortion(seen("", "")) == pytest.approx((8 / 9, 1 / 2, 1 / 3, 0))


def payoffs(t: float, r: float, p: float, s: float) -> Any:
    return (((r, r), (s, t)), ((t, s), (p, p)))


@pytest.mark.parametrize("table", [(5, 3, 1, 0), (4, 3, 1, 0), (10, 6, 5, -2), (0, -1, -2, -3), (5, 3, 2.9, 0)])
@pytest.mark.parametrize("chi", [1.0, 2.0, 5.0])
def test_extortion_enforces_its_line_against_anyone(table: tuple[float, ...], chi: float) -> None:
    """(own - P) = chi * (other - P) in the stationary distribution against random memory-one players, by linear algebra."""
    t, r, p, s = table
    after = np.array(extortion(seen("", "", payoffs(*table)), chi))
    assert after.min() >= 0
    assert after.max() <= 1
    rng = np.random.default_rng(0)
    for _ in range(20):
        q = rng.uniform(0.05, 0.95, 4)  # the other's probabilities, its own action first
        q = q[[0, 2, 1, 3]]  # in our order CC, CD, DC, DD
        transition = np.stack([after * q, after * (1 - q), (1 - after) * q, (1 - after) * (1 - q)], axis=1)
        system = np.vstack([transition.T - np.eye(4), np.ones(4)])
        stationary = np.linalg.lstsq(system, np.array([0, 0, 0, 0, 1.0]), rcond=None)[0]
        own, other = stationary @ [r, s, t, p], stationary @ [r, t, s, p]
        assert own - p == pytest.approx(chi * (other - p), abs=1e-9)


def test_generosity_on_other_payoffs() -> None:
    assert generosity(seen("", "", payoffs(4, 3, 1, 0))) == pytest.approx(2 / 3)  # min(1 - 1/3, 2/3)
    assert generosity(seen("", "", payoffs(6, 5, 4, 0))) == pytest.approx(1 / 2)  # min(1 - 1/5, 1/2)
    assert generosity(seen("", "", payoffs(9, 3, 1, 0))) == 0


@pytest.mark.parametrize("name", ["generous_tit_for_tat", "extort"])
@pytest.mark.parametrize("game", ["stag_hunt", "chicken", "asymmetric"])
def test_no_dilemma_no_extortion(name: str, game: str) -> None:
    table: Any = make(game).payoffs if game != "asymmetric" else (((3, 3), (0, 6)), ((5, 0), (1, 1)))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="prisoner's dilemma"):
        MATRIX[name](seen("C", "D", table), random.Random(0))


def mean_rewards(row: str, column: str, game: str = "ipd") -> tuple[float, float]:
    match = Match(make(game), seed=0, players=[scripted(row, 1, make(game)), scripted(column, 2, make(game))])
    (episode,) = play_matches([match])
    assert all(turn.valid for turn in episode.turns())
    return episode.mean_reward(0), episode.mean_reward(1)


@pytest.mark.parametrize(
    ("row", "column", "expect"),
    [
        ("always_cooperate", "always_cooperate", (3, 3)),
        ("always_defect", "always_defect", (1, 1)),
        ("always_defect", "always_cooperate", (5, 0)),
        ("tit_for_tat", "tit_for_tat", (3, 3)),
        ("tit_for_tat", "always_defect", (0.9, 1.4)),
        ("tit_for_tat", "always_cooperate", (3, 3)),
        ("tit_for_tat", "suspicious_tit_for_tat", (2.5, 2.5)),
        ("win_stay_lose_shift", "always_defect", (0.5, 3)),
    ],
)
def test_anchor_payoffs(row: str, column: str, expect: tuple[float, ...]) -> None:
    assert mean_rewards(row, column) == pytest.approx(expect)
    assert mean_rewards(column, row) == pytest.approx(expect[::-1])


def test_the_seed_decides_every_flip() -> None:
    def answers(seed: Any) -> Any:
        player = scripted("random", seed, GAME)
        observation = Observation("", seen("", ""), "<A>|<B>", ("<A>", "<B>"))
        return [asyncio.run(player.act(observation)) for _ in range(64)]

    assert answers(1) == answers(1)
    assert [a.text for a in answers(1)] != [a.text for a in answers(2)]
    assert len({a.seed for a in answers(1)}) == 64
    assert {a.text for a in answers(1)} == {"<A>", "<B>"}
    assert str(answers(1)[0].policy) == "random"


def test_answers_use_the_labels_of_the_episode() -> None:
    game: Any = make("ipd", counterbalance=True)
    for seed in range(8):
        match = Match(game, seed=seed, players=[scripted("always_cooperate", 0, game), scripted("always_defect", 0, game)])
        (episode,) = play_matches([match])
        assert [turn.action for turn in episode.turns(0)] == ["C"] * 10
        assert [turn.action for turn in episode.turns(1)] == ["D"] * 10


def test_names() -> None:
    assert strategies_for(make("ipd")) == list(MATRIX)
    assert set(MATRIX) - set(strategies_for(make("chicken"))) == {"extort", "generous_tit_for_tat"}
    assert strategies_for(make("matching_pennies")) == ["random"]
    assert set(mean_rewards("random", "random", "matching_pennies")) != {0}
    for game in ("ipd", "stag_hunt", "chicken", "matching_pennies"):
        for name in strategies_for(make(game)):
            mean_rewards(name, "random", game)


def test_wrong_name_and_wrong_game() -> None:
    with pytest.raises(UserError, match=r"no strategy 'tit_for_tta'; did you mean 'tit_for_tat'\?"):
        scripted("tit_for_tta", 0, GAME)
    split = make("trust_and_split")
    with pytest.raises(UserError, match="'tit_for_tat' plays matrix games only"):
        scripted("tit_for_tat", 0, split)
    with pytest.raises(UserError, match="'welfare' plays splitting games only"):
        scripted("welfare", 0, GAME)
    assert "greedy" in strategies_for(split)
    assert "tit_for_tat" not in strategies_for(split)


def test_every_strategy_cites_its_source() -> None:
    for strategy in MATRIX.values():
        assert any(year in strategy.__doc__ for year in map(str, range(1971, 2013)))  # type: ignore[operator]
