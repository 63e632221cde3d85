"""Every outcome of a function of random numbers, against counting by hand."""

from __future__ import annotations

import random

import pytest

from detente.games.draws import ContinuumError, outcomes


def test_every_path_is_followed() -> None:
    """A coin; heads draws one of three, tails throws a die and adds a number from 2 to 3."""

    def draw(rng: random.Random) -> tuple[object, ...]:
        if rng.choice(["heads", "tails"]) == "heads":
            return ("heads", rng.randrange(3))
        return ("tails", rng.randint(1, 6) + rng.randrange(2, 4))

    found = outcomes(draw)
    assert [found["heads", i] for i in range(3)] == pytest.approx([1 / 6] * 3)
    ways = {3: 1, 4: 2, 5: 2, 6: 2, 7: 2, 8: 2, 9: 1}
    assert {total: found["tails", total] * 24 for total in ways} == pytest.approx(ways)
    assert sum(found.values()) == pytest.approx(1)


def test_nothing_drawn_is_one_outcome() -> None:
    assert outcomes(lambda rng: "same") == {"same": 1}


def test_a_continuum_is_refused() -> None:
    for draw in (lambda rng: rng.random(), lambda rng: rng.gauss(0, 1), lambda rng: str(rng.sample([1, 2], 1))):
        with pytest.raises(ContinuumError):
            outcomes(draw)
