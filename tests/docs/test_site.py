"""The documentation site: built with strict links from the pages of docs/, it reads and searches without a server or a network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browsing import fits, open_address

ROOT = Path(__file__).parents[2]


def build(repository: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a repository; the status is not 0 where a link leads nowhere."""
    pytest.importorskip("material", reason="the extra 'docs' is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT, out)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_there_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    made = {path.relative_to(site) for path in site.rglob("*.html")}
    assert pages - {Path("README.html")} <= made
    assert {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.ipynb")} <= made
    assert {Path("index.html"), Path("repository/CHANGELOG.html"), Path("repository/src/detente/learning/credit.py.html")} <= made
    assert 'href="quickstart.ipynb"' in (site / "notebooks" / "quickstart.html").read_text(encoding="utf-8")
    for page in made:
        text = (site / page).read_text(encoding="utf-8")
        assert re.findall(r'\bsrc="(?:https?:)?//|<link [^>]*rel="stylesheet"[^>]*href="(?:https?:)?//', text) == [], page


def small_repository(folder: Path, links: str) -> Path:
    """A repository one of whose pages has these links."""
    (folder / "docs").mkdir()
    for name in ("mkdocs.yml", "docs/hooks.py"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "docs" / "assets", folder / "docs" / "assets")
    (folder / "docs" / "README.md").write_text("# Docs\n\n## Start\n\n- [First](../README.md): this\n- [A page](page.md): that\n")
    (folder / "docs" / "page.md").write_text(f"# A page\n\n## A / B's part\n\nSee {links}.\n")
    (folder / "README.md").write_text("# First\n\nSee [the page](docs/page.md#a--bs-part).\n")
    (folder / "code.py").write_text("print('`quoted`')\n")
    return folder


def test_links_of_code_hosts_lead_somewhere_on_the_site(tmp_path: Path) -> None:
    links = "[code](../code.py), [the first](../README.md), [itself](#a--bs-part)"
    done = build(small_repository(tmp_path, links), tmp_path / "site")
    assert done.returncode == 0, done.stderr
    first, page = ((tmp_path / "site" / f"{name}.html").read_text(encoding="utf-8") for name in ("index", "page"))
    assert 'href="page.html#a--bs-part"' in first
    assert all(f'href="{target}"' in page for target in ("repository/code.py.html", "index.html", "#a--bs-part"))


def test_links_that_lead_nowhere_end_the_build(tmp_path: Path) -> None:
    targets = ("none.md", "../none.py", "../README.md#none", "#nothing")
    done = build(small_repository(tmp_path, ", ".join(f"[link]({target})" for target in targets)), tmp_path / "site")
    assert done.returncode != 0
    for target in ("none.md", "../none.py", "#none", "#nothing"):
        assert f"{target}'" in done.stderr


def test_a_page_that_the_contents_do_not_list_ends_the_build(tmp_path: Path) -> None:
    repository = small_repository(tmp_path, "nothing")
    (repository / "docs" / "forgotten.md").write_text("# Forgotten\n")
    done = build(repository, tmp_path / "site")
    assert done.returncode != 0
    assert "forgotten.md" in done.stderr


@pytest.mark.browser
def test_a_page_that_is_opened_as_a_file_searches_without_a_network(browser: Any, site: Path) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    browser.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    open_address(browser, (site / "index.html").as_uri(), 1280)
    browser.find_element("css selector", "input.md-search__input").send_keys("leave-one-out baseline")
    results = WebDriverWait(browser, 20).until(lambda page: page.find_elements("css selector", "a.md-search-result__link"))
    assert "algorithms.html" in " ".join(str(result.get_attribute("href")) for result in results)
    assert browser.get_log("browser") == []


@pytest.mark.browser
@pytest.mark.parametrize("page", ["index", "options", "evaluation"])
def test_pages_fit_a_telephone(browser: Any, site: Path, page: str) -> None:
    open_address(browser, (site / f"{page}.html").as_uri(), 400)
    assert fits(browser, ".md-typeset img, .md-typeset pre") == []
