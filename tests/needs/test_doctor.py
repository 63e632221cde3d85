"""The command, on real models and on those that are not here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from detente import cli
from detente.needs import machine
from tests.fake_vllm import FakeVLLM, listening

SMALL = ["episodes=4", "group_size=4", "game.rounds=3", "device=cpu"]
PEAK = """
import sys
from detente.cli import main
def held(field):
    return int(dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)[field].split()[0]) * 1024
import torch
bare = held("VmRSS")
assert main(["train", *sys.argv[1:]]) == 0
print(held("VmHWM") - bare, bare)
"""


def told(words: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["doctor", *words]) == status
    return capsys.readouterr().out


def test_a_model_that_is_here_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(["ipd", *SMALL], 0, capsys)
    assert "measured here on 4 episodes" in text
    assert text.splitlines()[-1].startswith("It fits: ")
    assert "nats over 24 tokens" in text


def test_a_model_that_is_not_here_is_planned_for(capsys: pytest.CaptureFixture[str]) -> None:
    seen = json.loads(told(["ipd_paper", "--device-memory", "80", "--json"], 0, capsys))
    assert seen["fits"]
    assert seen["free"] is None  # the disk of another machine
    assert seen["memory"]["peak"] < 80 * 2**30
    assert {check["passed"] for check in seen["checks"]} == {None, True}
    assert "estimate" in seen["timed"]


def test_a_game_that_varies_is_reckoned_with_at_its_longest(capsys: pytest.CaptureFixture[str]) -> None:
    def needed(*words: str) -> dict[str, Any]:
        memory = json.loads(told(["ipd", *words, "--estimate", "--json"], 0, capsys))["memory"]
        return memory["play"] | memory["update"]

    varied = needed("game.rounds=5", "vary.rounds.stages=[4,40,10]")
    assert varied == needed("game.rounds=40")
    assert varied["key-value cache"] > 2 * needed("game.rounds=5")["key-value cache"]


def test_a_plan_for_servers_says_what_each_needs(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(["trust_and_split_7b_8gpu", "--device-memory", "80", "--gpus", "8"], 0, capsys)
    assert "7 servers, each of " in text
    assert "8 of 8 are used: 1 process of the update, 7 servers" in text
    for dtype in ("bfloat16", "float16"):
        assert "1 server, each of " in told(["ipd_7b", f"engine.dtype={dtype}", "--device-memory", "80"], 0, capsys)
    assert "3 of 2 are used" in told(["ipd_paper", "processes=3", "--device-memory", "80", "--gpus", "2"], 1, capsys)


def test_what_does_not_fit_is_told_what_would(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(["trust_and_split_paper", "--device-memory", "24"], 1, capsys)
    fault, remedy = text.splitlines()[-2:]
    assert fault.startswith("It does not fit: it needs ")
    assert remedy.startswith("It would fit with: ")
    options = remedy.removeprefix("It would fit with: ").rpartition(" (")[0].split()
    assert "It fits" in told(["trust_and_split_paper", *options, "--device-memory", "24"], 0, capsys)
    assert "No option makes it fit" in told(["trust_and_split_paper", "--device-memory", "4"], 1, capsys)


def test_a_disk_that_is_short_is_told_what_makes_the_folder_smaller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ipd", "iterations=1000", "--estimate"]
    monkeypatch.setattr(machine, "free_disk", lambda folder: 10e6)
    fault, remedy = told(words, 1, capsys).splitlines()[-2:]
    assert "it needs " in fault
    assert "and 10.0 MB are free" in fault
    options = remedy.removeprefix("The disk would have room with: ").partition(" (")[0].split()
    assert [option.partition("=")[0] for option in options] == ["record.episodes_every", "opponents.max_kept"]
    assert "It fits" in told([*words, *options], 0, capsys)
    monkeypatch.setattr(machine, "free_disk", lambda folder: 1e6)
    assert "No option makes the run folder small enough" in told(words, 1, capsys)


def test_servers_are_looked_at_and_tried(lively_model: str, capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakeVLLM(lively_model)
    with listening(fake) as url:
        words = ["ipd", *SMALL, f"model={lively_model}", "engine=vllm", f"engine.urls=[{url}]", "--json"]
        checks = by_name(told(words, 0, capsys))
        said = f"vLLM 0.32.0, '{lively_model}', chats of up to 2,048 tokens, 8 adapters at once"
        assert checks[f"server {url}"] == (True, said)
        assert checks["engine and learner agree"][0]
        assert checks["vLLM servers"][1].endswith("proven")
        fake.begin()
        fake.faults = {"raw"}
        checks = by_name(told(words, 1, capsys))
        assert checks["proof of the servers"][0] is False
        assert "start it with --logprobs-mode processed_logprobs" in checks["proof of the servers"][1]
        assert checks["engine and learner agree"] == (None, "not looked at: the servers do not pass their proof")
    checks = by_name(told([*words, "engine.timeout=5"], 1, capsys))
    assert checks[f"server {url}"][0] is False
    assert "cannot be asked: nothing listens there; start it with detente serve-engine" in checks[f"server {url}"][1]


def test_a_cluster_that_does_not_answer_is_one_of_the_checks(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    text = told(["ipd", *SMALL, "executor=ray", "executor.address=127.0.0.1:1"], 1, capsys)
    assert "No Ray cluster answers at executor.address=127.0.0.1:1" in " ".join(text.split())
    assert "this is wrong: Ray cluster" in text


def by_name(text: str) -> dict[str, tuple[bool | None, str]]:
    """The checks of a diagnosis: whether passed, and what was seen."""
    return {check["what"]: (check["passed"], check["seen"]) for check in json.loads(text)["checks"]}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ipd", "--device-memory", "-1"], "--device-memory is the memory of one GPU in GiB"),
        (["ipd", "--gpus", "0"], "--gpus is a number of GPUs from 1 on, not 0."),
        (["ipd", "--shape", "layers=2"], "--shape has no hidden"),
        (["ipd", "model=Some/Model"], "is not on this machine and its sizes are not known"),
        (["ipd", "seats=[random,random]"], "No seat learns"),
    ],
)
def test_faults_are_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", *words]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Looking")]
    assert len(said) == 1
    assert sentence in said[0]


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    told(["ipd", *SMALL], 0, capsys)
    assert list(tmp_path.iterdir()) == []


def test_memory_is_as_measured(tmp_path: Path) -> None:
    """A run of pocket takes what was said, within a quarter of what it takes above a bare Python with torch."""
    options = ["iterations=2", "evaluation.episodes=0", "evaluation.every=0", "device=cpu"]
    train = [sys.executable, "-c", PEAK, "ipd", *options, "--run", str(tmp_path / "run")]
    above, bare = map(int, _printed(train).split()[-2:])
    doctor = [sys.executable, "-m", "detente.cli", "doctor", "ipd", *options, "--estimate", "--json"]
    said = json.loads(_printed(doctor))["memory"]["peak"]
    assert abs(said - bare - above) < 0.25 * above


def _printed(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
