"""Weights & Biases without a network, and trackio's local store: what they hold of a run that was killed and went on."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("wandb", reason="wandb is not installed: make test-ecosystem brings it")
os.environ["TRACKIO_DIR"] = tempfile.mkdtemp()  # read when trackio is imported
pytest.importorskip("trackio", reason="trackio is not installed: make test-ecosystem brings it")

import trackio
from trackio.sqlite_storage import SQLiteStorage
from wandb.proto.wandb_internal_pb2 import Record

from detente import config
from detente.trackers.tracking import Tracking

pytestmark = pytest.mark.ecosystem
BLOCK = 32768  # bytes of a block of a .wandb file, which is a LevelDB log after a header of 7 bytes


class Run:
    """A run without a model: its folder, of which a tracker is told."""

    def __init__(self, path: Path, tracker: str) -> None:
        self.path, self.tracker, self.lines = path, tracker, list[str]()
        self.config = config.load("ipd", [f"trackers=[{tracker}]", "lora.rank=2"])
        path.mkdir(parents=True)

    def resume(self, iteration: int) -> Tracking:
        self.lines = self.lines[:iteration]
        (self.path / "metrics.jsonl").write_text("".join(self.lines))
        watcher = Tracking(self.tracker)
        watcher.start(self.config, self.path, iteration)
        return watcher

    def iterate(self, watcher: Tracking, *iterations: int) -> None:
        for iteration in iterations:
            metrics = {"iteration": iteration, "reward/main": iteration / 4, "time/total_s": 0.5}
            self.lines.append(json.dumps(metrics) + "\n")
            (self.path / "metrics.jsonl").write_text("".join(self.lines))
            watcher.iteration(metrics)

    def finish(self, watcher: Tracking) -> None:
        summary = {"iterations": len(self.lines), "learners": {"main": {"algorithm": "reinforce"}}}
        (self.path / "summary.json").write_text(json.dumps(summary))
        (self.path / "report").mkdir()
        (self.path / "report" / "index.html").write_text("a page")
        watcher.finish(summary)
        watcher.close()


def stopped_and_gone_on(path: Path, tracker: str) -> Run:
    """Three iterations, of which the checkpoint has two; then the third again, and two more."""
    run = Run(path, tracker)
    first = run.resume(0)
    run.iterate(first, 1, 2, 3)
    first.close()
    time.sleep(1.1)  # wandb names its folders by the second
    again = run.resume(2)
    run.iterate(again, 3, 4, 5)
    run.finish(again)
    return run


def records(file: Path) -> Iterator[Record]:
    """The records of a .wandb file: chunks with a checksum (4 bytes), a length (2) and a type (whole, first, middle or last)."""
    content, at, part = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if (left := BLOCK - at % BLOCK) < 7:
            at += left
            continue
        length, place = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        part += content[at + 7 : at + 7 + length]
        at += 7 + length
        if place in (1, 4):
            record = Record()
            record.ParseFromString(part)
            yield record
            part = b""


def items(record: Any) -> dict[str, Any]:
    """The values of a row, or of an update."""
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record}


def test_offline_files_of_wandb_hold_each_iteration_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    run = stopped_and_gone_on(tmp_path / "runs" / "x", "wandb")
    files = sorted((run.path / "trackers" / "wandb" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2  # for each process one
    found = [record for file in files for record in records(file)]
    rows = [(record.history.step.num, items(record.history.item)["reward/main"]) for record in found if record.HasField("history")]
    assert rows == [(iteration, iteration / 4) for iteration in range(1, 6)]
    opened = [record.run for record in found if record.HasField("run")]
    state = json.loads((run.path / "trackers" / "wandb" / "state.json").read_text())
    assert {(run.run_id, run.project, run.display_name) for run in opened} == {(state["id"], "detente", "runs/x")}
    assert items(opened[0].config.update)["lora"]["rank"] == 2
    told: dict[str, Any] = {}
    for record in found:
        told |= items(record.summary.update)
    assert told["learners.main.algorithm"] == "reinforce"
    (artifact,) = [record.artifact for record in found if record.HasField("artifact")]
    assert {content.path for content in artifact.manifest.contents} == {"summary.json", "index.html"}


def test_trackios_store_holds_each_iteration_once(tmp_path: Path) -> None:
    run = stopped_and_gone_on(tmp_path / "runs" / "x", "trackio")
    own = json.loads((run.path / "trackers" / "trackio" / "state.json").read_text())["id"]
    (stored,) = (stored for stored in trackio.Api().runs("detente") if stored.name == f"runs_x-{own}")
    logs = SQLiteStorage.get_logs("detente", stored.name, run_id=stored.id)
    assert [(row["step"], row["reward/main"]) for row in logs] == [(iteration, iteration / 4) for iteration in range(1, 6)]
    assert stored.config["lora.rank"] == 2


def test_nobody_logged_in_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("wandb.login", lambda **_: False)
    monkeypatch.setattr("wandb.setup", lambda: SimpleNamespace(settings=SimpleNamespace(mode="online")))
    run = Run(tmp_path / "runs" / "x", "wandb")
    run.iterate(run.resume(0), 1)
    (message,) = (record.getMessage() for record in caplog.records if record.name.startswith("detente"))
    assert message.endswith("goes on without it: Nobody is logged in; run 'wandb login', or set WANDB_MODE=offline.")
