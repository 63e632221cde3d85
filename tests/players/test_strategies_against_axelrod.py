"""Our strategies for matrix games do what the Axelrod library's do: deterministic ones move by move, the others by probability."""

from __future__ import annotations

import asyncio
import itertools
import random
from types import ModuleType
from typing import Any

import pytest

from detente.games import make
from detente.games.base import Observation
from detente.games.matrix import MatrixView
from detente.games.matrix.strategies import MATRIX
from detente.players.scripted import scripted

DETERMINISTIC = {
    "tit_for_tat": "TitForTat",
    "always_cooperate": "Cooperator",
    "always_defect": "Defector",
    "tit_for_two_tats": "TitFor2Tats",
    "suspicious_tit_for_tat": "SuspiciousTitForTat",
    "grim_trigger": "Grudger",
    "win_stay_lose_shift": "WinStayLoseShift",
}
STOCHASTIC = {"random": "Random", "generous_tit_for_tat": "GTFT", "extort": "ZDExtort2"}
IPD = (5, 3, 1, 0)  # T, R, P, S


@pytest.fixture(scope="module")
def axl() -> Any:
    from detente.players.axelrod_library import library

    return library()


def seen(own: str, other: str, table: Any = IPD) -> MatrixView:
    t, r, p, s = table
    payoffs = (((r, r), (s, t)), ((t, s), (p, p)))
    assert table != IPD or payoffs == make("ipd").payoffs  # type: ignore[attr-defined]
    return MatrixView(0, ("C", "D"), ("<A>", "<B>"), tuple(own), tuple(other), payoffs)


def cooperates(name: str, own: str, other: str, table: Any = IPD) -> float:
    """How likely our strategy cooperates; the one place here that knows how a strategy says so."""
    return MATRIX[name](seen(own, other, table), random.Random(0))[0]  # type: ignore[return-value]


def test_every_strategy_is_compared() -> None:
    assert {*DETERMINISTIC, *STOCHASTIC} == set(MATRIX)


async def played(name: str, other: str) -> str:
    """What our player answers to these moves, round by round."""
    player, own = scripted(name, 0, make("ipd")), ""
    for t in range(len(other)):
        said = await player.act(Observation("", seen(own, other[:t]), "", ("<A>", "<B>")))
        own += {"<A>": "C", "<B>": "D"}[said.text]
    return own


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_move_by_move(axl: ModuleType, name: Any) -> None:
    rng = random.Random(0)
    for other in [*map("".join, itertools.product("CD", repeat=6)), *("".join(rng.choices("CD", k=60)) for _ in range(100))]:
        opponent = axl.MockPlayer([axl.Action.from_char(move) for move in other])
        record = axl.Match((getattr(axl, DETERMINISTIC[name])(), opponent), turns=len(other)).play()
        assert "".join(str(move) for _, move in record) == other
        assert asyncio.run(played(name, other)) == "".join(str(move) for move, _ in record), other


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_move_by_move_after_a_slip(axl: ModuleType, name: Any) -> None:
    """Histories that the strategy would not have made itself, as where an answer was invalid."""
    rng = random.Random(1)
    for _ in range(200):
        own, other = ("".join(rng.choices("CD", k=12)) for _ in range(2))
        player, opponent = getattr(axl, DETERMINISTIC[name])(), axl.MockPlayer()
        for t in range(12):
            assert cooperates(name, own[:t], other[:t]) == (player.strategy(opponent) == axl.Action.C), (own[:t], other[:t])
            player.update_history(axl.Action.from_char(own[t]), axl.Action.from_char(other[t]))
            opponent.update_history(axl.Action.from_char(other[t]), axl.Action.from_char(own[t]))


def vector(axl: Any, player: Any, table: Any) -> dict[str, float]:
    """The library's probabilities of cooperating after each joint move, own move first, in a game with these payoffs."""
    t, r, p, s = table
    player.set_match_attributes(game=axl.Game(r=r, s=s, t=t, p=p))
    return {"".join(map(str, joint)): float(chance) for joint, chance in player._four_vector.items()}


@pytest.mark.parametrize("name", ["generous_tit_for_tat", "extort"])
def test_probabilities(axl: ModuleType, name: str) -> None:
    player = getattr(axl, STOCHASTIC[name])()
    theirs = vector(axl, player, IPD)
    assert cooperates(name, "", "") == (player._initial == axl.Action.C)
    rng = random.Random(2)
    for _ in range(200):
        own, other = ("".join(rng.choices("CD", k=rng.randint(1, 9))) for _ in range(2))
        own, other = own[-len(other) :], other[-len(own) :]
        assert cooperates(name, own, other) == pytest.approx(theirs[own[-1] + other[-1]])


def test_random_is_a_fair_coin(axl: ModuleType) -> None:
    fair = axl.Random().p
    assert {cooperates("random", "C" * n, "D" * n) for n in range(5)} == {fair}


@pytest.mark.parametrize("table", [IPD, (4, 3, 1, 0), (6, 5, 4, 0), (10, 6, 3, -2), (0, -1, -2, -3)])
def test_generosity_follows_the_payoffs_as_theirs_would(axl: ModuleType, table: Any) -> None:
    """GTFT computes its forgiveness once, from the standard payoffs; a fresh look at others is asked for by forgetting it."""
    player = axl.GTFT()
    player.p = None
    theirs = vector(axl, player, table)
    assert {joint: cooperates("generous_tit_for_tat", *joint, table) for joint in theirs} == pytest.approx(theirs)  # type: ignore[call-arg]


@pytest.mark.parametrize("table", [IPD, (4, 3, 1, 0), (10, 6, 5, -2), (0, -1, -2, -3), (5, 3, 2.9, 0)])
def test_extortion_is_of_their_family(axl: ModuleType, table: Any) -> None:
    """On other payoffs the free factor phi is ours to choose; given ours, the library's equations give all four probabilities."""
    _, r, p, _ = table
    phi = (1 - cooperates("extort", "C", "C", table)) / ((1 - 0.5) * (r - p))
    theirs = vector(axl, axl.ZDExtort2(phi=phi, s=0.5), table)
    assert {joint: cooperates("extort", *joint, table) for joint in theirs} == pytest.approx(theirs)  # type: ignore[call-arg]
