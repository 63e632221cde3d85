"""The routes: what each page shows, read from folders that other code wrote."""

from __future__ import annotations

import fcntl
import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from detente import arena, web
from detente.config import load_game
from detente.records import read_episodes
from tests.reports.make_run import make_run


def text(client: TestClient, address: str, **params: Any) -> str:
    answer = client.get(address, params=params)
    assert answer.status_code == 200, answer.text
    return html.unescape(re.sub(r"<[^>]+>", " ", answer.text))


def words(page: str) -> str:
    return " ".join(page.split())


def row(page: str, name: str) -> str:
    """The cells of the table row about a run."""
    found = [each for each in re.findall(r"<tr>.*?</tr>", page, flags=re.DOTALL) if f'value="{name}"' in each]
    return words(html.unescape(re.sub(r"<[^>]+>", " ", found[0])))


def test_the_overview_says_how_far_every_run_is(client: TestClient) -> None:
    page = client.get("/").text
    assert re.fullmatch(
        r"ipd/reinforce ipd_pocket, reinforce, seed 0 finished 20 of 20 \d\.\d\d ipd_pocket reinforce 0", row(page, "ipd/reinforce")
    )
    assert re.fullmatch(
        r"ipd/stopped ipd_pocket, advantage alignment, seed 0 stopped 12 of 20 \d\.\d\d ipd_pocket advantage alignment 0",
        row(page, "ipd/stopped"),
    )
    assert " finished 8 of 8 " in row(page, "split")
    assert 'href="/arena?in=meeting"' in page


