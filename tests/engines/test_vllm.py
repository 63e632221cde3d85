"""The engine of vLLM servers, against servers of the tests that do what servers do, on good days and on bad ones."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from detente import config, models
from detente.engines.base import Request, Sampling
from detente.errors import UserError
from detente.learning import loop
from detente.learning.session import check_served
from detente.records import PolicyRef, Seating
from tests.fake_vllm import FakeVLLM, listening

BASE = PolicyRef("base", "the base model")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def both(lively_model: str) -> Iterator[list[tuple[FakeVLLM, str]]]:
    servers = [FakeVLLM(lively_model) for _ in range(2)]
    with listening(servers[0]) as first, listening(servers[1]) as second:
        yield list(zip(servers, (first, second), strict=True))


@pytest.fixture
def fakes(both: list[tuple[FakeVLLM, str]]) -> list[FakeVLLM]:
    for fake, _ in both:
        fake.begin()
    return [fake for fake, _ in both]


@pytest.fixture
def urls(both: list[tuple[FakeVLLM, str]]) -> list[str]:
    return [url for _, url in both]


@pytest.fixture
def on_servers(open_run: Callable[..., Any], fakes: list[FakeVLLM], urls: list[str]) -> Iterator[Callable[..., Any]]:
    """``on_servers(1, key=value)`` opens a run whose answers come from so many servers, its adapter shaken."""
    opened = []

    def start(count: int = 1, engine: dict[str, Any] | None = None, **options: Any) -> Any:
        opened.append(open_run(engine={"kind": "vllm", "urls": urls[:count], "retries": 0, **(engine or {})}, **options))
        return opened[-1].shake(size=0.2)

    yield start
    for run in opened:
        run.session.close()


def check(run: Any, folder: Path, episodes: Any) -> dict[str, float]:
    return check_served(run.session, folder, episodes, 0)


def sentence(run: Any, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        run(**options)
    said = str(caught.value)
    assert said.endswith(".")
    assert "\n" not in said
    return said


# ---- answers


@pytest.mark.parametrize("decoding", ["constrained", "free"])
def test_answers_are_those_of_the_policies_that_they_name(
    decoding: str, on_servers: Callable[..., Any], fakes: list[FakeVLLM], tmp_path: Path
) -> None:
    run = on_servers(2, answer={"decoding": decoding, "max_tokens": 4, "temperature": 0.8})
    learner = run.learners["main"]
    run.session.publish()
    older = learner.policy
    learner.version = 5
    run.shake(seed=2, size=0.2).session.publish()
    seatings = [[Seating((learner.policy, older), ("main", None))] * 2, [Seating((learner.policy, BASE), ("main", None))] * 2]
    run.session.policies.homes[BASE] = run.host
    from detente import adapters

    version = adapters.version_folder(tmp_path, "main", 0)
    version.parent.mkdir()
    version.symlink_to(run.engine.folders[older])
    episodes = run.play(tables=seatings, publish=False)
    found = check(run, tmp_path, episodes)
    assert found["audit/gap"] < 1e-5
    assert found["audit/other_gap"] > 1e-3
    assert all(fake.asked for fake in fakes)
    assert {name for fake in fakes for name in fake.loaded} == {folder.name for folder in run.engine.folders.values()}


def test_probabilities_of_choices_are_those_of_the_engine_in_process(
    on_servers: Callable[..., Any], open_run: Callable[..., Any]
) -> None:
    there, here = on_servers(), open_run().shake(size=0.2)
    here.session.publish()
    there.session.publish()
    policy = here.learners["main"].policy
    many = tuple(f"<{n}>" for n in range(30))  # more first tokens than a server tells
    for choices, pattern, free in (
        (("<A>", "<B>"), "<A>|<B>", False),
        (many, "|".join(many), False),
        (("<A>", "<B>"), None, True),
    ):
        for who in (policy, BASE):
            request = Request("c", range(40, 60), who, 3, Sampling(0.7, 8), pattern, choices, free)
            ours, theirs = (asyncio.run(run.engine.generate(request)).probabilities for run in (here, there))
            assert theirs == pytest.approx(ours, abs=1e-5 if not free else 2e-3)


def test_a_run_trains_and_goes_on_with_another_engine(
    fakes: list[FakeVLLM], urls: list[str], tmp_path: Path, lively_model: str
) -> None:
    options = ["game.rounds=2", "episodes=4", "group_size=4", "lora.rank=2", "evaluation.episodes=0", f"model={lively_model}"]
    more = ["device=cpu", "opponents.kept=0.5", "opponents.keep_every=1"]
    shared = tmp_path / "shared"
    servers = ["engine=vllm", f"engine.urls=[{','.join(urls)}]", f"engine.folder={shared}"]
    first = config.load("ipd", [*options, *more, *servers, "iterations=2"])
    run = loop.train(first, tmp_path / "run")
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["mismatch/max_abs"] < 1e-4
    assert not any(fake.adapters for fake in fakes)  # all are withdrawn at the end
    assert list(shared.iterdir()) == []
    loop.train(config.load("ipd", [*options, *more, "iterations=3"]), tmp_path / "run")
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("preset", ["ipd_7b", "ipd_7b_8gpu"])  # test_presets.py has those of other games, in process
def test_a_preset_with_servers_trains_with_them(
    preset: str, fakes: list[FakeVLLM], urls: list[str], tmp_path: Path, lively_model: str
) -> None:
    small = "device=cpu dtype=float32 iterations=1 episodes=2 group_size=2 game.rounds=1 lora.rank=2 answer.max_tokens=6"
    fakes[0].longest = fakes[1].longest = 4096
    options = [*small.split(), "evaluation.episodes=0", f"model={lively_model}", f"engine.urls=[{','.join(urls)}]"]
    run = loop.train(config.load(preset, options), tmp_path / "run")
    (line,) = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert line["mismatch/max_abs"] < 1e-4
    assert fakes[0].asked


def test_a_file_cannot_send_chats_to_another_machine(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: ipd\nengine: {kind: vllm, urls: ['http://elsewhere.example:8000']}\n")
    with pytest.raises(UserError, match=r"has the server http://elsewhere.example:8000 answer, .* add --trust"):
        config.load(str(file))
    assert config.load(str(file), trust=True).engine.urls == ("http://elsewhere.example:8000",)
    assert config.load(str(file), ["engine.urls=[http://elsewhere.example:8000]"]).engine.kind == "vllm"


def test_servers_play_beside_an_update(lively_model: str, fakes: list[FakeVLLM], urls: list[str], tmp_path: Path) -> None:
    options = "overlap=1 iterations=3 episodes=4 group_size=4 game.rounds=2 lora.rank=2 evaluation.episodes=0 device=cpu"
    asked = [f"model={lively_model}", "engine=vllm", f"engine.urls=[{urls[0]}]", *options.split()]
    loop.train(config.load("ipd", asked), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert all(line["audit/gap"] < 1e-4 for line in lines)
    assert lines[0]["mismatch/max_abs"] < 1e-4 < lines[2]["mismatch/max_abs"]  # the third was played before the second update


def test_a_chat_that_outgrows_the_servers_is_a_sentence(on_servers: Callable[..., Any], fakes: list[FakeVLLM]) -> None:
    fakes[0].longest = 60
    run = on_servers(game={"name": "ipd", "rounds": 1})
    request = Request("c", range(40, 98), BASE, 3, Sampling(1.0, 8))
    said = sentence(lambda: asyncio.run(run.engine.generate(request)))
    assert "more than the 60 of the context of the servers" in said


# ---- faults while chats are played


@pytest.mark.parametrize(("fault", "engine"), [("500", {}), ("drop", {}), ("slow", {"timeout": 4.0})])
def test_chats_of_a_lost_server_move_to_the_other(
    fault: str, engine: dict[str, Any], on_servers: Callable[..., Any], fakes: list[FakeVLLM], tmp_path: Path
) -> None:
    run = on_servers(2, engine)
    fakes[0].faults, fakes[0].failing = {fault}, 1
    episodes = run.play()
    assert len(episodes) == 4
    assert all(len(episode.rounds) == 3 for episode in episodes)
    assert check(run, tmp_path, episodes)["audit/gap"] < 1e-5
    alone = len(fakes[0].asked)
    run.learners["main"].version = 1
    run.play(iteration=1)  # what publishes the next version asks the lost server again
    assert len(fakes[0].asked) > alone


def test_a_server_whose_engine_is_dead_is_left_out_of_publishing(on_servers: Callable[..., Any], fakes: list[FakeVLLM]) -> None:
    run = on_servers(2)
    fakes[0].faults = {"dead engine"}
    before = len(fakes[0].asked)
    assert len(run.play()) == 4
    assert len(fakes[0].asked) == before


def test_an_adapter_that_a_server_cannot_take_is_a_sentence(on_servers: Callable[..., Any], fakes: list[FakeVLLM]) -> None:
    run = on_servers()
    fakes[0].faults = {"rank"}
    said = sentence(run.session.publish)
    assert "cannot serve the adapter main@0-" in said
    assert "a --max-lora-rank of lora.rank at least" in said
    assert run.engine.policies == ()


def test_without_a_server_that_answers_play_stops(on_servers: Callable[..., Any], fakes: list[FakeVLLM]) -> None:
    run = on_servers(2)
    for fake in fakes:
        fake.faults, fake.failing = {"500"}, 99
    assert sentence(run.play).startswith("No server of engine.urls answers any more (http://127.0.0.1:")


def test_the_only_server_is_asked_again(on_servers: Callable[..., Any], fakes: list[FakeVLLM]) -> None:
    run = on_servers(1, {"retries": 2})
    fakes[0].faults, fakes[0].failing = {"500"}, 1
    assert len(run.play()) == 4


def test_an_unknown_adapter_is_published_again(on_servers: Callable[..., Any], fakes: list[FakeVLLM], tmp_path: Path) -> None:
    run = on_servers()
    run.session.publish()
    fakes[0].adapters.clear()
    episodes = run.play()
    assert len(fakes[0].loaded) == 2
    assert check(run, tmp_path, episodes)["audit/gap"] < 1e-5


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no mask", "which the pattern forbids; its grammar backend has to be guidance."),
        ("base for adapters", "Turns recorded as played by main@0 do not fit it"),
        ("old", "answers without token ids; it has to be vLLM 0.12 or newer."),
    ],
)
def test_a_server_that_changes_for_the_worse_stops_play(
    fault: str, said: str, on_servers: Callable[..., Any], fakes: list[FakeVLLM]
) -> None:
    run = on_servers()
    fakes[0].faults = {fault}
    assert said in sentence(run.play)


def test_weights_that_are_swapped_behind_a_name_stop_play(
    on_servers: Callable[..., Any], fakes: list[FakeVLLM], tmp_path: Path, random_adapter: Callable[..., Any]
) -> None:
    from detente import adapters

    run = on_servers()
    run.session.publish()
    (folder,) = run.engine.folders.values()
    weights, lora = random_adapter(run.base.model, 7, scale=0.3)
    adapters.save(folder, weights, lora, run.base)
    assert "do not fit it" in sentence(lambda: check(run, tmp_path, run.play()))


# ---- faults before play


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raw", "tells raw log-probabilities, not those that it draws from: start it with --logprobs-mode processed_logprobs"),
        ("xgrammar", """by another backend, whose masks are not those of training: start it with --structured-outputs-config"""),
        ("no lora", "serves no adapters: start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 in its environment and --enable-lora"),
        ("old", "(vLLM 0.32.0) answers without token ids; it has to be vLLM 0.12 or newer"),
    ],
)
def test_a_server_is_refused_before_anything_runs(
    fault: str, said: str, on_servers: Callable[..., Any], fakes: list[FakeVLLM]
) -> None:
    fakes[0].faults = {fault}
    assert said in sentence(on_servers)


def test_a_server_with_other_weights_of_that_name_is_refused(
    on_servers: Callable[..., Any], fakes: list[FakeVLLM], tiny_model: str, lively_model: str
) -> None:
    other = FakeVLLM(tiny_model, name=lively_model)
    with listening(other) as url:
        assert "other log-probabilities than" in sentence(lambda: on_servers(0, {"urls": [url]}))


def test_a_server_of_another_model_is_named(on_servers: Callable[..., Any], qwen_model: str) -> None:
    with listening(FakeVLLM(qwen_model, "qwen")) as url:
        said = sentence(lambda: on_servers(0, {"urls": [url]}))
    assert "No server of engine.urls has the base model" in said
    assert f"there is 'qwen' at {url}" in said


def test_two_base_models_have_a_server_each(
    on_servers: Callable[..., Any], open_run: Callable[..., Any], fakes: list[FakeVLLM], urls: list[str], qwen_model: str
) -> None:
    with listening(FakeVLLM(qwen_model)) as url:
        pair = {"seats": ["left", "right"], "learners": {"left": {}, "right": {"model": qwen_model}}}
        run = open_run(engine={"kind": "vllm", "urls": [urls[0], url]}, **pair)
        assert len(run.play()) == 4
        run.session.close()


def test_nothing_listens(on_servers: Callable[..., Any]) -> None:
    said = sentence(lambda: on_servers(0, {"urls": [NOWHERE]}))
    assert said.startswith(f"The server {NOWHERE} of engine.urls cannot be asked: nothing listens there; start it with")


def test_servers_are_asked_before_a_model_is_loaded(on_servers: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "load", lambda *_, **__: pytest.fail("loaded"))
    assert "nothing listens there" in sentence(lambda: on_servers(0, {"urls": [NOWHERE]}))


def test_what_talks_to_servers_may_be_missing(on_servers: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("detente.engines.vllm.opening", raising=False)
    monkeypatch.setitem(sys.modules, "detente.engines.vllm.opening", None)
    assert "pip install 'detente[vllm]'" in sentence(on_servers)


def test_a_game_that_is_too_long_for_the_servers(on_servers: Callable[..., Any], fakes: list[FakeVLLM]) -> None:
    fakes[0].longest = 40
    assert "more than the 40 of the context of the servers" in sentence(on_servers)


def test_a_folder_that_cannot_be_written(on_servers: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert sentence(on_servers(1, {"folder": str(file)}).session.publish).startswith(f"engine.folder={file} cannot be written: ")


def test_too_few_slots(on_servers: Callable[..., Any], fakes: list[FakeVLLM]) -> None:
    fakes[0].slots = 4
    kept = {"kept": 0.5, "keep_every": 5, "max_loaded": 3}
    said = sentence(lambda: on_servers(opponents=kept, iterations=10))
    assert "start them with --max-loras 5 at least (detente serve-engine MODEL --adapters 4)" in said
    run = on_servers(opponents=kept, iterations=9)
    for version in range(3):
        run.learners["main"].version = version
        run.session.publish()
    run.learners["main"].version = 3
    assert "4 adapters and the base model" in sentence(run.session.publish)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["engine=vllm"], "engine: vllm needs the addresses of its servers, e.g. engine.urls=[http://127.0.0.1:8000]"),
        (["engine=vlm"], "The option engine.kind is wrong: input should be 'transformers' or 'vllm', not 'vlm'."),
        (["engine=vllm", "engine.urls=[localhost:8000]"], "engine.urls: 'localhost:8000' is no address of a server"),
        (["engine=vllm", "engine.urls=[http://a, http://a/v1]"], "engine.urls: http://a is named twice."),
        (["engine=vllm", "engine.urls=http://a"], "The option engine.urls is wrong: it is a list, e.g. [a,b], not 'http://a'."),
        (["engine.url=[http://a]"], "There is no option 'engine.url'; did you mean 'engine.urls'?"),
    ],
)
def test_options_that_are_wrong(options: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        config.load("ipd", options)
    assert str(caught.value).startswith(said)
