"""Who may ask, what may be read and written, and what words of models become."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from detente import web
from detente.records import read_episodes, write_episodes
from tests.reports.make_run import HOSTILE, make_run

EPISODES = "ipd/reinforce/episodes/000001.jsonl"
PAGES = (
    "/",
    "/rows",
    "/run?run=ipd/reinforce",
    "/stamp?run=ipd/reinforce",
    "/part?run=ipd/reinforce&name=outcome",
    "/transcripts?in=ipd/reinforce",
    f"/episode?file={EPISODES}&n=0",
    "/arena?in=meeting",
    "/play",
    "/nothing",
    "/static/common.js",
    "/shared/style.css",
)
OWN = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "", "localhost:80:80"])
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code == 400
    assert "ipd" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "localhost:8642", "127.0.0.1:1", "[::1]:8642"])
def test_this_machine_is_served(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_the_given_host_is_served(tmp_path: Path) -> None:
    for host, asked in {"192.168.1.5": "192.168.1.5:8642", "fd00::5": "[fd00::5]:8642"}.items():
        with TestClient(web.build(tmp_path, host), base_url="http://localhost") as client:
            assert client.get("/", headers={"Host": asked}).status_code == 200
            assert client.get("/", headers={"Host": "192.168.1.6"}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1234"},
        {"Origin": "https://localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
    ],
)
def test_a_post_from_elsewhere_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    for address in ("/play", "/answer/x"):
        assert client.post(address, json={"game": "ipd", "opponent": "tit_for_tat"}, headers=headers).status_code == 403
    assert client.request("PUT", "/play", headers=headers).status_code == 403


def test_a_post_of_our_own_page_is_taken(client: TestClient) -> None:
    for headers in (OWN, {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}):
        answer = client.post("/play", json={"game": "nothing"}, headers={**headers, "Accept": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("There is no game or preset 'nothing'")


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"\xff\xfe", b'{"number": "1", "line": 2}', b'{"game": "ipd", "seat": "x"}'])
def test_a_body_that_means_nothing_is_a_sentence(client: TestClient, body: bytes) -> None:
    answer = client.post("/play", content=body, headers={**OWN, "Accept": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"].endswith((".", "?"))
    assert client.post("/play", content=b"x" * 100_000, headers=OWN).status_code == 413


@pytest.mark.parametrize("page", PAGES)
def test_every_answer_has_the_policy(client: TestClient, page: str) -> None:
    headers = client.get(page).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_an_error_has_the_policy_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError("<b>secret</b>")

    monkeypatch.setattr("detente.web.reading.overview", fail)
    with TestClient(web.build(folder), base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.get("/")
    assert answer.status_code == 500
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "ZeroDivisionError &lt;b&gt;secret" in answer.text
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text


class Tags(HTMLParser):
    """What a browser would make of a page: its elements, and code that would run from inside the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.running: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.names.append(tag)
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.running.append("script")
        self.running += [name for name in given if name.startswith("on")]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs whose folder, preset, model, answers, messages and agents all try to break out of the page."""
    root = tmp_path_factory.mktemp("hostile")
    name = "<img src=x onerror=alert(1)>'\"&"
    bad = make_run(
        root / name,
        iterations=10,
        reply=HOSTILE,
        overrides={"preset": HOSTILE.replace("/", "|"), "model": HOSTILE, "description": HOSTILE},
    )
    arena = root / "arena"
    (arena / "episodes").mkdir(parents=True)
    write_episodes(arena / "episodes" / "0-0.jsonl", read_episodes(bad / "episodes" / "000001.jsonl"))
    value = {"mean": 1.0, "low": None, "high": None}
    cell = {"row": 0, "column": 0, "reward": value, "opponent_reward": value, "measures": {HOSTILE: 1.0}, "tables": [[0, 0]]}
    rank = {"agent": 0, "rank": 1, "reward": value, "self_play": 1.0, "worst": 1.0, "worst_against": 0}
    found = {
        **{
            "game": HOSTILE,
            "preset": HOSTILE,
            "seed": HOSTILE,
            "episodes": HOSTILE,
            "unit": HOSTILE,
            "cells": [cell],
            "ranking": [rank],
        },
        "agents": [{"name": HOSTILE, "label": HOSTILE, "kind": "script", "version": 0}],
    }
    (arena / "arena.json").write_text(json.dumps(found))
    return root


def test_hostile_words_are_text_on_every_page(hostile: Path) -> None:
    with TestClient(web.build(hostile), base_url="http://localhost", raise_server_exceptions=False) as client:
        name = next(each.name for each in hostile.iterdir() if each.name != "arena")
        asked = [
            ("/", {}),
            ("/run", {"run": name}),
            ("/transcripts", {"in": name, "text": HOSTILE}),
            ("/transcripts", {"in": HOSTILE}),
            ("/episode", {"file": f"{name}/episodes/000001.jsonl", "n": "0", "in": name, "text": HOSTILE}),
            ("/arena", {"in": "arena", "measure": HOSTILE}),
            ("/transcripts", {"in": "arena", "cell": "0-0"}),
            ("/play", {"opponent": HOSTILE, "game": HOSTILE}),
            (f"/{HOSTILE}", {}),
        ]
        parts = [
            ("/rows", {}),
            ("/stamp", {"run": name}),
            *(("/part", {"run": name, "name": each}) for each in ("outcome", "options")),
        ]
        pages = [client.get(address, params=params).text for address, params in asked]
        pages += [client.get(address, params=params).json()["html"] for address, params in parts]
    for page in pages:
        tags = Tags(page)
        assert tags.running == []
        assert "img" not in tags.names
    written = (
        "&lt;/script&gt;&lt;script&gt;",
        "\\u003c/script\\u003e",
        "&lt;|script&gt;&lt;script&gt;",
    )  # the last one is a preset
    assert sum(any(words in page for words in written) for page in pages) >= 8


def test_a_hostile_answer_is_found_and_quoted(hostile: Path) -> None:
    with TestClient(web.build(hostile), base_url="http://localhost") as client:
        name = next(each.name for each in hostile.iterdir() if each.name != "arena")
        page = client.get("/transcripts", params={"in": name, "text": HOSTILE}).text
    assert len(re.findall(r"<mark>&lt;/script&gt;&lt;script&gt;document.title", page)) > 0


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder of runs beside a secret, with links that lead to it."""
    secret = make_run(tmp_path / "secret", iterations=5)
    root = tmp_path / "runs"
    inner = make_run(root / "inner", iterations=5)
    (root / "link").symlink_to(secret)
    (root / "inner" / "episodes" / "000099.jsonl").symlink_to(secret / "episodes" / "000001.jsonl")
    linked = make_run(root / "linked", iterations=5)
    (linked / "metrics.jsonl").unlink()
    (linked / "metrics.jsonl").symlink_to(secret / "metrics.jsonl")
    assert inner.exists()
    return root


