"""A browser keeps 53 bits of a number: whatever may have more, a game seed above all, reaches a page as text."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from detente import play, web
from detente.records import write_episodes
from detente.reports import report
from tests.browsing import open_address
from tests.web.serving import Server

SEEDS = (2**63 - 1, 2**53 + 1, 6907179016238383551)
MOST = 2**53 - 1  # Number.MAX_SAFE_INTEGER


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose episodes, iterations and versions have large numbers."""
    root = tmp_path_factory.mktemp("exact") / "runs"
    run = root / "mine"
    (run / "adapters" / "main" / str(MOST + 2)).mkdir(parents=True)
    (run / "config.yaml").write_text(f"game: {{name: ipd}}\nseed: {SEEDS[0]}\niterations: 3\nalgorithm: reinforce\n")
    (run / "metrics.jsonl").write_text('{"iteration": 1, "reward/main": 1.0}\n')
    episodes = [
        replace(episode, seed=seed, learners=("main", None), iteration=MOST + 2, group=MOST + 2, index=MOST + 2)
        for seed in SEEDS
        for episode in play("ipd", ["tit_for_tat", "random"])
    ]
    write_episodes(run / "episodes" / "000001.jsonl.gz", episodes)
    write_episodes(
        root / "large.jsonl", [replace(one, rounds=(replace(one.rounds[0], rewards=(MOST + 2, -MOST - 2)),)) for one in episodes]
    )
    return root


def numbers(found: Any) -> Iterator[int]:
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        for each in found:
            yield from numbers(each)
    elif isinstance(found, int):
        yield found


def embedded(page: str) -> list[Any]:
    return [json.loads(text) for text in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)]


@pytest.fixture(scope="module")
def pages(root: Path) -> dict[str, str]:
    with TestClient(web.build(root), base_url="http://localhost") as client:
        addresses = [
            "/",
            "/rows",
            "/play",
            "/run?run=mine",
            "/stamp?run=mine",
            "/part?run=mine&name=options",
            "/transcripts?in=mine",
        ]
        addresses += [f"/episode?file={file}&n={n}" for file in ("mine/episodes/000001.jsonl.gz", "large.jsonl") for n in range(3)]
        found = {address: client.get(address) for address in addresses}
        table = client.post(
            "/play", json={"game": "ipd", "opponent": "tit_for_tat", "seat": 0}, headers={"origin": "http://localhost"}
        ).json()["address"]
        found["/state"] = client.get(table.replace("play", "state"))
    assert {answer.status_code for answer in found.values()} == {200}
    return {address: answer.text for address, answer in found.items()} | {"the report": report([root / "mine"]).read_text()}


def test_no_number_on_a_page_is_too_large_for_a_browser(pages: dict[str, str]) -> None:
    for address, page in pages.items():
        data = [json.loads(page)] if page.startswith("{") else embedded(page)
        assert all(abs(number) <= MOST for number in numbers(data)), address


@pytest.mark.parametrize("n", range(3))
def test_a_seed_is_shown_exactly(n: int, pages: dict[str, str]) -> None:
    assert embedded(pages[f"/episode?file=mine/episodes/000001.jsonl.gz&n={n}"])[0]["episodes"][0]["seed"] == str(SEEDS[n])
    payload = embedded(pages["the report"])[0]
    assert str(SEEDS[n]) in {episode["seed"] for episode in payload[0]["episodes"]}
    assert f"seed {SEEDS[0]}" in html.unescape(pages["the report"])
    assert str(SEEDS[0]) in pages["/"]


@pytest.mark.browser
def test_a_browser_shows_every_digit(root: Path, browser: Any) -> None:
    with Server(root) as server:
        for n, seed in enumerate(SEEDS):
            open_address(browser, f"{server.address}/episode?file=mine/episodes/000001.jsonl.gz&n={n}", 1200)
            assert f"game seed {seed};" in browser.find_element("css selector", "main").text
