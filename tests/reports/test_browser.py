"""The page in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browsing import fits, open_address
from tests.reports.make_run import HOSTILE

pytestmark = pytest.mark.browser


def open_page(browser: Any, page: Path, width: int) -> None:
    open_address(browser, page.as_uri(), width)


def select(browser: Any, name: str, text: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.select import Select

    Select(browser.find_element(By.ID, f"pick-{name}")).select_by_visible_text(text)


def transcript(browser: Any) -> str:
    return str(browser.execute_script("return document.getElementById('transcript').innerText"))


PAGES = ["comparison", "split_comparison", "arena_page", "fingerprint_page", "split_fingerprint_page", "exploited_page"]


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_wider_than_the_screen(browser: Any, page: str, width: int, request: pytest.FixtureRequest) -> None:
    open_page(browser, request.getfixturevalue(page), width)
    browser.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert fits(browser, "select, .card, .card .series, figure, .said, .line, .held, pre") == []


def test_transcripts_are_browsed_by_clicking(browser: Any, comparison: Path) -> None:
    open_page(browser, comparison, 1280)
    before = transcript(browser)
    assert before.count("Round ") == 10
    browser.find_element("id", "next").click()
    assert transcript(browser) != before
    browser.find_element("id", "previous").click()
    assert transcript(browser) == before
    select(browser, "run", "advantage_alignment")
    select(browser, "kind", "against a script")
    assert "always_defect" in transcript(browser)
    select(browser, "iteration", "16")
    assert "Iteration 16" in transcript(browser)
    select(browser, "kind", "against a kept checkpoint")
    assert "main@15" in transcript(browser)
    assert "main@5" in transcript(browser)
    assert "The other player picked" not in transcript(browser)
    browser.find_element("id", "show-told").click()
    assert "The other player picked" in transcript(browser)


def test_a_chat_shows_both_seats_side_by_side(browser: Any, split_comparison: Path) -> None:
    open_page(browser, split_comparison, 1280)
    select(browser, "run", "reinforce")
    select(browser, "iteration", "8")
    shown = transcript(browser)
    for part in ("Round 10", "10 coins", "upper hand: coins 10", "My hand is", "not true", "asks 10 coins", "gets 5 coins"):
        assert part in shown
    assert "<<" not in shown
    apart = """const [one, other] = document.querySelectorAll('.round .held');
        return other.getBoundingClientRect().left - one.getBoundingClientRect().right"""
    assert browser.execute_script(apart) > 0


def test_hostile_answers_are_shown_and_not_run(browser: Any, comparison: Path) -> None:
    open_page(browser, comparison, 1280)
    select(browser, "run", "advantage_alignment")
    steps = browser.execute_script("return document.getElementById('pick-episode').options.length")
    seen = []
    for _ in range(steps):
        seen.append(transcript(browser))
        browser.find_element("id", "next").click()
    assert any(HOSTILE in text and "played instead" in text for text in seen)
    assert browser.execute_script("return document.querySelectorAll('img').length") == 0
    assert "taken" not in browser.title


@pytest.mark.parametrize("page", PAGES)
def test_no_errors_and_no_requests(browser: Any, page: str, request: pytest.FixtureRequest) -> None:
    open_page(browser, request.getfixturevalue(page), 1280)
    assert browser.get_log("browser") == []
    entries = browser.execute_script("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert [name for name in entries if not name.startswith("data:")] == []
