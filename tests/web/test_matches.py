"""Playing through the pages' own requests: whole games, wrong answers, games side by side, opponents that do not come."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from detente import games, web
from detente.errors import UserError
from detente.players.scripted import Scripted
from detente.policies import Policies
from detente.records import PolicyRef, read_episodes
from detente.web.match import GIVEN_UP, LEFT, gaps, in_words
from detente.web.names import offered_games, offers, opponent_name
from detente.web.runs import overview
from tests.reports.make_run import make_run

OWN = {"Origin": "http://localhost", "Accept": "application/json"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def client(root: Path) -> Iterator[TestClient]:
    root.mkdir()
    with TestClient(web.build(root), base_url="http://localhost") as client:
        yield client


def begin(client: TestClient, game: str, opponent: str, seat: int = 0) -> str:
    answer = client.post("/play", json={"game": game, "opponent": opponent, "seat": seat}, headers=OWN)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["address"]).removeprefix("/play/")


def until(client: TestClient, id: str, ready: Callable[[dict[str, Any]], bool], seconds: float = 180) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state: dict[str, Any] = client.get(f"/state/{id}").json()
        if ready(state):
            return state
        time.sleep(0.01)
    raise AssertionError(state)


def asked(state: dict[str, Any]) -> bool:
    return state["question"] is not None or state["stage"] in ("over", "failed")


def answer(client: TestClient, id: str, question: dict[str, Any], line: str) -> str:
    return str(client.post(f"/answer/{id}", json={"number": question["number"], "line": line}, headers=OWN).json()["problem"])


def play(client: TestClient, id: str, line: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    """Answer until the game is over."""
    while True:
        state = until(client, id, asked)
        if state["question"] is None:
            return until(client, id, lambda now: bool(now["saved"] or now["problem"]))
        assert answer(client, id, state["question"], line(state)) == ""


def test_a_whole_game_of_ipd_is_saved_like_any_episode(client: TestClient, root: Path) -> None:
    moves = iter("ABBABAAABB")
    id = begin(client, "ipd", "tit_for_tat", seat=1)
    state = play(client, id, lambda _: f"<{next(moves)}>")
    (one,) = read_episodes(root / state["saved"])
    assert one.policies == (PolicyRef("script", "tit_for_tat"), PolicyRef("human", "human"))
    assert [turn.action for turn in one.turns(1)] == list("CDDCDCCCDD")
    assert [turn.action for turn in one.turns(0)] == list("CCDDCDCCCD")  # what the other did last
    assert state["points"] == one.rewards(1)
    assert [each for (each,) in state["others"]] == one.rewards(0)
    assert state["stage"] == "over"
    assert state["problem"] == ""
    page = client.get("/episode", params={"file": state["saved"], "n": 0, "in": "played"})
    assert "tit_for_tat – human" in page.text.replace("<wbr>", "")
    assert "1 saved game" in client.get("/").text
    assert client.get("/transcripts", params={"in": "played"}).text.count("<li>") == 1


def test_a_whole_game_with_messages_and_numbers(client: TestClient, root: Path) -> None:
    id = begin(client, "trust_and_split", "reciprocator")
    state = play(
        client,
        id,
        lambda now: "My hand is <b>good</b>".replace("<", "(").replace(">", ")") if now["question"]["phase"] == "message" else "4",
    )
    (one,) = read_episodes(root / state["saved"])
    assert {turn.action for turn in one.turns(0) if turn.phase == "message"} == {"My hand is (b)good(/b)"}
    assert [turn.action for turn in one.turns(0) if turn.phase == "decision"] == [{"coins": 4}] * 10
    assert (1, "said", "4 coins") in [tuple(each) for each in state["said"]]
    assert all(turn.valid for turn in one.turns())


@pytest.mark.parametrize("game", ["deal_or_no_deal", "split_no_comm", "trust_and_split_items", "matching_pennies", "chicken"])
def test_every_game_can_be_played(client: TestClient, root: Path, game: str) -> None:
    def line(state: dict[str, Any]) -> str:
        question = state["question"]
        if question["choices"]:
            return str(question["choices"][-1])
        return "I want it all." if question["phase"] == "message" else " ".join(str(gap["high"]) for gap in question["gaps"])

    state = play(client, begin(client, game, "random", seat=1), line)
    (one,) = read_episodes(root / state["saved"])
    assert all(turn.valid for turn in one.turns(1))
    assert one.game["name"] == game


def test_an_answer_that_is_none_is_explained_and_asked_again(client: TestClient, root: Path) -> None:
    id = begin(client, "ipd", "always_cooperate")
    state = until(client, id, asked)
    assert answer(client, id, state["question"], "<C>") == "'<C>' is not an answer here; type one of: <A>, <B>."
    assert answer(client, id, state["question"], "") != ""
    assert until(client, id, asked)["question"]["number"] == state["question"]["number"]
    done = play(client, id, lambda _: "<B>")
    (one,) = read_episodes(root / done["saved"])
    assert [turn.completion.attempts for turn in one.turns(0)] == [3] + [1] * 9


def test_a_message_with_angle_brackets_is_explained(client: TestClient) -> None:
    id = begin(client, "trust_and_split", "silent")
    until(client, id, asked)
    told = answer(client, id, client.get(f"/state/{id}").json()["question"], "<script>")
    assert told.endswith("Type a message of at most 500 characters, without < and >.")


def test_a_question_is_answered_once(client: TestClient) -> None:
    id = begin(client, "ipd", "always_cooperate")
    question = until(client, id, asked)["question"]
    assert answer(client, id, question, "<A>") == ""
    assert answer(client, id, question, "<B>") == "This question has been answered already."
    assert until(client, id, lambda state: len(state["points"]) == 1)["points"] == [3]


def test_games_side_by_side_know_nothing_of_each_other(client: TestClient, root: Path) -> None:
    ids = [begin(client, "ipd", name) for name in ("always_defect", "always_cooperate", "tit_for_tat")]
    for _ in range(10):
        for id in ids:
            assert answer(client, id, until(client, id, asked)["question"], "<A>") == ""
    points = [sum(until(client, id, lambda state: bool(state["saved"]))["points"]) for id in ids]
    assert points == [0, 30, 30]
    assert len(list((root / "played").glob("*.jsonl"))) == 3


def test_a_game_whose_page_was_closed_is_given_up(root: Path) -> None:
    root.mkdir()
    with TestClient(web.build(root, patience_s=0.3), base_url="http://localhost") as client:
        closed = begin(client, "ipd", "tit_for_tat")
        seen = client.app.state.matches._matches[closed].match  # type: ignore[attr-defined]
        waiting = begin(client, "ipd", "tit_for_tat")
        end = time.monotonic() + 30
        while seen.stage != "failed" and time.monotonic() < end:  # without asking for it, as a closed page
            assert client.get(f"/state/{waiting}").json()["stage"] in ("opening", "playing")
            time.sleep(0.02)
        state = client.get(f"/state/{closed}").json()
    assert state["problem"] == GIVEN_UP
    assert state["question"] is None
    assert not (root / "played").exists()


def test_a_person_may_leave_when_asked(root: Path) -> None:
    root.mkdir()
    with TestClient(web.build(root), base_url="http://localhost") as client:
        id = begin(client, "ipd", "tit_for_tat")
        until(client, id, asked)
        assert client.post(f"/leave/{id}", json={}, headers=OWN).json() == {}
        state = until(client, id, lambda state: state["stage"] == "failed")
        assert client.post(f"/leave/{id}", json={}, headers=OWN).json() == {}
    assert (state["problem"], state["question"]) == (LEFT, None)
    assert not (root / "played").exists()


def test_no_game_is_given_up_while_the_opponent_thinks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    think = Scripted.act

    async def slowly(self: Scripted, observation: Any) -> Any:
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return await think(self, observation)

    monkeypatch.setattr(Scripted, "act", slowly)
    root.mkdir()
    with TestClient(web.build(root, patience_s=0.1), base_url="http://localhost") as client:
        match = client.app.state.matches._matches[begin(client, "ipd", "tit_for_tat")].match  # type: ignore[attr-defined]
        time.sleep(1.0)
        assert (match.stage, match.thinking, match.problem) == ("playing", 1, "")
        assert "thinking" in client.post(f"/leave/{match.id}", json={}, headers=OWN).json()["error"]
        go_on.set()
        end = time.monotonic() + 30
        while match.stage != "failed" and time.monotonic() < end:
            time.sleep(0.02)
    assert match.problem == GIVEN_UP


@pytest.mark.parametrize(
    ("game", "opponent", "said"),
    [
        ("ipd", "greedy", "The strategy 'greedy' cannot play ipd; those that can: always_cooperate,"),
        ("ipd", "tit_for_tatt", "There is no strategy 'tit_for_tatt'; did you mean 'tit_for_tat'?"),
        ("trust_and_split", "untrained", "has no adapter yet"),
        ("trust_and_split", "damaged", "cannot be read as a PEFT adapter folder"),
        ("ipd", "model:no/such-model", "The model 'no/such-model' cannot be loaded"),
    ],
)
def test_an_opponent_that_does_not_come_is_a_sentence(client: TestClient, root: Path, game: str, opponent: str, said: str) -> None:
    make_run(root / "untrained", iterations=5)
    (root / "damaged").mkdir()
    (root / "damaged" / "adapter_config.json").write_text("{")
    id = begin(client, game, opponent)
    state = until(client, id, lambda now: now["stage"] == "failed", 120)
    assert said in state["problem"]
    assert state["problem"].endswith((".", "?"))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"game": "ipdd", "opponent": "random"}, "There is no game or preset 'ipdd'; did you mean 'ipd'?"),
        ({"game": "os:system", "opponent": "random"}, "There is no game or preset 'os:system'"),
        ({"game": "../x.yaml", "opponent": "random"}, "There is no game or preset"),
        ({"game": "matrix", "opponent": "random"}, "needs a payoff table"),
        ({"game": "ipd", "opponent": " "}, "Choose somebody to play against."),
        ({"game": "ipd", "opponent": "human"}, "You are the person here"),
        ({"game": "ipd", "opponent": "random", "seat": 2}, "has the seats 1 to 2, not 3"),
        ({"game": "ipd", "opponent": "../secret"}, "There is no run or adapter folder '../secret'"),
        ({"game": "ipd", "opponent": "/etc@3"}, "There is no run or adapter folder '/etc'"),
        ({"game": "ipd", "opponent": "model:/etc"}, "There is no model '/etc'"),
        ({"game": "ipd", "opponent": "model:../secret"}, "There is no model '../secret'"),
    ],
)
def test_what_cannot_be_played_is_refused_at_once(client: TestClient, asked: dict[str, Any], said: str) -> None:
    answer = client.post("/play", json=asked, headers=OWN)
    assert answer.status_code == 422
    assert said in answer.json()["error"]


def test_names_lead_nowhere_outside(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    make_run(root / "inner", iterations=5)
    secret = make_run(tmp_path / "secret", iterations=5)
    (root / "inner" / "adapters").mkdir()
    given = Path("runs")
    assert opponent_name(root, "inner@3", given) == "runs/inner@3"
    assert opponent_name(root, " runs/inner ", given) == "runs/inner"
    assert opponent_name(root, "tit_for_tat", given) == "tit_for_tat"
    assert opponent_name(root, "model:inner", given) == f"model:{root}/inner"
    for name in ("../secret", str(secret), f"model:{secret}", "model:../secret", "inner/../../secret"):
        with pytest.raises(UserError):
            opponent_name(root, name, given)
    (root / "inner" / "adapters" / "main").symlink_to(secret)
    with pytest.raises(UserError, match="links that lead out"):
        opponent_name(root, "inner", given)


def test_a_link_that_leads_out_is_not_written_through(client: TestClient, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (root / "played").symlink_to(tmp_path / "outside")
    state = play(client, begin(client, "ipd", "tit_for_tat"), lambda _: "<A>")
    assert state["problem"] == "The game was not saved: played leads out of this folder of runs."
    assert state["stage"] == "over"
    assert sum(state["points"]) == 30
    assert list((tmp_path / "outside").iterdir()) == []


def test_pages_answer_while_an_opponent_is_being_loaded(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    loading, go_on = threading.Event(), threading.Event()
    resolve = Policies.resolve

    def slowly(self: Policies, name: str) -> PolicyRef:
        loading.set()
        assert go_on.wait(60)
        return resolve(self, name)

    monkeypatch.setattr(Policies, "resolve", slowly)
    id = begin(client, "ipd", "tit_for_tat")
    assert loading.wait(60)
    assert client.get("/").status_code == 200
    assert client.get(f"/state/{id}").json()["stage"] == "opening"
    go_on.set()
    assert sum(play(client, id, lambda _: "<A>")["points"]) == 30


def test_a_model_plays(client: TestClient, root: Path) -> None:
    state = play(client, begin(client, "trust_and_split", "model:pocket"), lambda now: "5" if now["question"]["gaps"] else "Rock.")
    (one,) = read_episodes(root / state["saved"])
    assert one.policies[1] == PolicyRef("base", "model:pocket")
    assert all(turn.completion.tokens for turn in one.turns(1) if turn.phase == "message")


def test_the_choices_are_the_scripts_of_each_game_and_the_versions_of_each_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", iterations=5)
    for version in (10, 20):
        (run / "adapters" / "main" / f"{version:06d}").mkdir(parents=True)
    make_run(tmp_path / "untrained", iterations=5)
    for learner in ("main", "rival"):
        (make_run(tmp_path / "b", iterations=5) / "adapters" / learner / "000010").mkdir(parents=True)
    found = offers(offered_games({}), overview(tmp_path))
    offered = [(agent["name"], agent["versions"]) for agent in found["runs"]]
    assert offered == [("a", ["10", "20"]), ("b/adapters/main", ["10"]), ("b/adapters/rival", ["10"])]
    assert opponent_name(tmp_path, "b/adapters/rival@10") == f"{tmp_path}/b/adapters/rival@10"
    assert "tit_for_tat" in found["games"]["ipd"]["scripts"]
    assert "greedy" in found["games"]["trust_and_split"]["scripts"]
    assert {"stag_hunt", "matching_pennies"} <= found["games"].keys()
    assert "matrix" not in found["games"]
    shutil.rmtree(run)


def test_numbers_are_asked_for_in_the_words_of_the_game() -> None:

    game = games.make("split_no_comm")
    state = game.reset(random.Random(0))
    seen = game.observe(state, 0)
    assert [(gap["name"], gap["low"], gap["high"]) for gap in gaps(seen)] == [
        (item, 0, units)
        for item, units in zip(game.items, state.deal.stock, strict=True)  # type: ignore[attr-defined]
    ]
    assert in_words("1 2 0", seen) == ", ".join(f"{n} {item}" for n, item in zip((1, 2, 0), game.items, strict=True))  # type: ignore[attr-defined]
    ipd = games.make("ipd")
    assert gaps(ipd.observe(ipd.reset(random.Random(0)), 0)) == []


def test_points_of_others_are_told_where_the_rules_tell_them() -> None:
    def told(name: str, **options: Any) -> bool:
        game = games.make(name, **options)
        return games.family_of(game).tells_points(game)

    assert told("ipd")
    assert told("trust_and_split", reveal=["values", "asks"])
    assert told("trust_and_split", reveal=["points"])
    assert not told("trust_and_split", reveal=["asks"])
    assert not told("trust_and_split", reveal=[])


@pytest.mark.parametrize("sent", ["[" * 30_000, json.dumps({"game": "ipd", "opponent": "x" * 5000}), "no json", "[1]"])
def test_what_cannot_be_meant_is_told_in_a_sentence(client: TestClient, sent: str) -> None:
    answer = client.post("/play", content=sent, headers=OWN)
    assert answer.status_code == 422
    assert answer.json()["error"].endswith(".")