def test_a_run_is_running_while_its_lock_is_held(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", done=3, summary=False)
    with TestClient(web.build(tmp_path), base_url="http://localhost") as client, (run / ".lock").open("w") as lock:
        assert " stopped " in row(client.get("/").text, "a")
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert " running 3 of 40 " in row(client.get("/").text, "a")
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert " stopped " in row(client.get("/rows").json()["html"], "a")


def test_the_last_reward_is_that_of_the_last_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", done=3, summary=False)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 4, "reward/main": 2.25}\n{"iteration": 5, "reward/ma')
    with TestClient(web.build(tmp_path), base_url="http://localhost") as client:
        assert "4 of 40 2.25" in row(client.get("/").text, "a")


def test_a_folder_that_cannot_be_read_leaves_the_others(tmp_path: Path) -> None:
    make_run(tmp_path / "good", done=2, summary=False)
    for name, content in {"list": "- 1\n- 2\n", "broken": "a: [", "empty": ""}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(content)
    with TestClient(web.build(tmp_path), base_url="http://localhost", raise_server_exceptions=False) as client:
        page = words(text(client, "/"))
        assert "2 of 40" in page
        for name in ("list", "broken", "empty"):
            assert f"{name}/config.yaml cannot be read as a run's options: " in page
            answer = client.get("/run", params={"run": name})
            assert answer.status_code == 422
            assert "Traceback" not in answer.text


def test_runs_are_found_at_any_depth_and_not_inside_of_runs(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a" / "b" / "c", done=1, summary=False)
    shutil.copytree(run, run / "inner")
    with TestClient(web.build(tmp_path), base_url="http://localhost") as client:
        assert re.findall(r'name="run" value="([^"]*)"', client.get("/").text) == ["a/b/c"]
    with TestClient(web.build(run), base_url="http://localhost") as client:
        assert "1 of 40" in words(text(client, "/run", run="."))


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with TestClient(web.build(tmp_path / "not_there"), base_url="http://localhost") as client:
        assert "There is no run here yet" in text(client, "/")
        assert "None yet" in text(client, "/")
        assert client.get("/play").status_code == 200


def test_the_parts_of_a_run_are_those_of_its_report(client: TestClient) -> None:
    page = client.get("/run", params={"run": "ipd/reinforce"})
    parts = re.findall(r'data-part="(\w+)"', page.text)
    assert parts == ["outcome", "training", "behaviour", "against", "opponents", "diagnostics", "options"]
    found = {name: client.get("/part", params={"run": "ipd/reinforce", "name": name}).json()["html"] for name in parts}
    assert "mutual defection" in found["outcome"]
    assert "Points per round in self-play" in found["training"]
    assert found["training"].count("<svg") == 4
    assert "var(--series-0)" in found["training"]
    assert found["diagnostics"].count("<svg") > 5
    assert "evaluation.every" in found["options"]


def test_several_runs_are_compared(client: TestClient) -> None:
    both = [("run", "ipd/reinforce"), ("run", "ipd/stopped")]
    assert "2 runs side by side" in client.get("/run", params=both).text  # type: ignore[arg-type]
    found = client.get("/part", params=[*both, ("name", "outcome")]).json()["html"]
    assert found.count('class="card ') == 2
    assert "so far, iteration 12" in found


def test_a_new_iteration_changes_the_stamp_and_the_drawing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", done=3, summary=False)
    with TestClient(web.build(tmp_path), base_url="http://localhost") as client:
        ask = {"run": "a", "name": "training"}
        before, drawn = client.get("/stamp", params=ask).json(), client.get("/part", params=ask).json()
        assert client.get("/stamp", params=ask).json() == before
        last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
        with (run / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(last | {"iteration": 4, "self_play/reward/main": 1.0}) + "\n")
        after = client.get("/stamp", params=ask).json()
        assert after["stamp"] != before["stamp"]
        assert "4 of 40 iterations" in after["html"]
        assert client.get("/part", params=ask).json() != drawn


def test_an_arena_shows_every_cell_and_the_ranking(client: TestClient, folder: Path) -> None:
    page = client.get("/arena", params={"in": "meeting"})
    cells = dict(re.findall(r'cell=(\d-\d)" aria-label="[^"]*">([\d.]+)<small>', page.text))
    # tit-for-tat, defector and cooperator over ten rounds: (3, 1/10 of 0 and 9/10 of 1), (5 and 9 times 1, 1, 5), (3, 0, 3)
    assert cells == {
        **{"0-0": "3.00", "0-1": "0.90", "0-2": "3.00"},
        **{"1-0": "1.40", "1-1": "1.00", "1-2": "5.00"},
        **{"2-0": "3.00", "2-1": "0.00", "2-2": "3.00"},
    }
    ranking = page.text[page.text.index('id="ranking"') :]
    assert re.findall(r'<td>(\d)</td><th class="text" scope="row">([^<]*)', ranking.replace("<wbr>", "")) == [
        ("1", "always_defect"),
        ("2", "tit_for_tat"),
        ("3", "always_cooperate"),
    ]
    cooperating = client.get("/arena", params={"in": "meeting", "measure": "cooperation_rate"}).text
    assert dict(re.findall(r'cell=(\d-\d)" aria-label="[^"]*">([\d.]+)', cooperating))["0-1"] == "0.10"


def test_a_cell_opens_the_games_of_its_tables(client: TestClient, folder: Path) -> None:
    page = client.get("/transcripts", params={"in": "meeting", "cell": "0-1"})
    files = set(re.findall(r"file=meeting%2Fepisodes%2F([\d-]+)\.jsonl", page.text))
    assert files == {"0-1", "1-0"}
    assert page.text.count("<li>") == 8
    assert "tit_for_tat against always_defect" in words(text(client, "/transcripts", **{"in": "meeting", "cell": "0-1"}))
    assert client.get("/transcripts", params={"in": "meeting", "cell": "7-7"}).status_code == 404


def test_an_arena_has_a_row_and_games_for_each_role(tmp_path: Path) -> None:
    arena(load_game("example_games:Trust"), ["kind", "taker"], tmp_path / "roles", episodes=2)
    with TestClient(web.build(tmp_path), base_url="http://localhost") as client:
        page = client.get("/arena", params={"in": "roles"}).text
        assert re.findall(r'<th class="text" scope="row">([^<]*)</th>\n', page) == [
            "kind as investor",
            "kind as trustee",
            "taker as trustee",
        ]
        ranks = re.findall(r'<tr><td>(\d)</td><th class="text" scope="row">([^<]*)</th>', page)
        assert ranks == [("1", "kind as investor"), ("1", "taker as trustee"), ("2", "kind as trustee")]
        addresses = re.findall(r'cell=(\d[^"]*)" aria-label="([^"]*)"', page)
        assert addresses == [
            ("0-0-1", "kind as investor against kind"),
            ("0-1-1", "kind as investor against taker"),
            ("0-0-2", "kind as trustee against kind"),
            ("1-0-2", "taker as trustee against kind"),
        ]
        games = client.get("/transcripts", params={"in": "roles", "cell": "1-0-2"}).text
        assert "taker as trustee against kind" in games
        assert games.count("/episode?") == 2


def test_an_arena_that_still_plays_says_so(client: TestClient, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "meeting", tmp_path / "half")
    (tmp_path / "half" / "arena.json").unlink()
    with TestClient(web.build(tmp_path), base_url="http://localhost", raise_server_exceptions=False) as client:
        assert "not finished: 9 seatings were played" in words(text(client, "/arena", **{"in": "half"}))
        assert "not finished" in words(text(client, "/"))
        (tmp_path / "half" / "arena.json").write_text('{"agents": 3}')
        broken = client.get("/arena", params={"in": "half"})
        assert broken.status_code == 422
        assert "half/arena.json cannot be read as the result of an arena" in html.unescape(broken.text)


def test_an_episode_has_an_address_and_the_words_of_its_record(client: TestClient, folder: Path) -> None:
    file = folder / "ipd" / "reinforce" / "episodes" / "000006.jsonl"
    for number, one in enumerate(read_episodes(file)):
        page = client.get("/episode", params={"file": "ipd/reinforce/episodes/000006.jsonl", "n": number}).text
        data = json.loads(re.search(r'id="data">(.*?)</script>', page, flags=re.DOTALL)[1])  # type: ignore[index]
        said = [[turn["answer"] for line in played["rows"] for turn in line] for played in data["episodes"][0]["rounds"]]
        assert said == [[turn.completion.text for turn in played.turns] for played in one.rounds]
    assert client.get("/episode", params={"file": "ipd/reinforce/episodes/000006.jsonl", "n": 8}).status_code == 404


@pytest.mark.parametrize(
    "address", ["/nothing", "/run?run=nobody", "/run", "/transcripts?in=nobody", "/arena?in=ipd", "/play/none"]
)
def test_what_is_missing_is_told_in_a_sentence(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert "Not found" in answer.text
    assert re.search(r"<p>[A-Z'][^<]*\.</p>", html.unescape(answer.text))
    assert "Traceback" not in answer.text
    told = client.get(address, headers={"Accept": "application/json"})
    assert told.status_code == 404
    assert told.json()["error"].endswith(".")