@pytest.mark.parametrize(
    "name",
    ["../secret", "link", "/etc", "inner/../../secret", "..", "....//secret", "\0", "x" * 5000, "inner/../../secret/."],
)
def test_nothing_outside_is_shown(trap: Path, name: str) -> None:
    absolute = str(trap.parent / "secret")
    with TestClient(web.build(trap), base_url="http://localhost") as client:
        for each in (name, absolute):
            assert client.get("/run", params={"run": each}).status_code == 404
            assert client.get("/part", params={"run": each, "name": "options"}).status_code == 404
            assert client.get("/transcripts", params={"in": each}).status_code == 404
            assert client.get("/arena", params={"in": each}).status_code == 404
            assert client.get("/episode", params={"file": f"{each}/episodes/000001.jsonl", "n": "0"}).status_code == 404


def test_links_that_lead_out_are_not_followed(trap: Path) -> None:
    with TestClient(web.build(trap), base_url="http://localhost") as client:
        assert re.findall(r'name="run" value="([^"]*)"', client.get("/").text) == ["inner", "linked"]
        assert client.get("/run", params={"run": "linked"}).status_code == 404
        assert client.get("/episode", params={"file": "inner/episodes/000099.jsonl", "n": "0"}).status_code == 404
        assert "000099" not in client.get("/transcripts", params={"in": "inner"}).text


@pytest.mark.parametrize("name", ["..%2f..%2fapp.py", "%2e%2e/app.py", "../app.py", "..%5capp.py", "/etc/passwd"])
def test_static_files_are_static_files(client: TestClient, name: str) -> None:
    for folder in ("static", "shared"):
        assert client.get(f"/{folder}/{name}").status_code in (404, 405)


@pytest.mark.parametrize(
    "name",
    ["inner/config.yaml", "inner/metrics.jsonl", "inner/summary.json", "inner", "inner/episodes", "inner/episodes/000001.jsonl/x"],
)
def test_only_episodes_are_episodes(trap: Path, name: str) -> None:
    with TestClient(web.build(trap), base_url="http://localhost") as client:
        answer = client.get("/episode", params={"file": name, "n": "0"})
        assert answer.status_code in (404, 422)
        assert "algorithm" not in answer.text


def test_reading_writes_nothing(trap: Path) -> None:
    def state() -> dict[str, int]:
        return {str(path): path.lstat().st_mtime_ns for path in trap.parent.rglob("*")}

    before = state()
    with TestClient(web.build(trap), base_url="http://localhost") as client:
        for address in ("/", "/run?run=inner", "/part?run=inner&name=training", "/transcripts?in=inner&text=A", "/play"):
            assert client.get(address).status_code == 200
    assert state() == before
