"""The page in a real browser: needs Debian's chromium and chromium-driver, and selenium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from make_run import HOSTILE

pytestmark = pytest.mark.browser
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync")
QUIET = ("force-prefers-reduced-motion", "disable-background-networking", "disable-component-update")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    if BROWSER is None or DRIVER is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, *QUIET, f"user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(service=webdriver.ChromeService(DRIVER), options=options)
    yield driver
    driver.quit()


def open_page(browser: Any, page: Path, width: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    )
    browser.get(page.as_uri())


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
    assert browser.execute_script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    outside = """return [...document.querySelectorAll('select, .card, .card .series, figure, .said, .line, .held, pre')]
        .filter((each) => each.getBoundingClientRect().right > document.documentElement.clientWidth)
        .map((each) => each.outerHTML)"""
    assert browser.execute_script(outside) == []


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
