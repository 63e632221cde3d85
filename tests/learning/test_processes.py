"""Trainings in processes of their own: who is told what, and what ends with whom. The processes are short scripts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from detente.config import load
from detente.files import locked
from detente.learning import processes
from detente.learning.processes import CHILD, Training, train_apart

OPTIONS = ["iterations=1", "threads=1"]


def trainings(folder: Path, *names: str) -> list[Training]:
    return [Training(folder / name, load("ipd", OPTIONS)) for name in names]


def script(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """What runs in place of ``detente train``; its arguments are train, the run folder, --trust."""
    monkeypatch.setattr(processes, "MAIN", [sys.executable, "-c", code])


def waits(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_some_fail_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import os, sys
print("training", sys.argv[2], flush=True)
if "bad" in sys.argv[2]:
    sys.exit("The disk is full.")
if "silent" in sys.argv[2]:
    sys.stdout = None
    os._exit(3)
if "killed" in sys.argv[2]:
    os.kill(os.getpid(), 9)
"""
    script(monkeypatch, code)
    (tmp_path / "silent.log").write_text("words of before\n")
    told: dict[str, str | None] = {}
    seen: list[int] = []
    train_apart(
        trainings(tmp_path, "good", "bad", "killed", "silent", "last"),
        2,
        lambda training, fault: told.update({training.run.name: fault}),
        lambda running: seen.append(len(running)),
    )
    assert told == {
        "good": None,
        "bad": "The disk is full.",
        "killed": "its process was ended by SIGKILL",
        "silent": f"training {tmp_path / 'silent'}",
        "last": None,
    }
    assert max(seen) == 2
    assert (tmp_path / "good" / "config.yaml").exists()


def test_a_run_that_another_process_trains_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, "import pathlib, sys; pathlib.Path(sys.argv[2], 'trained').touch()")
    elsewhere, free = trainings(tmp_path, "elsewhere", "free")
    elsewhere.run.mkdir()
    told = []

    def ended(training: Training, fault: str | None) -> None:
        told.append((training.run.name, fault))
        if training is free:
            learners = {"main": {"algorithm": "reinforce", "self_play": {}}}
            (elsewhere.run / "summary.json").write_text(json.dumps({"iterations": 1, "learners": learners}))
            held.close()

    with ExitStack() as held:
        held.enter_context(locked(elsewhere.run, "the run", "wait"))
        train_apart([elsewhere, free], 1, ended)
    assert told == [("free", None), ("elsewhere", None)]
    assert not (elsewhere.run / "trained").exists()


WAITS = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[2])
def save(*_):
    with (folder / "heard").open("a") as file:
        file.write("x")
    if "stubborn" not in sys.argv[2] or (folder / "heard").stat().st_size == 2:
        sys.exit(143)
signal.signal(signal.SIGTERM, save)
(folder / "ready").touch()
while True:
    time.sleep(0.02)
"""


def test_what_ends_the_caller_ends_all_and_a_second_time_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, WAITS)
    work = trainings(tmp_path, "first", "stubborn")

    def look(running: Any) -> None:
        if all((training.run / "ready").exists() for training in work):
            raise KeyboardInterrupt

    heard = work[1].run / "heard"
    real = subprocess.Popen.wait

    def wait(self: Any, timeout: float | None = None) -> int:
        waits(heard.exists)
        if heard.stat().st_size == 1 and self.poll() is None:
            raise KeyboardInterrupt
        return int(real(self, timeout))

    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        train_apart(work, 2, lambda training, fault: None, look)
    assert heard.read_text() == "xx"


def test_they_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    """As the real command does, which asks SIGTERM to be sent to it when its input ends."""
    child = CHILD.replace("from detente.cli import main; sys.exit(main(sys.argv[1:]))", "exec(" + repr(WAITS) + ")")
    code = f"""
from pathlib import Path
import sys
from detente.config import load
from detente.learning import processes
processes.MAIN = [sys.executable, "-c", {child!r}]
processes.train_apart([processes.Training(Path("run"), load("ipd", {OPTIONS!r}))], 1, print)
"""
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    waits((tmp_path / "run" / "ready").exists)
    caller.kill()
    caller.wait()
    waits((tmp_path / "run" / "heard").exists)
