"""Public goods: what is measured, how a report reads it, and what a reader is told of a round."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

import detente
from detente.evaluation.measures import measured
from detente.games import family_of, make
from detente.games.public_goods.measures import archetype, slope
from detente.games.reading import Result
from detente.games.sides import carried_out
from detente.matches import play_scripts
from detente.records import Episode
from detente.reports.transcript import page_data, render_text

NAMES = ["giver", "sanctioner_3", "free_rider", "free_rider"]
GAME: Any = make("public_goods", players=4, rounds=3)
SMALL: Any = make("public_goods", players=3, rounds=3, institutions=False, multiplier=1.8, levels=[0, 10, 20])


@pytest.fixture(scope="module")
def episode() -> Episode:
    """Two who give in the institution with sanctions, and two who keep their coins elsewhere."""
    return detente.play(GAME, NAMES)[0]


def test_measures_of_a_player(episode: Episode) -> None:
    scalars, tables = measured(GAME, [(episode, 0), (episode, 2)])
    assert scalars == {
        "reward": (52 + 40) / 2,
        "invalid": 0,
        "contribution": 10,
        "sanctioned": 0.5,
        "institution_size": 2,
        "tokens_sent": 0,
        "punish_share": None,
    }
    assert tables["contribution_in"] == {"SI": 20, "SFI": 0}
    assert tables["invalid_on"] == {"institution": 0, "contribution": 0, "sanctions": 0}
    assert tables["archetype"] == {"rising": 0, "falling": 0, "flat": 1, "oscillating": 0}


def test_tokens_are_counted_by_what_they_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def angry(view: Any, rng: Any) -> str:
        return {"institution": "<A>", "contribution": "Contribution: 0"}.get(view.topic, "Tokens: -3, 0, 1")

    monkeypatch.setitem(family_of(GAME).strategies, "angry", angry)
    (played,) = detente.play(GAME, ["angry", "giver", "giver", "giver"])
    scalars, _ = measured(GAME, [(played, 0)])
    assert (scalars["tokens_sent"], scalars["punish_share"]) == (4, 0.75)
    assert family_of(GAME).exploited(GAME, played) == [[1, 2, 3]] * 3
    facts = list(family_of(GAME).turn_facts(GAME, played))[:12]
    assert facts[4] == {"institution": "SI", "contributed": 0}
    assert sorted(facts[8]["sanctions"]) == [-3, 0, 0, 1]
    assert facts[8]["sanctions"][0] == 0  # by seat, and none for itself


def test_without_institutions_less_is_measured() -> None:
    (played,) = detente.play(SMALL, ["giver", "free_rider", "free_rider"])
    scalars, tables = measured(SMALL, [(played, 0)])
    assert set(scalars) == {"reward", "invalid", "contribution"}
    assert set(tables) == {"invalid_on", "archetype"}
    assert family_of(SMALL).exploited(SMALL, played) == [[0]] * 3


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ([0, 5, 10, 15, 20], "rising"),
        ([20, 20, 10, 10, 0, 0], "falling"),
        ([20] * 6, "flat"),
        ([10, 10, 11, 10, 10, 10], "flat"),
        ([0, 20, 0, 20, 0, 20], "oscillating"),
        ([7], "flat"),
    ],
)
def test_archetypes(given: list[float], name: str) -> None:
    assert archetype(given, 20) == name


def test_the_slope_is_that_of_the_least_squares_line() -> None:
    assert slope([1, 3, 5]) == 2
    assert slope([0, 3, 0]) == 0
    assert slope([4]) == 0


def test_the_anchors_of_a_report() -> None:
    lines = {anchor.label: round(anchor.value, 2) for anchor in family_of(GAME).reading(make("public_goods"), play_scripts).anchors}
    assert lines == {
        "one keeps its coins 67.4": 67.43,
        "all give 52": 52,
        "the others then 47.4": 47.43,
        "nobody gives 40": 40,
    }
    small = {round(anchor.value, 2) for anchor in family_of(SMALL).reading(SMALL, play_scripts).anchors}
    assert small == {44, 36, 24, 20}


@pytest.mark.parametrize(
    ("given", "taken", "word"),
    [
        (1.0, 20.0, "free rider"),
        (10.0, 20.0, "in between"),
        (18.0, 21.0, "giver, not exploited"),
        (20.0, 32.0, "exploitable giver"),
        (20.0, 24.0, "in between"),
    ],
)
def test_verdicts(given: float, taken: float, word: str) -> None:
    """One giver among free riders lets them get 32 where they have 20."""
    result = Result("main", {"contribution": given}, {"free_rider": {"opponent_reward": taken}}, {})
    assert family_of(SMALL).reading(SMALL, play_scripts).verdict(result) == word


def test_where_free_riders_can_leave_a_giver_is_a_giver() -> None:
    reading = family_of(GAME).reading(GAME, play_scripts)
    assert reading.verdict(Result("main", {"contribution": 20.0}, {}, {})) == "giver"


def test_references_are_measured_like_learners() -> None:
    giver, rider, _ = family_of(SMALL).references(SMALL, play_scripts, ["free_rider", "giver", "sanctioner_3"])
    assert giver.self_play["reward"] == pytest.approx(36)
    assert giver.against.keys() == {"free_rider", "giver"}
    assert giver.against["free_rider"]["opponent_reward"] == pytest.approx(32)
    assert rider.against["giver"]["reward"] == pytest.approx(44)


def test_what_a_reader_is_told_of_a_round(episode: Episode) -> None:
    notes = family_of(GAME).notes(GAME, episode.rounds[0])
    assert notes is not None
    assert notes.stock == "SI: 2 players gave 20 on average; SFI: 2 players gave 0 on average"
    assert notes.held[0] == "SI, gave 20, points 32 + 20"
    data = page_data([("other", episode)])["episodes"][0]["rounds"][0]
    assert [[turn["topic"] for turn in row] for row in data["rows"]] == [
        ["institution"] * 4,
        ["contribution"] * 4,
        ["sanctions"] * 2,
    ]
    text = StringIO()
    Console(file=text, width=200).print(render_text(episode))
    assert re.search(r"│ contribution │ Contribution: 20 ", text.getvalue())


def test_what_a_player_is_told_of_a_round_before_the_next_game(episode: Episode) -> None:
    told = [family_of(GAME).outcome(GAME, episode.rounds[0], player, 0) for player in (0, 2)]
    assert told == ["you gave 20, they about 7", "you gave 0, they about 13"]


def test_the_record_tells_what_chance_made_of_which_answer() -> None:
    (played,) = detente.play(replace(SMALL, noise=1.0, institutions=True), ["giver"] * 3)
    held = [text for one_round in played.rounds for text in family_of(SMALL).notes(SMALL, one_round).held]
    assert {"gave 20", "gave 0 by chance", "gave 10 by chance"} == {*held}
    for one_round in played.rounds:
        done = {(turn.topic, turn.player): carried_out(one_round, turn) for turn in one_round.turns}
        assert [done["contribution", player] for player in range(3)] == one_round.info["contributions"]
        assert done["institution", 0] == "SI"
