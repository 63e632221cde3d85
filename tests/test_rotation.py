"""Seats that rotate: who sits where is uniform, follows from the seed, and stays as it was without the option."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any

import pytest
from scipy.stats import chisquare

from detente.config import build
from detente.rotation import drawn, in_turn, own_seats, players_of

GAME = {"name": "ipd"}


def options(*seats: str, rotate: bool = True, game: Any = GAME, seed: int = 0) -> Any:
    learners: dict[str, Any] = {name: {} for name in seats if len(name) == 1}
    return build({"game": game, "seats": seats, "learners": learners, "seed": seed, "opponents": {"rotate": rotate}})


@pytest.mark.parametrize(("names", "players"), [("abc", 3), ("abcd", 3), ("abcd", 2)])
def test_every_order_is_equally_likely(names: str, players: int) -> None:
    config = options(*names)
    seen = Counter(drawn(config, players, iteration, group) for iteration in range(100) for group in range(24))
    assert {*seen} == {*permutations(names, players)}
    assert chisquare([*seen.values()]).pvalue > 0.01


def test_the_seed_the_iteration_and_the_group_decide() -> None:
    config = options(*"abcdef")
    places = [(0, 0), (0, 1), (1, 0)]
    assert [drawn(config, 6, *place) for place in places] == [drawn(config, 6, *place) for place in places]
    assert len({drawn(config, 6, *place) for place in places} | {drawn(options(*"abcdef", seed=1), 6, 0, 0)}) == 4


def test_without_the_option_all_sit_where_they_are_named() -> None:
    config = options("a", "b", "a", rotate=False)
    assert {drawn(config, 3, iteration, group) for iteration in range(9) for group in range(9)} == {("a", "b", "a")}
    assert in_turn(config, 3) == [("a", "b", "a")]
    assert [own_seats(config, name, 3) for name in "ab"] == [[0, 2], [1]]
    assert players_of(config) == 3


def test_an_evaluation_seats_everybody_once_on_every_seat() -> None:
    orders = in_turn(options(*"abcd"), 3)
    assert orders == [("a", "b", "c"), ("b", "c", "d"), ("c", "d", "a"), ("d", "a", "b")]
    assert all(sorted(order[seat] for order in orders) == [*"abcd"] for seat in range(3))
    assert own_seats(options(*"abcd"), "d", 3) == [0, 1, 2]


def test_the_game_says_how_many_play() -> None:
    assert players_of(options(*"abcde")) == 2
    assert players_of(options(*"abcde", game={"name": "public_goods", "players": 4})) == 4
