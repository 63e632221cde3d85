"""Pages of games with four players and two decisions per round, and of games whose seats differ."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import example_games
from detente import arena, games, web
from detente.config import load_game
from detente.records import read_episodes
from tests.browsing import fits, open_address
from tests.web.serving import Server

OWN = {"Origin": "http://localhost", "Accept": "application/json"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An arena of the punishment game, and one of a commons of seven."""
    folder = tmp_path_factory.mktemp("many") / "runs"
    arena(load_game("example_games:Punishment"), ["avenger", "free_rider"], folder / "meeting", episodes=2)
    arena(load_game("commons", ["game.players=7", "game.rounds=1"]), ["sustainable"], folder / "seven", episodes=1)
    return folder


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    """Both games of the tests as if they belonged to the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(games.GAMES, "punishment", example_games.Punishment)
        patch.setitem(games.GAMES, "trust", example_games.Trust)
        yield


@pytest.fixture
def client(root: Path) -> Iterator[TestClient]:
    with TestClient(web.build(root), base_url="http://localhost") as client:
        yield client


def state(client: TestClient, address: str, ready: str) -> dict[str, Any]:
    """The state of a game once it asks something (``question``), or is saved (``saved``)."""
    for _ in range(1000):
        found: dict[str, Any] = client.get(address.replace("/play/", "/state/")).json()
        assert found["stage"] != "failed", found["problem"]
        if found[ready]:
            return found
        time.sleep(0.01)
    raise AssertionError(found)


def begin(client: TestClient, game: str, opponent: str, seat: int) -> Any:
    return client.post("/play", json={"game": game, "opponent": opponent, "seat": seat}, headers=OWN)


def test_a_person_plays_with_three_others(client: TestClient, root: Path) -> None:
    address = begin(client, "punishment", "avenger", 2).json()["address"]
    assert "You are player 3, against avenger on the other 3 seats." in client.get(address).text
    for line in ("B", "A", "A", "B"):
        question = state(client, address, "question")["question"]
        told = client.post(address.replace("/play/", "/answer/"), json={"number": question["number"], "line": line}, headers=OWN)
        assert told.json() == {"problem": ""}
    over = state(client, address, "saved")
    assert over["points"] == [6.0, 8.0]  # 6 and 3 for keeping, less 1 for each of three punishers
    assert over["others"] == [[5.5] * 3, [8.0] * 3]
    (episode,) = read_episodes(root / over["saved"])
    assert [played.steps for played in episode.rounds] == [(4, 4), (4, 4)]


def test_a_person_among_seven_is_told_what_is_asked_and_of_tokens_beyond_the_budget(client: TestClient) -> None:
    address = begin(client, "public_goods_sanctions", "giver", 0).json()["address"]

    def answer(line: str, topic: str) -> str:
        question = state(client, address, "question")["question"]
        assert question["topic"] == topic
        told = client.post(address.replace("/play/", "/answer/"), json={"number": question["number"], "line": line}, headers=OWN)
        return str(told.json()["problem"])

    sanctioning = re.findall(r"In (<.>) you are told", state(client, address, "question")["rules"])[0]
    assert [answer(sanctioning, "institution"), answer("0", "contribution")] == ["", ""]
    assert len(state(client, address, "question")["question"]["gaps"]) == 6
    assert "may add up to at most 20" in answer("-4 -4 -4 -4 -4 -4", "sanctions")
    assert answer("-3 0 0 0 0 2", "sanctions") == ""
    assert "gave 20, tokens -3 got" in state(client, address, "question")["said"][-1][2]
    assert state(client, address, "question")["others"] is None  # who is who is not told


def test_roles_are_named_where_a_person_chooses_and_plays(client: TestClient) -> None:
    assert '"roles": ["investor", "trustee"]' in client.get("/play").text
    address = begin(client, "trust", "kind", 1).json()["address"]
    assert "You are trustee, against kind." in client.get(address).text


def test_a_strategy_that_cannot_take_the_other_seat_is_refused(client: TestClient) -> None:
    refused = begin(client, "trust", "taker", 1)
    assert refused.status_code == 422
    assert "The strategy 'taker' cannot play investor of example_games:Trust; it plays trustee." in refused.text


def test_a_cell_of_an_arena_opens_the_games_of_all_seats(client: TestClient) -> None:
    page = client.get("/arena", params={"in": "meeting"}).text
    assert "over all seats" in page
    games_of_cell = client.get("/transcripts", params={"in": "meeting", "cell": "1-0"}).text
    assert games_of_cell.count("/episode?") == 8  # two on each of four seats


@pytest.mark.browser
def test_both_decisions_of_a_round_stand_side_by_side(browser: Any, root: Path) -> None:
    with Server(root) as server:
        place = "/episode?file=meeting%2Fepisodes%2F0-1-1-1.jsonl.gz&n=0&in=meeting"
        open_address(browser, server.address + place, 1300)
        rows = _rows(browser)
        assert [len(tops) for tops in rows] == [4] * 4  # two rounds, two decisions each, four players
        assert not fits(browser, "main *")


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_all_of_seven_players_are_seen_on_a_wide_screen_and_what_a_round_says_on_a_narrow_one(
    width: int, browser: Any, root: Path
) -> None:
    with Server(root) as server:
        open_address(browser, server.address + f"/episode?file=seven%2Fepisodes%2F{'-'.join('0' * 7)}.jsonl.gz&n=0&in=seven", width)
        assert [len(tops) for tops in _rows(browser)] == [7]
        seen = "const box = document.querySelector('.transcript'); return [box.scrollWidth > box.clientWidth, box.clientWidth]"
        scrolls, inside = browser.execute_script(seen)
        assert scrolls == (width < 600)
        assert browser.execute_script("return document.querySelector('.round h3').getBoundingClientRect().width") <= inside


def _rows(browser: Any) -> list[list[float]]:
    """The answers of the page, row by row, by their height on the page."""
    script = "return [...document.querySelectorAll('.said')].map((each) => Math.round(each.getBoundingClientRect().top))"
    for _ in range(100):
        tops = browser.execute_script(script)
        if tops:
            break
        time.sleep(0.05)
    return [[top for top in tops if top == height] for height in sorted(set(tops))]


@pytest.mark.browser
def test_the_points_of_three_others_stand_one_by_one(browser: Any, root: Path) -> None:
    with Server(root) as server:
        open_address(browser, f"{server.address}/play?game=punishment&opponent=avenger", 1300)
        browser.execute_script("document.querySelector('#play button').click()")
        for _ in range(4):
            _wait(browser, "document.querySelector('#question:not([hidden]) .choices button')")
            number = browser.execute_script("return document.getElementById('question').dataset.number")
            browser.execute_script("document.querySelector('#question .choices button').click()")
            _wait(
                browser,
                f"document.getElementById('question').hidden || document.getElementById('question').dataset.number != {number}",
            )
        _wait(browser, "!document.getElementById('end').hidden")
        score = browser.execute_script("return document.getElementById('points').textContent")
        assert re.search(r"You got 16 points, 8 per round; the other players 16, 16, 16, 8, 8, 8 per round\.", score)
        assert "you get 8, the others 8, 8, 8" in browser.execute_script("return document.getElementById('rounds').textContent")


def _wait(browser: Any, condition: str) -> None:
    for _ in range(200):
        if browser.execute_script(f"return Boolean({condition})"):
            return
        time.sleep(0.05)
    raise AssertionError(f"{condition} never came: {browser.page_source}")
