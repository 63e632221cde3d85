"""What is refused before a model is loaded: names that cannot rotate."""

from __future__ import annotations

import pytest

from detente.config import load
from detente.errors import UserError
from detente.learning.checks import check


def checked(seats: str, changes: str) -> None:
    learners = [f"learners.{name}.lora.rank=2" for name in seats.split(",") if len(name) == 1]
    check(load("ipd", [f"seats=[{seats}]", "opponents.rotate=true", *learners, *changes.split()]))


@pytest.mark.parametrize(
    ("seats", "changes"),
    [("a,b,c", ""), ("a,b,tit_for_tat", ""), ("a,tit_for_tat", ""), ("a,b,c", "opponents.replaced=1"), ("a,a,b", "overlap=1")],
)
def test_what_rotates(seats: str, changes: str) -> None:
    checked(seats, changes)


@pytest.mark.parametrize(
    ("seats", "changes", "sentence"),
    [
        ("a", "", "The game ipd has 2 seats, and the option seats names 1; name as many or more."),
        ("a,a,a", "", "opponents.rotate changes nothing where 'a' takes all seats; leave it out, or name others."),
        ("a,tit_for_tat,random", "", "opponents.rotate would draw groups in which nobody learns: tit_for_tat, random do not, and"),
        ("tit_for_tat,random", "", "in which nobody learns"),
        ("a,b,tit_for_tit", "", "tit_for_tit"),
        ("a,b,tit_for_tat", "opponents.replaced=1", "opponents.replaced (1) is more than there are other seats that learn (0)."),
        ("a,b", "learners.a.briefing=counts opponents.kept=0", "with the same others throughout; set opponents.rotate=false."),
        (
            "a,b,c",
            "game.name=public_goods game.players=2 vary.players.choices=[2,3]",
            "It has 3 players, and the run's game has 2.",
        ),
        ("a,b,giver", "game.name=investor", "The strategy 'giver' cannot play"),
        ("a,b,c", "opponents.rotate=false", "The game ipd has 2 seats; 3 players were named: a, b, c."),
        ("a,b,c", "opponents.rotate=[a,b,c]", "opponents.rotate"),
    ],
)
def test_what_cannot_rotate_is_a_sentence(seats: str, changes: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        checked(seats, changes)
    assert sentence in str(error.value)
