"""The pages in a real browser: what a person does by clicking."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from detente.records import read_episodes
from detente.web import reading, transcripts
from tests.browsing import fits, open_address
from tests.reports.make_run import HOSTILE, make_run
from tests.web.serving import Server

pytestmark = pytest.mark.browser
PARTS = (
    "section, details, table, form, select, input, textarea, button, figure, pre, .card, .said, .line, .held, .hits a, .round, p"
)


def until(ready: Callable[[], Any], seconds: float = 180) -> Any:
    """What ``ready`` returns once it is true; elements that were replaced meanwhile are looked for again."""
    from selenium.common.exceptions import StaleElementReferenceException

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := ready():
                return found
        except StaleElementReferenceException:
            pass
        time.sleep(0.03)
    raise AssertionError("it did not happen")


def one(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def shown(browser: Any, selector: str) -> str:
    """The text of an element that can be seen, else ""."""
    return str(browser.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector))


def pick(browser: Any, name: str, value: str) -> None:
    from selenium.webdriver.support.select import Select

    Select(browser.find_element("name", name)).select_by_value(value)


def start(browser: Any, server: Server, game: str, opponent: str, seat: str = "0") -> None:
    open_address(browser, f"{server.address}/play", 1280)
    pick(browser, "game", game)
    pick(browser, "opponent", opponent)
    pick(browser, "seat", seat)
    one(browser, "#play button").click()
    until(lambda: "/play/" in browser.current_url)


def question(browser: Any, number: int) -> Any:
    """The form of the question with that number, once it is asked."""
    return until(lambda: browser.find_elements("css selector", f'#question[data-number="{number}"]:not([hidden])'))[0]


def saved(browser: Any, folder: Path) -> Any:
    """The episode of the game on the page, by way of its link to the transcript."""
    link = until(lambda: one(browser, "#transcript") if one(browser, "#transcript").is_displayed() else None)
    file = sorted((folder / "played").glob("*.jsonl"))[-1]
    assert file.name in link.get_attribute("href")
    (episode,) = read_episodes(file)
    return link, episode


def errors(browser: Any) -> list[Any]:
    """What the browser complained of, its own refusal of addresses that are not there apart."""
    return [entry for entry in browser.get_log("browser") if "404 (Not Found)" not in entry["message"]]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """Pages over a folder that may be changed."""
    folder = tmp_path_factory.mktemp("own") / "runs"
    make_run(folder / "growing", done=12, summary=False)
    make_run(folder / "other", done=5, summary=False)
    with Server(folder) as server:
        yield server, folder


def test_a_whole_game_of_ipd_by_clicking(browser: Any, own: tuple[Server, Path]) -> None:
    server, folder = own
    start(browser, server, "ipd", "tit_for_tat")
    moves = "ABBABAAABB"
    for number, move in enumerate(moves, 1):
        form = question(browser, number)
        assert [button.text for button in form.find_elements("css selector", "button")] == ["<A>", "<B>", "Leave the game"]
        form.find_elements("css selector", "button")["AB".index(move)].click()
    link, episode = saved(browser, folder)
    assert [turn.action for turn in episode.turns(0)] == ["CD"["AB".index(move)] for move in moves]
    own_points, other = sum(episode.rewards(0)), sum(episode.rewards(1))
    assert f"You got {own_points:g} points, {own_points / 10:g} per round; the other player {other:g}" in shown(browser, "#points")
    assert shown(browser, "#rounds").count("Round ") == 10
    assert "In every round both of you pick one label" in shown(browser, "#rules")
    link.click()
    until(lambda: "/episode" in browser.current_url)
    assert until(lambda: shown(browser, "#transcript")).count("Round ") == 10
    assert "human" in shown(browser, "h1")
    assert errors(browser) == []


def test_a_click_leaves_the_game(browser: Any, own: tuple[Server, Path]) -> None:
    start(browser, own[0], "ipd", "tit_for_tat")
    question(browser, 1).find_element("css selector", ".leave").click()
    until(lambda: one(browser, "#end").is_displayed())
    assert "You left this game" in shown(browser, "#problem")
    assert not one(browser, "#transcript").is_displayed()


def test_an_answer_of_the_server_that_comes_late_undoes_nothing(browser: Any, own: tuple[Server, Path]) -> None:
    """Two looks at a match may be on their way at once, and the older one come back last."""
    server, _ = own
    start(browser, server, "ipd", "tit_for_tat")
    question(browser, 1)
    browser.execute_script(
        """const fetched = window.fetch;
        window.late = "none";
        window.fetch = async (...asked) => {
          const answer = await fetched(...asked);
          if (window.late === "none" && asked[0].startsWith("/state")) {
            window.late = "held";
            await new Promise((resolve) => { window.release = resolve; });
            setTimeout(() => { window.late = "told"; }, 300);
          }
          return answer;
        };"""
    )
    until(lambda: browser.execute_script("return window.late") == "held")
    question(browser, 1).find_elements("css selector", "button")[0].click()
    question(browser, 2)  # the look that followed the click
    browser.execute_script("window.release()")
    until(lambda: browser.execute_script("return window.late") == "told")
    assert browser.find_elements("css selector", "#question[data-number='2']:not([hidden])")


def test_a_whole_game_of_trust_and_split_by_clicking(browser: Any, own: tuple[Server, Path]) -> None:
    server, folder = own
    start(browser, server, "trust_and_split", "reciprocator", seat="1")
    for round in range(10):
        form = question(browser, 2 * round + 1)
        form.find_element("css selector", "textarea").send_keys(f"My hand is rock & I like you {round}.")
        form.find_element("css selector", "button").click()
        form = question(browser, 2 * round + 2)
        browser.execute_script(
            """const slider = arguments[0].querySelector("input[type=range]");
            slider.value = arguments[1]; slider.dispatchEvent(new Event("input", { bubbles: true }));""",
            form,
            round,
        )
        assert form.find_element("css selector", "input[type=number]").get_attribute("value") == str(round)
        form.find_element("css selector", "button").click()
    _, episode = saved(browser, folder)
    mine = list(episode.turns(1))
    assert [turn.action for turn in mine if turn.phase == "message"] == [f"My hand is rock & I like you {i}." for i in range(10)]
    assert [turn.action for turn in mine if turn.phase == "decision"] == [{"coins": i} for i in range(10)]
    assert f"You got {round_(sum(episode.rewards(1)))} points" in shown(browser, "#points")
    assert errors(browser) == []


def round_(value: float) -> str:
    return f"{round(value, 2):g}"


def test_an_answer_that_is_none_is_explained_on_the_page(browser: Any, own: tuple[Server, Path]) -> None:
    server, _ = own
    start(browser, server, "trust_and_split", "silent")
    form = question(browser, 1)
    form.find_element("css selector", "textarea").send_keys("<b>bold</b>")
    form.find_element("css selector", "button").click()
    told = until(lambda: shown(browser, "#problem"))
    assert told.startswith("'<b>bold</b>' is not an answer here.")
    assert form.find_element("css selector", "textarea").get_attribute("value") == "<b>bold</b>"
    form.find_element("css selector", "textarea").clear()
    form.find_element("css selector", "textarea").send_keys("bold")
    form.find_element("css selector", "button").click()
    question(browser, 2)
    assert shown(browser, "#problem") == ""
    form.find_element("css selector", "input[type=number]").clear()
    form.find_element("css selector", "input[type=number]").send_keys("11")
    browser.execute_script("document.getElementById('question').noValidate = true")
    form.find_element("css selector", "button").click()
    assert "a whole number from 0 to 10" in until(lambda: shown(browser, "#problem"))


def test_an_opponent_that_does_not_come_is_told_on_the_page(browser: Any, own: tuple[Server, Path]) -> None:
    server, _ = own
    open_address(browser, f"{server.address}/play?opponent=growing", 1280)
    one(browser, "#play button").click()
    assert "has no adapter yet" in until(lambda: shown(browser, "#problem"), 120)
    open_address(browser, f"{server.address}/play?opponent=../secret", 1280)
    one(browser, "#play button").click()
    assert "There is no run or adapter folder '../secret'" in until(lambda: shown(browser, "#trouble"))
    browser.get_log("browser")


def grow(run: Path, **more: float) -> int:
    """One more iteration, as the loop writes it; its number."""
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(last | {"iteration": last["iteration"] + 1} | more) + "\n")
    return int(last["iteration"]) + 1


def test_a_run_is_watched_while_it_trains(browser: Any, own: tuple[Server, Path]) -> None:
    server, folder = own
    open_address(browser, f"{server.address}/run?run=growing", 1280)
    curve = "return document.querySelector('#training svg [id$=line2d_1], #training svg')?.outerHTML ?? ''"
    until(lambda: shown(browser, "#options h2") == "Options")
    before = until(lambda: browser.execute_script(curve))
    browser.execute_script("document.querySelector('#options details').open = true")
    browser.execute_script("document.getElementById('training').scrollIntoView()")
    place = browser.execute_script("return window.scrollY")
    browser.execute_script("window.still = 'the same page'")
    assert place > 0
    assert "12 of 40 iterations" in shown(browser, "#heading")
    grow(folder / "growing", **{"self_play/reward/main": 1.0, "reward/main": 1.0})
    until(lambda: browser.execute_script(curve) != before)
    until(lambda: "13 of 40 iterations" in shown(browser, "#heading"))
    assert browser.execute_script("return window.still") == "the same page"
    assert browser.execute_script("return document.querySelector('#options details').open")
    assert abs(browser.execute_script("return window.scrollY") - place) < 3
    assert errors(browser) == []


def test_what_a_run_did_not_have_appears_with_it(browser: Any, own: tuple[Server, Path]) -> None:
    server, folder = own
    open_address(browser, f"{server.address}/run?run=other", 1280)
    until(lambda: shown(browser, "#options h2") == "Options")
    assert not one(browser, "#against").is_displayed()
    grow(folder / "other", **{"eval/main/vs/random/reward": 2.5, "eval/main/vs/random/opponent_reward": 1.5})
    assert "random" in until(lambda: shown(browser, "#against"))


def test_diagnostics_are_drawn_when_they_are_opened(browser: Any, own: tuple[Server, Path]) -> None:
    server, _ = own
    open_address(browser, f"{server.address}/run?run=growing", 1280)
    until(lambda: shown(browser, "#options h2") == "Options")
    assert browser.execute_script("return document.querySelectorAll('#diagnostics svg').length") == 0
    one(browser, "#diagnostics summary").click()
    until(lambda: browser.execute_script("return document.querySelectorAll('#diagnostics svg').length") > 5)


def test_the_overview_follows_and_compares_what_is_ticked(browser: Any, own: tuple[Server, Path]) -> None:
    server, folder = own
    open_address(browser, f"{server.address}/", 1280)
    for box in browser.find_elements("css selector", "input[name=run]"):
        box.click()
    before = shown(browser, "#overview")
    done = grow(folder / "other", **{"reward/main": 1.23})
    until(lambda: shown(browser, "#overview") != before)
    assert f"{done} of 40" in shown(browser, "#overview")
    assert "1.23" in shown(browser, "#overview")
    assert all(box.is_selected() for box in browser.find_elements("css selector", "input[name=run]"))
    one(browser, "#compare").click()
    until(lambda: "/run?" in browser.current_url)
    assert "2 runs side by side" in shown(browser, "h1")
    until(lambda: browser.execute_script("return document.querySelectorAll('#outcome .card').length") == 2)


def test_a_transcript_is_opened_from_the_search(browser: Any, server: Server) -> None:
    open_address(browser, f"{server.address}/transcripts?in=ipd/reinforce", 1280)
    one(browser, "input[name=text]").send_keys("onerror")
    one(browser, "#filters button").click()
    until(lambda: "text=onerror" in browser.current_url)
    quote = one(browser, ".hits .quote")
    assert quote.find_element("css selector", "mark").text == "onerror"
    one(browser, ".hits a").click()
    until(lambda: "/episode" in browser.current_url)
    marks = until(lambda: browser.find_elements("css selector", "#transcript mark"))
    assert {mark.text for mark in marks} == {"onerror"}
    one(browser, "#only-found").click()
    rounds = browser.find_elements("css selector", "#transcript .round")
    seen = [each for each in rounds if each.is_displayed()]
    assert 0 < len(seen) < len(rounds)
    assert all("onerror" in each.text for each in seen)
    one(browser, "a[rel=next]").click()
    until(lambda: browser.find_elements("css selector", "#transcript mark"))
    assert errors(browser) == []


def test_a_long_search_goes_on_by_itself(browser: Any, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []

    def one_file_at_a_time(*arguments: Any, **options: Any) -> Any:
        requests.append(arguments)
        return transcripts.search(*arguments, **{"patience_s": -1.0} | options)

    monkeypatch.setattr(reading, "search", one_file_at_a_time)
    open_address(browser, f"{server.address}/transcripts?in=ipd/reinforce&text=<B>&kind=kept&iteration=16", 1280)
    until(lambda: browser.find_elements("css selector", ".hits a"))
    assert "iteration 16, against a kept checkpoint" in shown(browser, ".hits")
    assert len(requests) > 1


def test_filters_count_when_they_are_chosen(browser: Any, server: Server) -> None:
    open_address(browser, f"{server.address}/transcripts?in=ipd/reinforce", 1280)
    pick(browser, "kind", "scripted")
    until(lambda: "kind=scripted" in browser.current_url)
    found = [each.text for each in browser.find_elements("css selector", ".hits b")]
    assert found
    assert all("always_defect" in each for each in found)
    assert "text=" not in browser.current_url


def test_an_arena_cell_opens_its_games(browser: Any, server: Server) -> None:
    open_address(browser, f"{server.address}/", 1280)
    browser.find_element("link text", "meeting").click()
    cell = until(lambda: one(browser, "td a[aria-label='always_defect against always_cooperate']"))
    assert cell.text.startswith("5.00")
    colours = "return [...document.querySelectorAll('.arena td')].map((each) => getComputedStyle(each).backgroundColor)"
    assert len(set(browser.execute_script(colours))) > 3
    cell.click()
    until(lambda: "cell=1-2" in browser.current_url)
    hits = [each.text for each in browser.find_elements("css selector", ".hits b")]
    assert sorted(hits) == ["always_cooperate – always_defect"] * 4 + ["always_defect – always_cooperate"] * 4
    one(browser, ".hits a").click()
    assert "+5" in until(lambda: shown(browser, "#transcript"))


def test_hostile_words_are_shown_and_not_run(browser: Any, server: Server) -> None:
    from urllib.parse import quote

    open_address(browser, f"{server.address}/transcripts?in=ipd/reinforce&text={quote(HOSTILE)}", 1280)
    assert HOSTILE in shown(browser, ".hits .quote")
    one(browser, ".hits a").click()
    until(lambda: HOSTILE in shown(browser, "#transcript"))
    open_address(browser, f"{server.address}/play?opponent={quote(HOSTILE)}", 1280)
    one(browser, "#play button").click()
    assert HOSTILE in until(lambda: shown(browser, "#trouble"))
    open_address(browser, f"{server.address}/transcripts?in={quote(HOSTILE)}", 1280)
    assert HOSTILE in shown(browser, "main")
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0
    assert browser.title != "taken"
    browser.get_log("browser")


def test_the_policy_forbids_scripts_inside_of_a_page(browser: Any, server: Server) -> None:
    open_address(browser, f"{server.address}/", 1280)
    browser.execute_script(
        """const made = document.createElement("script"); made.textContent = "document.title = 'taken'"; document.body.append(made);
        const image = document.createElement("img"); image.setAttribute("onerror", "document.title = 'taken'");
        image.src = "data:image/png;base64,xx"; document.body.append(image);"""
    )
    time.sleep(0.3)
    assert browser.title != "taken"
    assert sum("Content Security Policy" in entry["message"] for entry in browser.get_log("browser")) == 2


ADDRESSES = (
    "/",
    "/run?run=ipd/reinforce&run=ipd/stopped",
    "/run?run=split",
    "/transcripts?in=ipd/reinforce&text=onerror",
    "/transcripts?in=split",
    "/episode?file=split/episodes/000001.jsonl&n=0&invalid=1",
    "/episode?file=ipd/reinforce/episodes/000001.jsonl&n=0",
    "/arena?in=meeting",
    "/play",
    "/nothing",
)


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("address", ADDRESSES)
def test_nothing_is_wider_than_the_screen(browser: Any, server: Server, address: str, width: int) -> None:
    open_address(browser, server.address + address, width)
    if address.startswith("/run"):
        until(lambda: shown(browser, "#options h2") == "Options", 120)
    browser.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    longer = "document.querySelectorAll('.runs span').forEach((each) => { each.textContent += arguments[0]; })"
    browser.execute_script(longer, "the_name_of_a_game_that_is_long_")
    browser.execute_script("document.querySelectorAll('.scroll').forEach((each) => each.replaceChildren())")  # may be scrolled
    assert fits(browser, PARTS) == []


@pytest.mark.parametrize("width", [400, 1280])
def test_a_table_fits_the_screen(browser: Any, own: tuple[Server, Path], width: int) -> None:
    server, _ = own
    start(browser, server, "deal_or_no_deal", "random")
    form = question(browser, 1)
    form.find_element("css selector", "textarea").send_keys("m" * 300)
    form.find_element("css selector", "button").click()
    open_address(browser, browser.current_url, width)
    question(browser, 2)
    assert fits(browser, PARTS) == []
