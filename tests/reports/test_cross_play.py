"""The pages of arenas, best responses and fingerprints: what they say, and that names are text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from detente.family_file import Description
from detente.reports.best_response import best_response_page, rows, sentences
from detente.reports.cross_play import cross_play_page, cross_play_tables, matrix, page_data
from detente.reports.fingerprint import fingerprint_page

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def arena(tmp_path: Path) -> Any:
    from detente import arena

    found = arena("ipd", ["tit_for_tat", "always_defect", "always_cooperate"], tmp_path / "arena", episodes=3)
    return tmp_path / "arena", found


def renamed(folder: Path, found: Any, file: Any) -> Any:
    """The same with an agent whose name tries to break out of the page."""
    found["agents"][0]["label"] = HOSTILE
    (folder / file).write_text(json.dumps(found))
    return folder


def test_an_arena(arena: Any) -> None:
    folder, found = arena
    page = cross_play_page(folder).read_text()
    assert page.count('<td style="--p:') == 9
    assert '<b>1.40</b><br><small class="muted">(all 3 alike)</small>' in page
    assert (folder / "arena.png").read_bytes().startswith(b"\x89PNG")
    assert [row[0]["row"] for row in matrix(found)] == [0, 1, 2]  # type: ignore[index]
    shades = [cell["shade"] for row in page_data(found, Description())["rows"] for cell in row]
    assert (min(shades), max(shades)) == (0, 1)


def test_the_tables_of_the_terminal(arena: Any) -> None:
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as printed:
        console.print(cross_play_tables(arena[1]))
    text = printed.get()
    assert "(all 3 alike)" in text
    order = [text.rindex(name) for name in ("1 │ always_defect", "2 │ tit_for_tat", "3 │ always_cooperate")]
    assert order == sorted(order)


@pytest.fixture
def roles(tmp_path: Path) -> Any:
    """Two of three can play either role of the trust game, the third one alone."""
    from detente import arena
    from detente.config import load_game

    found = arena(load_game("example_games:Trust"), ["kind", "mean", "taker"], tmp_path / "roles", episodes=2)
    return tmp_path / "roles", found


def test_where_seats_differ_the_page_has_a_row_for_each_role(roles: Any) -> None:
    folder, found = roles
    page = cross_play_page(folder).read_text()
    assert page.count('<td style="--p:') == len(found["cells"]) == 12
    assert page.count("<td>–</td>") >= 3  # a trustee against one that is none but a trustee
    assert '<th class="text" scope="row">taker as trustee</th>' in page
    assert "taker as investor" not in page
    assert [[cell and cell["column"] for cell in row] for row in matrix(found)] == [[0, 1, 2], [0, 1, None]] * 2 + [[0, 1, None]]


def test_where_seats_differ_the_terminal_has_a_ranking_for_each_role(roles: Any) -> None:
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as printed:
        console.print(cross_play_tables(roles[1]))
    text = printed.get()
    assert "1 │ mean as investor " in text
    assert "1 │ mean as trustee " in text
    assert re.search(r"taker as trustee +│ 3\.00 \(all \d alike\) │ +– │", text)


def test_names_are_text_on_every_page(arena: Any, tmp_path: Path) -> None:
    from detente import fingerprint

    pages = [cross_play_page(renamed(*arena, "arena.json"))]  # type: ignore[call-arg]
    found = fingerprint("ipd", ["tit_for_tat"], tmp_path / "f")
    pages.append(fingerprint_page(renamed(tmp_path / "f", found, "fingerprint.json")))
    (tmp_path / "best_response.json").write_text(json.dumps(exploited(HOSTILE)))
    pages.append(best_response_page(tmp_path))
    for page in pages:
        text = page.read_text()
        assert "&lt;img src=x onerror=alert(1)&gt;" in text
        assert "<img" not in text


def exploited(label: Any) -> Any:
    """A best_response.json; the numbers are those of a defector against a cooperator."""

    def sure(mean: Any) -> Any:
        return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}

    return {
        "game": "ipd",
        "preset": "ipd",
        "against": label,
        "label": label,
        "algorithm": "reinforce",
        "seed": 0,
        "iterations": 2,
        "unit": "points per round",
        "curve": [{"iteration": i, "responder": sure(3 + i), "agent": sure(3 - i), "measures": {}} for i in (1, 2)],
        "responder": {"reward": sure(5), "agent_reward": sure(0), "measures": {"invalid": 0, "cooperation_rate": 0}},
        "self_play": {"reward": sure(3)},
        "cooperator": {"name": "always_cooperate", "reward": sure(3), "agent_reward": sure(3)},
        "gain": sure(2),
        "loss": sure(3),
        "exact": {
            "unit": "points over an episode",
            "rounds": 10,
            "expected_rounds": 10.0,
            "method": "full histories",
            "histories": 1023,
            "value": [49.5, 50],
            "agent_value": [0, 0.5],
            "cooperator": [30, 30],
            "agent_with_cooperator": [30, 30],
            "gain": 20,
            "play": "DDDDDDDDDD",
            "earned": None,
            "floor": [0, 0.5],
            "floor_opponent": [49.5, 50],
            "floor_play": "DDDDDDDDDD",
            "floor_left": sure(0.2),
        },
    }


def test_a_best_response(tmp_path: Path) -> None:
    (tmp_path / "best_response.json").write_text(json.dumps(exploited("kind-seed0")))
    page = best_response_page(tmp_path).read_text()
    assert page.count("<svg") == 1
    assert "4.95 to 5.00" in page  # per round
    assert sentences(exploited("kind-seed0"), Description()) == [
        "Trained against kind-seed0, the best responder gains 2.00 [1.90, 2.10] points per round over cooperating with it; "
        "the agent loses 3.00 [2.90, 3.10] against what it gets from a cooperator.",
        "What the responder does in the end: invalid 0.00, cooperation rate 0.00.",
        "The exact best response over 10 rounds is worth 49.50 to 50.00 points in all (full histories, 1023 histories read): "
        "DDDDDDDDDD if the agent does what it does most often.",
        "An opponent that only harms the agent leaves it 0.00 to 0.50 points in all and has 49.50 to 50.00 then: DDDDDDDDDD.",
        "Played against the agent itself, that plan left it 0.20 [0.10, 0.30] points in all.",
    ]
    assert rows(exploited("x"))[-1] == ("exact floor", "4.95 to 5.00", "0.00 to 0.05")


def test_a_best_response_of_before_there_were_floors(tmp_path: Path) -> None:
    earlier = exploited("x")
    earlier["exact"] = {key: value for key, value in earlier["exact"].items() if not key.startswith("floor")}
    (tmp_path / "best_response.json").write_text(json.dumps(earlier))
    assert "floor" not in best_response_page(tmp_path).read_text()
