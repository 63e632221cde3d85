"""Topics: the names of the questions of a round, in the games that ask several."""

from __future__ import annotations

from typing import Any

import pytest

from detente.games import make
from detente.matches import play_scripts
from detente.room import in_silence


@pytest.mark.parametrize(
    ("name", "options", "topics"),
    [
        ("bargaining", {}, ["message", "message", "price", "price"]),
        ("bargaining", {"messages": 0}, ["", ""]),
        ("commons", {"players": 2, "messages": 1}, ["message", "message", "ask", "ask"]),
        ("commons", {"players": 2}, ["", ""]),
        ("ipd", {}, ["", ""]),
    ],
)
def test_a_topic_names_the_question_where_a_round_has_several(name: str, options: dict[str, Any], topics: list[str]) -> None:
    (episode, *_) = in_silence(make(name, rounds=2, **options))
    assert [[turn.topic for turn in played.turns] for played in episode.rounds] == [topics] * 2


def test_an_investment_and_its_return_have_topics() -> None:
    (episode,) = play_scripts(make("investor", rounds=1), ["fair", "fair"], 1)
    assert [turn.topic for turn in episode.turns()] == ["investment", "return"]
