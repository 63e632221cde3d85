"""The wordings of rules: all of them have the same facts, and which one is read follows from the option and the seed."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest

import detente
from detente.errors import UserError
from detente.evaluation.exploitability import starts
from detente.games import make
from detente.games.contract import check_game
from detente.games.wordings import COUNT
from detente.reports.transcript import news, opening

MATRIX = {
    "name": "matrix",
    "payoffs": [[[11, 12], [13, 14]], [[15, 16], [17.5, -18]]],
    "labels": ["Q", "Z"],
    "noise": 0.25,
}
COINS = {"name": "trust_and_split", "coins": 17, "upper": 13, "lower": 4, "message_chars": 345, "alternating_hands": True}
ITEMS = {"stock": 17, "low": 4, "high": 13, "messages": 2, "message_chars": 345, "tags": "xml", "items": ["gems", "pens", "cups"]}
GAMES = [
    MATRIX,
    COINS,
    {**COINS, "messages": 0, "alternating_hands": False},
    {"name": "split_no_comm", **ITEMS},
    {"name": "trust_and_split_items", **ITEMS},
    {"name": "deal_or_no_deal", "messages": 3, "message_chars": 345, "items": ["gems", "pens", "cups"]},
]


def rules(parameters: dict[str, Any], wording: int) -> str:
    """What player 2 reads first."""
    game: Any = make(**parameters, wording=wording)
    return str(game.observe(game.reset(random.Random(0)), 1).text)


def numbers(text: str) -> set[str]:
    return set(re.findall(r"-?\b\d+(?:\.\d+)?", text))


@pytest.mark.parametrize("wording", range(1, COUNT))
@pytest.mark.parametrize("parameters", GAMES, ids=lambda parameters: parameters["name"])
def test_every_wording_has_every_number_label_and_form(parameters: dict[str, Any], wording: int) -> None:
    first, text = rules(parameters, 0), rules(parameters, wording)
    assert text != first
    assert numbers(first) <= numbers(text)
    assert set(re.findall(r"<[^ ]+>", first)) <= set(re.findall(r"<[^ ]+>", text))
    for name in (*parameters.get("items", ()), *(("rock", "paper", "scissors") if "coins" in parameters else ())):
        assert name in text.lower()
    assert not re.search(r"[{}]|\n\n|\b(10|ten)\b rounds|last round|prison|dilemma|coop|defect|betray", text)


@pytest.mark.parametrize("wording", range(COUNT))
def test_every_wording_says_who_gets_what(wording: int) -> None:
    text = rules(MATRIX, wording)
    cells = {("Q", "Q"): (12, 11), ("Q", "Z"): (16, 15), ("Z", "Q"): (14, 13), ("Z", "Z"): (-18, 17.5)}  # of player 2
    lines = [re.findall(r"<[QZ]>|-?\d+(?:\.\d+)?", line) for line in text.splitlines() if line.startswith("- ")]
    assert {(own[1], other[1]): (float(points), float(theirs)) for own, other, points, theirs in lines} == cells


@pytest.mark.parametrize("parameters", [*GAMES, {"name": "ipd", "counterbalance": True}], ids=lambda parameters: parameters["name"])
def test_any_wording_is_drawn_for_each_game_seed_and_changes_nothing_else(parameters: dict[str, Any]) -> None:
    game: Any = make(**parameters, wording="any")
    plain: Any = make(**parameters)
    seen = Counter(game.reset(random.Random(seed)).wording for seed in range(600))
    assert set(seen) == set(range(COUNT))
    assert min(seen.values()) > 60
    for seed in range(5):
        state, same = game.reset(random.Random(seed)), plain.reset(random.Random(seed))
        assert [game.observe(state, p).view for p in (0, 1)] == [plain.observe(same, p).view for p in (0, 1)]


@pytest.mark.parametrize("name", ["ipd", "trust_and_split"])
def test_the_contract_holds_in_any_wording(name: str) -> None:
    sample = None if name == "ipd" else lambda observation, rng: observation.form.format(rng.randint(0, 9))
    check_game(make(name, wording="any"), sample=sample)


def test_exact_values_are_a_mean_over_the_wordings() -> None:
    assert [state.wording for state in starts(make("ipd", wording="any"))] == list(range(COUNT))  # type: ignore[arg-type]
    assert [state.wording for state in starts(make("ipd", wording=2))] == [2]  # type: ignore[arg-type]


@pytest.mark.parametrize("wording", [3, "any"])
def test_a_transcript_shows_the_rules_that_were_read(wording: int | str) -> None:
    (episode,) = detente.play(make("trust_and_split", rounds=2, wording=wording), ["welfare", "welfare"], seed=1)
    first = next(episode.turns(0))
    assert first.prompt.startswith(opening(episode, 0)[:80])
    assert "scissors" not in news(episode, first).lower() or "Your hand" in news(episode, first)


def test_the_wording_is_on_record_where_it_is_set() -> None:
    assert "wording" not in make("trust_and_split").parameters()
    assert make("ipd", wording="any").parameters()["wording"] == "any"


@pytest.mark.parametrize("wording", [6, -1, True, "some", 1.0, None])
@pytest.mark.parametrize("name", ["ipd", "split_no_comm"])
def test_there_are_six_wordings(name: str, wording: Any) -> None:
    with pytest.raises(UserError, match="whole number from 0 to 5, or any"):
        make(name, wording=wording)
