"""Everything that a person can get wrong, through the command line in a process of its own: one sentence, no traceback, and nothing
left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detente import config

TINY = ("device=cpu", "game.rounds=2", "iterations=2", "episodes=4", "group_size=4", "lora.rank=2")


def assert_refused(process: Any, sentence: Any, status: int = 2) -> None:
    assert process.wait() == status, process.err
    assert sentence in process.err
    said = [line for line in process.err.splitlines() if not line.startswith("Loading the base model ")]
    assert len(said) == 1, process.err
    assert process.err.rstrip()[-1] in ".?"
    assert "Traceback" not in process.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        # names
        (["ipdd"], "There is no preset 'ipdd'; did you mean 'ipd'?"),
        (["ipd", "iteratons=5"], "There is no option 'iteratons'; did you mean 'iterations'?"),
        (["ipd", "credit.betta=5"], "There is no option 'credit.betta'; did you mean 'credit.beta'?"),
        (["ipd", "learners.main.optimizer.lrr=1"], "did you mean 'learners.main.optimizer.lr'?"),
        (["ipd", "algorithm=advantage_alignement"], "did you mean 'advantage_alignment'?"),
        (["ipd", "algorithm=[reinforce]"], "The option algorithm is wrong: input should be a valid string, not ['reinforce']."),
        (["ipd", "learners.main.algorithm=reinforced"], "did you mean 'reinforce'?"),
        (["ipd", "game.name=stag_hunr"], "There is no game 'stag_hunr'; did you mean 'stag_hunt'?"),
        (["ipd", "game.round=5"], "There is no option 'game.round'; did you mean 'game.rounds'?"),
        (["ipd", "seats=[main,tit_for_tatt]"], "There is no strategy 'tit_for_tatt'; did you mean 'tit_for_tat'?"),
        (["ipd", "evaluation.against=[allways_defect]"], "did you mean 'always_defect'?"),
        (["ipd", "opponents.scripted=0.5", "opponents.scripts=[grim]"], "The strategy 'grim' cannot play ipd; those that can:"),
        (["ipd", "game.name=stag_hunt", "evaluation.against=[extort]"], "The strategy 'extort' cannot play stag_hunt"),
        (["ipd", "seats=[main,runs/none]"], "There is no run or adapter folder 'runs/none'."),
        (["ipd", "opponents.scripted=0.5", "opponents.scripts=[human]"], "'human' is no scripted strategy"),
        (["ipd", "lora.targets=[nonsense]"], "lora.targets=[nonsense] does not fit the model"),
        # seats
        (["ipd", "seats=[main]"], "The game ipd has 2 seats; 1 player was named: main."),
        (["ipd", "seats=[random,random]"], "No seat learns"),
        (["ipd", "seats=[main,scored]", "learners.scored.update_every=2"], "A learner cannot be named 'scored'"),
        (["ipd", "seats=[main,a/b]", "learners.a/b.update_every=2"], "A learner's name is made of letters, digits and underscores"),
        (["ipd", "learners.nobody.update_every=2"], "learner 'nobody' sits on no seat"),
        # types and ranges
        (["ipd", "game.payoffs=[[[3,3],[0,five]],[[5,0],[1,1]]]"], "The payoff table must be 2 rows of 2 pairs of numbers"),
        (["ipd", "game.payoffs=[[[3,3],[0,5]]]"], "The payoff table must be 2 rows of 2 pairs of numbers"),
        (["ipd", "game.counterbalance=maybe"], "counterbalance is true or false, not 'maybe'"),
        (["ipd", "game.continuation=1"], "The continuation probability lies in [0, 1), not 1."),
        (["ipd", "iterations=0"], "The option iterations is wrong: input should be greater than or equal to 1, not 0."),
        (["ipd", "iterations=many"], "not 'many'."),
        (["ipd", "seed=-1"], "The option seed is wrong"),
        (["ipd", f"seed={2**64}"], "The option seed is wrong"),
        (["ipd", "optimizer.lr=0"], "The option optimizer.lr is wrong"),
        (["ipd", "optimizer.lr=.inf"], "The option optimizer.lr is wrong"),
        (["ipd", "credit.beta=.nan"], "The option credit.beta is wrong"),
        (["ipd", "credit.gamma=1.1"], "The option credit.gamma is wrong"),
        (["ipd", "credit.shaping=casual"], "'returns' or 'causal', not 'casual'."),
        (["ipd", "seats=main"], "The option seats is wrong: it is a list, e.g. [a,b], not 'main'."),
        (["ipd", "credit=3"], "The option credit is wrong: it has options of its own, not 3."),
        (["ipd", "learners=3"], "The option learners is wrong: it has options of its own, not 3."),
        (
            ["ipd", "group_size=7"],
            "episodes (64) must be a multiple of group_size (7); try episodes=63 or 70, or group_size=4 or 8.",
        ),
        (["ipd", "group_size=1"], "A leave-one-out baseline needs 2 episodes"),
        (["ipd", "opponents.kept=0.8", "opponents.scripted=0.8", "opponents.scripts=[random]"], "add up to more than 1."),
        (["ipd", "iterations"], "'iterations' is not of the form key=value"),
        (["ipd", "device=cuda:99"], "There is no device 'cuda:99' here"),
    ],
)
def test_a_run_that_cannot_start_says_why_and_leaves_nothing(
    words: list[str], sentence: str, command: Callable[..., Any], tiny_model: str, tmp_path: Path
) -> None:
    process = command("train", *words, f"model={tiny_model}", "--run", "runs/x/y")
    assert_refused(process, sentence)
    assert list(tmp_path.iterdir()) == []


def test_a_preset_file_with_a_misspelt_algorithm(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("game: ipd\nalgorithms: {reinforcee: {seed: 3}}\n")
    assert_refused(
        command("train", "mine.yaml"),
        "There is no algorithm 'reinforcee'; there are: advantage_alignment, reinforce, sum_of_rewards; did you mean",
    )


def test_negative_payoffs_are_payoffs(command: Callable[..., Any]) -> None:
    process = command("train", "ipd", "game.payoffs=[[[-1,-1],[-3,0]],[[0,-3],[-2,-2]]]", "--dry-run")
    assert process.wait() == 0
    assert process.err == ""


MODELS = {
    "a missing one": (lambda folder: shutil.rmtree(folder), "cannot be loaded"),
    "one that does not chat": (lambda folder: (folder / "chat_template.jinja").unlink(), "has no chat template"),
    "a folder without a model": (lambda folder: (folder / "config.json").unlink(), "holds no model: it has no config.json."),
    "one whose weights are damaged": (lambda folder: os.truncate(folder / "model.safetensors", 1000), "cannot be loaded"),
    "one without tokenizer": (lambda folder: [p.unlink() for p in folder.glob("tokenizer*")], "cannot be loaded"),
}


@pytest.mark.parametrize("model", MODELS)
def test_a_model_that_cannot_be_used(model: Any, command: Callable[..., Any], tiny_model: str, tmp_path: Path) -> None:
    spoil, sentence = MODELS[model]
    shutil.copytree(tiny_model, tmp_path / "my_model")
    spoil(tmp_path / "my_model")
    before = sorted(tmp_path.rglob("*"))
    words = ("ipd", *TINY, "model=./my_model", "--run", "x")
    assert_refused(command("train", *words, before="from detente import models; models._on_hub = lambda name: False"), sentence)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_adapter_of_another_base_model_on_a_seat(
    command: Callable[..., Any], small_run: Path, tiny_model: str, tmp_path: Path
) -> None:
    """The folder says which model it was trained on; there is none of that name."""
    shutil.copytree(small_run / "adapters" / "main" / "000002", tmp_path / "frozen")
    card = tmp_path / "frozen" / "detente.json"
    card.write_text(
        json.dumps(json.loads(card.read_text()) | {"base_model": "somebody/else", "base_fingerprint": "0" * 16, "base_folder": ""})
    )
    before = "from detente import models; models._on_hub = lambda name: False"
    process = command("train", "ipd", *TINY, f"model={tiny_model}", "seats=[main,./frozen]", "--run", "x", before=before)
    assert_refused(process, "The model 'somebody/else' cannot be loaded")
    assert [p.name for p in tmp_path.iterdir()] == ["frozen"]


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Any:
    """A finished run that a test may spoil."""
    return Path(shutil.copytree(small_run, tmp_path / "run"))


def contents(folder: Path) -> Any:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_folder_in_use(command: Callable[..., Any], processes: Any, run: Any, tmp_path: Path) -> None:
    lock = "import fcntl; lock = open('run/.lock', 'w'); fcntl.flock(lock, fcntl.LOCK_EX)"
    other = processes(f"{lock}; print('mine', flush=True); import time; time.sleep(60)", tmp_path)
    while "mine" not in other.out:
        time.sleep(0.01)
    before = contents(run)
    assert_refused(command("train", "run"), "The run folder run is in use by another process; ")
    assert contents(run) == before
    other.kill()
    assert other.wait() == -9
    assert command("train", "run").wait() == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "run", "credit.beta=3"], "The run run was started with credit.beta=2.0 and not 3.0; "),
        (["train", "run", "--seed", "4"], "The run run was started with seed=0 and not 4; "),
        (["train", "run", "iterations=1"], "The run run has 2 iterations already; iterations=1 is less than that."),
        (["train", "run", "--run", "notes"], "The folder notes is not empty and is no run (it has no config.yaml); "),
        (["train", "run", "--run", "notes/text"], "notes/text cannot be used: not a directory."),
        (["play", "ipd", "--seats", "run@9,tit_for_tat"], "The run run kept no version 9 of 'main'; it has 1, 2."),
        (["play", "ipd", "--seats", "notes,tit_for_tat"], "The folder notes is neither a run (config.yaml) nor an adapter"),
        (["play", "ipd", "--seats", "runn/x,tit_for_tat"], "There is no run or adapter folder 'runn/x'."),
    ],
)
def test_runs_that_are_asked_for_something_else(
    words: list[str], sentence: str, command: Callable[..., Any], run: Any, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "text").write_text("Mine.")
    before = contents(tmp_path)
    assert_refused(command(*words), sentence)
    assert contents(tmp_path) == before


DAMAGE = {
    "checkpoint cut short": ("checkpoint/000002/main.safetensors", lambda path: os.truncate(path, 900), "is damaged"),
    "checkpoint state": ("checkpoint/000002/state.json", lambda path: path.write_text('{"iteration": '), "is damaged"),
    "adapter": (
        "adapters/main/000002/adapter_model.safetensors",
        lambda path: os.truncate(path, 900),
        "cannot be read as",
    ),
    "options": ("config.yaml", lambda path: path.write_text("game: ["), "is not valid YAML"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run(damage: Any, command: Callable[..., Any], run: Any, tmp_path: Path) -> None:
    name, spoil, sentence = DAMAGE[damage]
    spoil(run / name)
    before = contents(run)
    words = ("play", "ipd", "--seats", "run,tit_for_tat") if damage == "adapter" else ("train", "run", "iterations=3")
    assert_refused(command(*words), sentence)
    assert contents(run) == before


def test_a_run_folder_that_may_not_be_written(command: Callable[..., Any], run: Any, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    run.chmod(0o500)
    assert_refused(command("train", "run"), "run/.lock cannot be used: permission denied.")


def test_the_real_command_is_quiet_and_stops_at_ctrl_c(tiny_model: str, tmp_path: Path) -> None:
    """The installed console script, with nothing loaded before and a signal from outside."""
    options = [*TINY, f"model={tiny_model}", "iterations=1000", "record.checkpoint_every=1000", "evaluation.episodes=0"]
    process = subprocess.Popen(
        [Path(sys.executable).with_name("detente"), "train", "ipd", *options, "--run", "x"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # whatever started the tests may ignore it
    )
    metrics = tmp_path / "x" / "metrics.jsonl"
    end = time.monotonic() + 180
    while not metrics.exists() or not metrics.read_text():
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 130
    assert err == "Stopped; run the same command again to go on.\n"
    assert "stopping after this iteration is saved" in out
    done = len(metrics.read_text().splitlines())
    assert [p.name for p in (tmp_path / "x" / "checkpoint").iterdir()] == [f"{done:06d}"]
    assert config.read(tmp_path / "x" / "config.yaml").iterations == 1000
