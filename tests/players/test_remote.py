"""A remote model on a seat: its chat, wrong answers, thoughts and limits, against two servers on this machine."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from detente import api, cli, config
from detente.errors import UserError
from detente.games import make
from detente.games.base import Observation
from detente.options import AnswerOptions, RemoteOptions
from detente.players.endpoint import Reply
from detente.players.remote import Remotes, complaint
from detente.players.scripted import scripted
from detente.policies import Policies
from detente.records import Completion, PolicyRef, read_episodes
from detente.rollout import Match, play_matches

AB = Observation("<A> or <B>?", None, "<A>|<B>", ("<A>", "<B>"))
NUMBER = Observation("How many?", None, r"Take \d+ hats", form="Take {} hats", help="Type a number.")
WRONG = "Your answer is not valid here."


def player(endpoint: Any, **answer: Any) -> Any:
    remotes = Remotes(AnswerOptions(**answer), RemoteOptions(timeout=5, retries=0))
    return remotes.player(remotes.resolve(endpoint.name))


def test_answers_are_held_to_their_form(endpoint: Any) -> None:
    """In the field that is asked for; ``auto`` asks where the server says that it is vLLM."""
    sent = {}
    for form, owner in (
        ("none", "vllm"),
        ("auto", "me"),
        ("auto", "vllm"),
        ("structured_outputs", "me"),
        ("response_format", "me"),
    ):
        endpoint.begin(endpoint.says('{"answer": "<B>"}' if form == "response_format" else "<B>"))
        endpoint.models = {"data": [{"id": "m", "owned_by": owner}]}
        assert asyncio.run(player(endpoint, remote_format=form).act(AB)).text == "<B>"
        (body,) = endpoint.asked
        sent[form, owner] = {key: body[key] for key in ("structured_outputs", "response_format") if key in body}
    regex = {"structured_outputs": {"regex": "<A>|<B>"}}
    assert sent["none", "vllm"] == sent["auto", "me"] == {}
    assert sent["auto", "vllm"] == sent["structured_outputs", "me"] == regex
    schema = sent["response_format", "me"]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["answer"]["pattern"] == "^(?:<A>|<B>)$"


def test_free_answers_and_ones_own_fields_are_left_alone(endpoint: Any) -> None:
    endpoint.begin(endpoint.says("<A>"))
    asyncio.run(player(endpoint, remote_format="structured_outputs", decoding="free").act(AB))
    own = {"structured_outputs": {"choice": ["<A>"]}}
    asyncio.run(player(endpoint, remote_format="structured_outputs", request=own).act(AB))
    assert "structured_outputs" not in endpoint.asked[0]
    assert endpoint.asked[1]["structured_outputs"] == own["structured_outputs"]


@pytest.mark.parametrize("said", ["<B>", '{"answer": 3}', "[1]", "{"])
def test_a_reply_of_another_form_than_was_asked_for_stays_as_it_is(said: str, endpoint: Any) -> None:
    endpoint.begin(endpoint.says(said))
    assert asyncio.run(player(endpoint, remote_format="response_format", retries=1).act(AB)).text == said


def chats(endpoint: Any) -> Any:
    """What the endpoint was sent, one line per request, one word per message."""
    return [[message["content"] for message in body["messages"]] for body in endpoint.asked]


def test_the_chat_grows_by_question_and_answer(endpoint: Any) -> None:
    endpoint.begin(endpoint.says("<A>"), endpoint.says(" <B>\n"))
    one = player(endpoint, temperature=0.5, max_tokens=9)
    first, second = asyncio.run(one.act(AB)), asyncio.run(one.act(Observation("And now?", None, "<A>|<B>")))
    assert (first.text, second.text, second.attempts) == ("<A>", "<B>", 1)
    assert second.policy == PolicyRef("remote", endpoint.name)
    assert (second.tokens, second.logprobs, second.probabilities) == ((), (), ())
    assert chats(endpoint) == [["<A> or <B>?"], ["<A> or <B>?", "<A>", "And now?"]]
    assert [message["role"] for message in endpoint.asked[1]["messages"]] == ["user", "assistant", "user"]
    assert all((body["temperature"], body["max_tokens"]) == (0.5, 9) for body in endpoint.asked)


def test_a_chat_goes_on_from_recorded_answers(endpoint: Any) -> None:
    guest = player(endpoint)
    endpoint.begin(endpoint.says("<A>"))
    guest.recall(AB, Completion("<B>", guest.policy))
    asyncio.run(guest.act(Observation("And now?", None, "<A>|<B>")))
    assert chats(endpoint) == [["<A> or <B>?", "<B>", "And now?"]]
    assert [message["role"] for message in endpoint.asked[0]["messages"]] == ["user", "assistant", "user"]


def test_a_wrong_answer_is_explained_and_then_forgotten(endpoint: Any) -> None:
    endpoint.begin(endpoint.says("I pick A"), endpoint.says("A!"), endpoint.says("<A>"), endpoint.says("<B>"))
    one = player(endpoint, retries=3)
    first, second = asyncio.run(one.act(AB)), asyncio.run(one.act(AB))
    wrong = f"{WRONG} Answer with one of these, and nothing else: <A>, <B>"
    assert (first.text, first.attempts, second.text, second.attempts) == ("<A>", 3, "<B>", 1)
    assert chats(endpoint)[2] == ["<A> or <B>?", "I pick A", wrong, "A!", wrong]
    assert chats(endpoint)[3] == ["<A> or <B>?", "<A>", "<A> or <B>?"]


@pytest.mark.parametrize(
    ("answer", "tries"), [({"retries": 2}, 2), ({"decoding": "retry", "retries": 4}, 4), ({"decoding": "free"}, 1)]
)
def test_the_last_wrong_answer_goes_to_the_game(endpoint: Any, answer: dict[str, Any], tries: int) -> None:
    endpoint.begin(endpoint.says("no idea"))
    game = make("ipd", rounds=2)
    match = Match(game, 0, [player(endpoint, **answer), scripted("always_cooperate", 0, game)])
    (episode,) = play_matches([match])
    turns = list(episode.turns(0))
    assert [(t.valid, t.completion.text, t.completion.attempts) for t in turns] == [(False, "no idea", tries)] * 2
    assert [t.action for t in turns] == [game.default_action(game.reset(Random(0)), 0)] * 2
    assert len(endpoint.asked) == 2 * tries
    assert len(chats(endpoint)[-tries]) == 3  # of the first round the answer stays, what came before it does not


def test_silence_is_a_wrong_answer(endpoint: Any) -> None:
    endpoint.begin(endpoint.says(None), endpoint.says(""), endpoint.says("<A>"))
    assert asyncio.run(player(endpoint).act(AB)).attempts == 3
    assert chats(endpoint)[2][1::2] == ["(nothing)", "(nothing)"]  # endpoints refuse messages without text


def test_thoughts_stay_out_of_the_record_and_the_chat(endpoint: Any) -> None:
    endpoint.begin(endpoint.says("<think>hm</think><A>"))
    one = player(endpoint)
    assert [asyncio.run(one.act(AB)).text for _ in range(2)] == ["<A>", "<A>"]
    assert chats(endpoint)[1][1] == "<A>"


@pytest.mark.parametrize(
    ("observation", "cut", "said"),
    [
        (AB, False, f"{WRONG} Answer with one of these, and nothing else: <A>, <B>"),
        (NUMBER, False, f"{WRONG} Answer in this form, and nothing else: Take ... hats. Type a number."),
        (
            NUMBER,
            True,
            "Your answer was cut off: it was too long. Answer in this form, and nothing else: Take ... hats. Type a number.",
        ),
        (Observation("?", None, "[0-9]"), False, f"{WRONG} It must match the regular expression [0-9]"),
        (Observation("?", None, "[0-9]", help="One digit."), False, f"{WRONG} One digit."),
    ],
)
def test_a_complaint_says_what_an_answer_looks_like(observation: Any, cut: bool, said: str) -> None:
    assert complaint(Reply("x", cut), observation) == said


def test_options_of_a_request_are_added_and_left_out(endpoint: Any) -> None:
    endpoint.begin(endpoint.says("<A>"))
    asyncio.run(player(endpoint, request={"seed": 3, "max_tokens": None, "max_completion_tokens": 9}).act(AB))
    assert {key: endpoint.asked[0].get(key) for key in ("seed", "max_tokens", "max_completion_tokens", "temperature")} == {
        "seed": 3,
        "max_tokens": None,
        "max_completion_tokens": 9,
        "temperature": 1.0,
    }


def test_policies_know_remote_models(endpoint: Any) -> None:
    table = Policies(make("ipd"), AnswerOptions(retries=5), remote=RemoteOptions(max_requests=7))
    policy = table.resolve(endpoint.name)
    assert policy == PolicyRef("remote", endpoint.name)
    one, other = (table.player(policy, chat=chat, seed=0) for chat in "ab")
    assert (one.tries, one.endpoint is other.endpoint, one.policy) == (5, True, policy)  # type: ignore[attr-defined]
    assert table.remote.budget.options.max_requests == 7
    with pytest.raises(UserError, match="'openai:m@x:1/v1' names no remote model"):
        table.resolve("openai:m@x:1/v1")


# ---- the command line


def test_remote_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "players"]) == 0
    assert "openai:MODEL@URL" in capsys.readouterr().out


def play(endpoint: Any, *arguments: Any) -> Any:
    """``detente play`` of three episodes of ten rounds each, one after the other."""
    line = ["play", "ipd", "remote.concurrency=1", "remote.retries=0", "--seats", f"{endpoint.name},always_cooperate"]
    return cli.main([*line, "--episodes", "3", *map(str, arguments)])


def test_play_keeps_what_was_finished_before_a_limit(endpoint: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint.begin(endpoint.says("<A>"))
    saved = tmp_path / "new" / "played.jsonl"
    assert play(endpoint, "remote.max_requests=25", "--save", saved) == 2
    assert capsys.readouterr().err == (
        "Remote models have been sent 25 requests, and remote.max_requests=25 allows no more; "
        "raise it, e.g. remote.max_requests=50, and run the same command again.\n"
    )
    episodes = read_episodes(saved)
    assert [(e.index, len(e.rounds), e.policies[0].kind) for e in episodes] == [(0, 10, "remote"), (1, 10, "remote")]
    assert play(endpoint, "remote.max_requests=50", "--save", saved) == 2  # they cost money, and are not written over
    assert capsys.readouterr().err == f"{saved} holds something already; give --save another file.\n"
    assert read_episodes(saved) == episodes
    assert play(endpoint, "remote.max_requests=50", "--save", tmp_path / "more.jsonl") == 0
    assert [e.index for e in read_episodes(tmp_path / "more.jsonl")] == [0, 1, 2]


def test_play_that_finishes_nothing_writes_nothing(endpoint: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint.begin(endpoint.fails(500))
    assert play(endpoint, "--save", tmp_path / "played.jsonl") == 2
    assert "failed: 500, no" in capsys.readouterr().err
    assert not (tmp_path / "played.jsonl").exists()


def test_play_takes_options(endpoint: Any, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint.begin(endpoint.says("<A>"))
    assert play(endpoint, "game.rounds=2", "answer.temperature=0.25") == 0
    assert len(endpoint.asked) == 6
    assert {body["temperature"] for body in endpoint.asked} == {0.25}


# ---- training


def options(endpoint: Any, tiny_model: str, *more: Any) -> Any:
    line = "device=cpu threads=1 game.rounds=2 iterations=3 episodes=4 group_size=4 lora.rank=2 evaluation.episodes=2"
    return config.load(
        "ipd",
        [
            *line.split(),
            f"model={tiny_model}",
            f"seats=[main,{endpoint.name}]",
            "evaluation.against=[random]",
            "remote.retries=0",
            *more,
        ],
    )


def metric(run: Any, name: Any) -> Any:
    return [json.loads(line)[name] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_training_stops_at_a_limit_and_goes_on_with_a_higher_one(
    endpoint: Any, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    endpoint.begin(endpoint.says("<A>"))
    run = tmp_path / "run"
    with pytest.raises(UserError, match=r"sent 12 requests, and remote\.max_requests=12"):
        api.train(options(endpoint, tiny_model, "remote.max_requests=12"), run)
    assert [folder.name for folder in (run / "checkpoint").iterdir()] == ["000001"]
    assert metric(run, "remote/requests") == [8]
    with pytest.raises(UserError, match=r"sent 20 requests, and remote\.max_requests=20"):  # the first iteration's count
        api.train(options(endpoint, tiny_model, "remote.max_requests=20"), run)
    with pytest.raises(UserError, match=r"sent 24 requests, and remote\.max_requests=24"):  # the final evaluation needs 4 more
        api.train(options(endpoint, tiny_model, "remote.max_requests=24"), run)
    api.train(options(endpoint, tiny_model, "remote.max_requests=28"), run)
    assert set(json.loads((run / "summary.json").read_text())["learners"]["main"]["self_play"]) >= {"reward", "cooperation_rate"}
    assert metric(run, "remote/requests") == [8, 16, 24]
    assert metric(run, "remote/tokens") == [80, 160, 240]
    episodes = read_episodes(run / "episodes" / "000001.jsonl.gz")
    assert [(e.policies[1], e.learners) for e in episodes] == [(PolicyRef("remote", endpoint.name), ("main", None))] * 4
    assert set(endpoint.keys) == {"Bearer sk-mine"}
    files = [path for path in run.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if b"sk-mine" in path.read_bytes()] == []


def test_a_raised_limit_means_the_same_run_folder(endpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("detente.learning.loop.train", lambda options, run, watchers: calls.append(run))
    monkeypatch.chdir(tmp_path)
    for limit in (10, 20):
        assert cli.main(["train", "ipd", f"remote.max_requests={limit}"]) == 0
    assert calls[0] == calls[1]


def test_an_arena_stops_at_a_limit_and_goes_on_with_a_higher_one(
    endpoint: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.begin(endpoint.says("<A>"))
    line = ["arena", "ipd", "remote.concurrency=1", "remote.retries=0", "game.rounds=2", "--agents", f"{endpoint.name},random"]
    line += ["--episodes", "4", "--out", str(tmp_path / "arena")]
    assert cli.main([*line, "remote.max_requests=21"]) == 2  # 16 requests in four episodes with itself, then 2 in each with another
    assert "sent 21 requests" in capsys.readouterr().err
    assert cli.main([*line, "remote.max_requests=12"]) == 0
    assert len(endpoint.asked) == 21 + 12  # of the episode that was cut short one answer is asked for again
    found = json.loads((tmp_path / "arena" / "arena.json").read_text())
    assert [agent["kind"] for agent in found["agents"]] == ["remote", "script"]
    assert found["cells"][0]["reward"]["mean"] == 3


# ---- a real server


def test_plays_a_served_model(served_pocket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    saved = tmp_path / "played.jsonl"
    assert cli.main(["play", "ipd", "--seats", f"{served_pocket},tit_for_tat", "game.rounds=4", "--save", str(saved)]) == 0
    (episode,) = read_episodes(saved)
    assert [turn.completion.policy.kind for turn in episode.turns(0)] == ["remote"] * 4
    assert all(turn.valid for turn in episode.turns(0))
    assert {turn.completion.text for turn in episode.turns(0)} <= {"<A>", "<B>"}


def test_a_served_model_talks(served_pocket: Any) -> None:
    (episode,) = api.play("trust_and_split", [served_pocket, "welfare"], overrides=["game.rounds=3"])
    turns = list(episode.turns(0))
    assert [turn.phase for turn in turns].count("message") == [turn.phase for turn in turns].count("decision") == 3
    assert all(turn.valid for turn in turns)
    assert all("hand is" in turn.action for turn in turns if turn.phase == "message")  # as pocket was taught to say


def test_a_served_model_says_that_it_is_another(served_pocket: Any) -> None:
    other = served_pocket.replace("openai:pocket", "openai:other")
    with pytest.raises(
        UserError, match=r"\(model 'other'\) refuses the request: 400, .*pinned to 'pocket'.*check the model's name"
    ):
        api.play("ipd", [other, "tit_for_tat"])


def test_trains_against_a_served_model(served_pocket: Any, command: Any, tmp_path: Path) -> None:
    line = "train ipd algorithm=advantage_alignment iterations=2 episodes=8 group_size=8 threads=1 evaluation.episodes=0 --run run"
    process = command(*line.split(), f"seats=[main,{served_pocket}]", before="import os; os.environ.pop('OPENAI_API_KEY', None)")
    assert process.wait() == 0, process.err
    run = tmp_path / "run"
    assert metric(run, "remote/requests") == [80, 160]
    assert all(gap < 1e-3 for gap in metric(run, "audit/gap"))
    for episode in read_episodes(run / "episodes" / "000001.jsonl.gz"):
        assert [policy.kind for policy in episode.policies] == ["adapter", "remote"]
        assert all(turn.completion.tokens == () for turn in episode.turns(1))
