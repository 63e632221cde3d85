"""A real browser for tests of pages: needs Debian's chromium and chromium-driver, and selenium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

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


def open_address(browser: Any, address: str, width: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    )
    browser.get(address)


def fits(browser: Any, parts: str) -> list[str]:
    """The parts of the page that reach out of the screen; the page itself, where it is wider."""
    outside = """const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth ? ["the page"] : [];
        return wide.concat([...document.querySelectorAll(arguments[0])]
        .filter((each) => each.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
        .map((each) => each.outerHTML))"""
    return list(browser.execute_script(outside, parts))
