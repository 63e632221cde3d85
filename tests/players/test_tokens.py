"""The tokens of a chat against plain tuples."""

from __future__ import annotations

import random

import pytest

from detente.players.tokens import Tokens


def test_they_are_like_tuples_however_they_branch() -> None:
    """Any of the sequences made so far may be gone on from, again and again; none of the others changes."""
    rng = random.Random(0)
    made: list[tuple[Tokens, tuple[int, ...]]] = [(Tokens(), ())]
    for _ in range(300):
        ours, theirs = rng.choice([made[-1], rng.choice(made)])
        more = tuple(rng.randrange(9) for _ in range(rng.randrange(4)))
        made.append((ours + more, theirs + more))
    for ours, theirs in made:
        assert tuple(ours) == theirs
        assert ours == theirs
        assert (len(ours), hash(ours), list(reversed(ours))) == (len(theirs), hash(theirs), [*theirs][::-1])
        for _ in range(5):
            a, b, step = (rng.choice([None, rng.randrange(-12, 12)]) for _ in range(3))
            assert ours[a : b : step or None] == list(theirs[a : b : step or None])
        for place in range(-len(theirs), len(theirs)):
            assert ours[place] == theirs[place]
        for place in (len(theirs), -len(theirs) - 1):
            with pytest.raises(IndexError):
                ours[place]


def test_what_differs_is_not_equal() -> None:
    one = Tokens([1, 2])
    for other in ((1,), (1, 2, 3), (1, 3), Tokens([2, 1]), None, "12"):
        assert one != other
    assert one == Tokens([1, 2]) == [1, 2]


def test_a_chat_that_grows_is_kept_once() -> None:
    chat, made = Tokens(), []
    for i in range(100):
        chat += (i,)
        made.append(chat)
    assert len({id(each._shared) for each in made}) == 1
    assert [len(each) for each in made] == list(range(1, 101))
