"""Fingerprints of strategies whose answers are known, and of models against their own play."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from detente import config, fingerprint
from detente.errors import UserError
from detente.evaluation.fingerprint import AFTER, BEFORE
from detente.family_file import description
from detente.reports.fingerprint import curves
from detente.reports.fingerprint_tables import tables

MOVES = ("CC", "CD", "DC", "DD")


def of(folder: Path, names: list[str], preset: str = "ipd", *overrides: str, **more: int) -> list[dict[str, Any]]:
    return fingerprint(config.load(preset, overrides), names, folder, **more)["agents"]  # type: ignore[arg-type]


def test_memory_one_of_the_literature(tmp_path: Path) -> None:
    """Nowak and Sigmund 1992 and 1993, Stewart and Plotkin 2012: [start, CC, CD, DC, DD]."""
    known = {
        "tit_for_tat": [1, 1, 0, 1, 0],
        "win_stay_lose_shift": [1, 1, 0, 0, 1],
        "generous_tit_for_tat": [1, 1, 1 / 3, 1, 1 / 3],
        "extort": [1, 8 / 9, 1 / 2, 1 / 3, 0],
        "always_defect": [0, 0, 0, 0, 0],
        "random": [0.5] * 5,
    }
    for (name, expected), found in zip(known.items(), of(tmp_path, list(known)), strict=True):
        assert list(found["memory_one"]) == ["start", *MOVES]
        assert list(found["memory_one"].values()) == pytest.approx(expected), name
        assert list(found["memory_two"]) == [f"{a} {b}" for a, b in product(MOVES, MOVES)]


def test_what_only_two_moves_show(tmp_path: Path) -> None:
    grim, patient = of(tmp_path, ["grim_trigger", "tit_for_two_tats"])
    assert grim["memory_one"] == {"start": 1, "CC": 1, "CD": 0, "DC": 1, "DD": 0}
    assert grim["memory_two"]["CD CC"] == 0  # the defection before last is not forgotten
    assert patient["memory_one"]["CD"] == 1
    assert (patient["memory_two"]["CD CD"], patient["memory_two"]["CC CD"]) == (0, 1)


def test_forgiveness_after_one_defection(tmp_path: Path) -> None:
    names = ["tit_for_tat", "grim_trigger", "win_stay_lose_shift", "always_cooperate"]
    courses = [[one["cooperate"] for one in agent["forgiveness"]] for agent in of(tmp_path, names)]
    before, after = [1] * (BEFORE + 1), AFTER - 1
    assert courses[0] == [*before, 0, *[1] * after]
    assert courses[1] == [*before, 0, *[0] * after]
    assert courses[2] == [*before, 0, *[0] * after]  # it shifts to D, and D against a cooperator wins: it stays there
    assert courses[3] == [*before, 1, *[1] * after]


def test_forgiveness_is_the_expectation_over_ones_own_moves(tmp_path: Path) -> None:
    """Extort-2 after the defection: a two-state chain by hand, P(C | own last move) against a cooperator being 8/9 and 1/3."""
    (found,) = of(tmp_path, ["extort"])
    cooperate = [1.0]
    for one in found["forgiveness"][:-1]:
        after_own_c, after_own_d = (8 / 9, 1 / 3) if one["other"] == "C" else (1 / 2, 0)
        cooperate.append(cooperate[-1] * after_own_c + (1 - cooperate[-1]) * after_own_d)
    assert [one["cooperate"] for one in found["forgiveness"]] == pytest.approx(cooperate, abs=1e-3)


def test_the_meaning_of_labels_is_averaged(tmp_path: Path) -> None:
    (found,) = of(tmp_path, ["tit_for_tat"], "ipd", "game.counterbalance=true")
    assert found["memory_one"] == {"start": 1, "CC": 1, "CD": 0, "DC": 1, "DD": 0}


def test_a_models_start_is_its_own_probability(tmp_path: Path, lively_model: str) -> None:
    from detente import play

    (found,) = of(tmp_path, [f"model:{lively_model}"], "ipd", "game.rounds=4")
    (episode,) = play("ipd", [f"model:{lively_model}", "tit_for_tat"], overrides=["game.rounds=4"])
    raw = episode.rounds[0].turns[0].completion.probabilities
    assert found["memory_one"]["start"] == pytest.approx(raw[0] / sum(raw), abs=1e-4)
    assert all(0 < p < 1 for p in found["memory_two"].values())


def shares(agent: dict[str, Any], told: str, greedy: bool) -> set[float]:
    """The shares asked after fair, or greedy, asks of the other."""
    return {
        one["share"]["mean"]
        for one in agent["responses"]
        if one["told"] == told and one["last"] is not None and (one["last"] > 0.5) == greedy
    }


def test_response_curves_of_scripts(tmp_path: Path) -> None:
    greedy, welfare, half = of(tmp_path, ["greedy", "welfare", "fair_half"], "trust_and_split", episodes=60)
    for told, after in product(("upper", "lower", "nothing"), (False, True)):
        assert shares(greedy, told, after) == {1}
        assert shares(half, told, after) == {0.5}
        assert shares(welfare, told, after) == {{"upper": 1, "lower": 0, "nothing": 0.5}[told]}


def test_a_reciprocator_answers_greed(tmp_path: Path) -> None:
    (found,) = of(tmp_path, ["reciprocator"], "trust_and_split", episodes=60)
    assert shares(found, "lower", True) == {1}
    assert max(shares(found, "lower", False)) < 1  # 1 only where the other was greedy in the round before
    first = {one["told"]: one["share"]["mean"] for one in found["responses"] if one["last"] is None}
    assert first == {"upper": 1, "lower": 0, "nothing": 0.5}


def test_public_values_need_no_message(tmp_path: Path) -> None:
    (found,) = of(tmp_path, ["welfare"], "split_no_comm", episodes=20)
    assert {one["told"] for one in found["responses"]} == {"upper", "lower"}
    assert (shares(found, "upper", True), shares(found, "lower", False)) == ({1}, {0})


def test_what_is_written(tmp_path: Path) -> None:
    found = of(tmp_path, ["tit_for_tat", "always_defect"])
    assert json.loads((tmp_path / "fingerprint.json").read_text())["agents"] == found
    assert (tmp_path / "fingerprint.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "index.html").read_text()
    assert "P(cooperate | last two joint moves)" in page
    assert page.count("<svg") == 3
    written = json.loads((tmp_path / "fingerprint.json").read_text())
    assert [row[0] for row in tables(written)[0].rows] == ["tit_for_tat", "always_defect"]
    assert tables(written)[2].rows[0] == ("tit_for_tat", (32, 27, 2, 3, 9, 14))
    assert "Exact best response and floor, points over 10 rounds" in page
    one, two, course = curves(written)
    assert [line.values for line in one.lines] == [(1, 1, 0, 1, 0), (0, 0, 0, 0, 0)]
    assert (len(two.ticks), [line.values[0] for line in course.lines]) == (16, [1, 0])


def test_other_games_show_what_their_families_measure(tmp_path: Path) -> None:
    found = of(tmp_path, ["random"], "ipd", "game.name=matching_pennies", episodes=4)
    assert {*found[0]["measures"]} == {"reward", "invalid"}
    written = json.loads((tmp_path / "fingerprint.json").read_text())
    (table,) = tables(written)
    assert (table.title, table.heads) == ("Against players at random", ("reward", "invalid"))
    assert [panel.limits for panel in curves(written)] == [None]
    assert "4 episodes of each agent with players at random" in (tmp_path / "index.html").read_text()


def test_what_has_too_many_histories_has_no_exact_values(tmp_path: Path) -> None:
    fair, undecided = of(tmp_path, ["tit_for_tat", "random"])
    assert (fair["exact"]["floor"], undecided["exact"]) == ([9, 9], None)
    assert tables({"agents": [fair, undecided]})[2].rows[1] == ("random", (None,) * 6)
    assert len(tables({"agents": [undecided]})) == 2


def test_every_column_is_shaded_by_its_own_bounds(tmp_path: Path) -> None:
    of(tmp_path, ["greedy"], "trust_and_split", episodes=4)
    known = description(tmp_path, {})
    agents = [{"label": "x", "measures": {"reward": 25.0, "invalid": 0.5, "efficiency": 0.25, "ask_higher": 1.0, "mine": 1.0}}]
    (table,) = tables({"agents": agents, "reward_bounds": [0, 100]}, known)
    assert [table.shade(i, value) for i, value in enumerate(table.rows[0][1])] == [0.25, 0.5, 0.25, None, None]
    assert (table.shade(0, None), table.shade(0, 150.0)) == (None, 1)
    (table,) = tables({"agents": agents})
    assert table.shade(0, 25.0) is None


@pytest.mark.parametrize(
    ("preset", "overrides", "names", "sentence"),
    [
        ("ipd", [], ["tit_for_tat", "tit_for_tat"], "The agent tit_for_tat is named twice"),
        ("ipd", [], ["greedy"], "The strategy 'greedy' cannot play ipd"),
    ],
)
def test_what_has_no_fingerprint(tmp_path: Path, preset: str, overrides: list[Any], names: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        of(tmp_path / "x", names, preset, *overrides)
    assert not (tmp_path / "x").exists()


def test_the_command(command: Callable[..., Any], tmp_path: Path) -> None:
    process = command("fingerprint", "ipd", "--agents", "tit_for_tat,grim_trigger")
    assert process.wait() == 0, process.err
    assert "grim_trigger" in process.out
    assert (tmp_path / "runs" / "fingerprint" / "ipd" / "index.html").exists()


def test_where_seats_differ_there_is_one_for_each_role(tmp_path: Path) -> None:
    """In a battle of the sexes either player's own move comes first."""
    table = "game.payoffs=[[[3,2],[0,0]],[[0,0],[2,3]]]"
    found = of(tmp_path, ["tit_for_tat", "always_defect"], "ipd", "game.name=matrix", table)
    assert [agent["label"] for agent in found] == [
        "tit_for_tat as seat 1",
        "tit_for_tat as seat 2",
        "always_defect as seat 1",
        "always_defect as seat 2",
    ]
    assert found[0]["memory_one"] == found[1]["memory_one"] == {"start": 1, "CC": 1, "CD": 0, "DC": 1, "DD": 0}
    assert "tit_for_tat as seat 2" in (tmp_path / "index.html").read_text().replace("<wbr>", "")
