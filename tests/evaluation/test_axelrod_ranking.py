"""The ranking equals that of the Axelrod library: on the library's own matches, and on a round robin that detente plays."""

from __future__ import annotations

import itertools
import random
from types import ModuleType
from typing import Any

import pytest

import detente
from detente.evaluation.axelrod_ranking import Rank, ranking
from detente.games import make

STRATEGIES = (
    "Cooperator",
    "Defector",
    "TitForTat",
    "Grudger",
    "WinStayLoseShift",
    "Alternator",
    "Gradual",
    "Detective",
    "Adaptive",
)


@pytest.fixture(scope="module")
def axl() -> ModuleType:
    from detente.players.axelrod_library import library

    return library()


def tournament(
    axl: ModuleType,
    names: list[str] | tuple[str, ...],
    *,
    turns: int = 20,
    repetitions: int = 1,
    payoffs: tuple[int, int, int, int] = (3, 0, 5, 1),
    **more: float,
) -> Any:
    """The library's results; its players do not know how long a match is, as ours do not."""
    game = axl.Game(*payoffs)
    attributes = {"length": float("inf"), "game": game, "noise": 0}
    players = [getattr(axl, name)() for name in names]
    played = axl.Tournament(players, game=game, turns=turns, repetitions=repetitions, match_attributes=attributes, seed=3, **more)
    return played.play(progress_bar=False)


def summary(results: Any) -> list[tuple[str, float, float, float]]:
    """Name, median score, median wins and cooperation rating of each, best first, as the library prints them."""
    return [(row.Name, row.Median_score, row.Wins, row.Cooperation_rating) for row in results.summarise()]


def as_theirs(ranks: list[Rank]) -> list[Any]:
    return [(rank.name, pytest.approx(rank.score), rank.wins, pytest.approx(rank.cooperation)) for rank in ranks]


@pytest.mark.parametrize(("repetitions", "noise"), [(1, 0), (5, 0), (4, 0.1)])
def test_the_library_s_own_matches(axl: ModuleType, repetitions: int, noise: float) -> None:
    results = tournament(axl, [*STRATEGIES, "Random", "GTFT"], repetitions=repetitions, noise=noise)
    # Interactions are what they publish per pair; cooperation comes as counts over all repetitions.
    shares = [[[count / (20 * repetitions)] * repetitions for count in row] for row in results.cooperation]
    ranks = ranking([str(player) for player in results.players], results.payoffs, shares)
    assert [rank.name for rank in ranks] == results.ranked_names
    assert summary(results) == as_theirs(ranks)
    assert len({rank.score for rank in ranks}) > 5


@pytest.mark.parametrize(("name", "payoffs"), [("ipd", (3, 0, 5, 1)), ("stag_hunt", (4, 0, 3, 2)), ("chicken", (3, 1, 4, 0))])
def test_a_round_robin_that_detente_plays(axl: ModuleType, name: str, payoffs: tuple[int, int, int, int]) -> None:
    game = make(name, rounds=20, counterbalance=True)
    size = len(STRATEGIES)
    scores, cooperation = ([[[] for _ in range(size)] for _ in range(size)] for _ in range(2))  # type: ignore[var-annotated]
    for i, j in itertools.combinations(range(size), 2):
        for episode in detente.play(game, [f"axelrod:{STRATEGIES[i]}", f"axelrod:{STRATEGIES[j]}"], episodes=2):
            for player, (own, other) in enumerate(((i, j), (j, i))):
                scores[own][other].append(episode.mean_reward(player))
                cooperation[own][other].append(sum(turn.action == "C" for turn in episode.turns(player)) / 20)
    results = tournament(axl, STRATEGIES, payoffs=payoffs, repetitions=2)
    ranks = ranking([str(player) for player in results.players], scores, cooperation)
    assert summary(results) == as_theirs(ranks)


def test_by_hand() -> None:
    """Three players, two repetitions, in the order (i against j): the middle one of three means, and nobody meets oneself."""
    scores = [
        [[9, 9, 9], [1, 2, 3], [3, 4, 5]],
        [[1, 3, 0], [9, 9, 9], [2, 2, 2]],
        [[5, 0, 5], [1, 2, 3], [9, 9, 9]],
    ]
    assert ranking(["a", "b", "c"], scores) == [
        Rank("a", score=3, wins=1),  # means 2, 3, 4; wins none; over c; over b
        Rank("c", score=3, wins=1),  # means 3, 1, 4; wins over a; none; over b
        Rank("b", score=1.5, wins=1),  # means 1.5, 2.5, 1; wins over c; over a; none
    ]


def test_equals_keep_their_order() -> None:
    """Whatever the order of the opponents: sums in floating point must not decide."""
    rng = random.Random(0)
    values = [rng.random() for _ in range(6)]
    scores = [[[value] for value in rng.sample(values[:5], 5)] for _ in range(6)]
    for i, row in enumerate(scores):
        row.insert(i, [0.0])
    assert [rank.name for rank in ranking("fbdace", scores)] == list("fbdace")
