"""What every tracker gets: each iteration once, whatever happened to the run; and what one that fails does to a run: nothing."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from detente import cli, config, trackers
from detente.errors import UserError
from detente.learning import loop
from detente.trackers.base import TrackedRun

PAGE = Path(__file__).parents[2] / "docs" / "trackers.md"


class Notebook:
    """Notes what it is told, in a list of all of its kind; fails where ``fails`` says so."""

    calls: list[Any] = []  # noqa: RUF012
    fails = ""

    def _note(self, what: str, *content: Any) -> None:
        self.calls.append((what, *content))
        if what == self.fails:
            raise OSError("No route to host")

    def begin(self, run: TrackedRun) -> int:
        self._note("begin", run)
        return run.handed

    def log(self, iteration: int, numbers: Mapping[str, float]) -> None:
        self._note("log", iteration, dict(numbers))

    def finish(self, iteration: int, summary: Mapping[str, Any], files: Sequence[Path]) -> None:
        self._note("finish", iteration, summary, files)

    def close(self) -> None:
        self._note("close")


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> type[Notebook]:
    """The class that ``mine:Notebook`` names."""
    module = ModuleType("mine")
    module.__dict__.update(Notebook=Notebook, Half=type("Half", (), {"begin": Notebook.begin}), number=3)
    monkeypatch.setitem(sys.modules, "mine", module)
    monkeypatch.setattr(Notebook, "calls", [])
    monkeypatch.setattr(Notebook, "fails", "")
    return Notebook


def logged(notebook: type[Notebook]) -> list[int]:
    return [call[1] for call in notebook.calls if call[0] == "log"]


def test_a_training_hands_over_options_numbers_and_summary(notebook: type[Notebook], tiny_model: str, tmp_path: Path) -> None:
    small = "device=cpu game.rounds=1 iterations=2 episodes=4 group_size=4 lora.rank=2 evaluation.episodes=0"
    options = config.load("ipd", [*small.split(), f"model={tiny_model}", "trackers=[mine:Notebook]"])
    run = loop.train(options, tmp_path / "runs" / "x")
    assert [call[0] for call in notebook.calls] == ["begin", "log", "log", "finish", "close"]
    begun = notebook.calls[0][1]
    assert (begun.name, begun.iteration, begun.handed) == ("runs/x", 0, 0)
    assert begun.folder == run / "trackers" / "mine_Notebook"
    assert begun.options == options.model_dump(mode="json")
    for (_, iteration, values), line in zip(notebook.calls[1:3], (run / "metrics.jsonl").read_text().splitlines(), strict=True):
        written = {key: value for key, value in json.loads(line).items() if value is not None}
        assert written == values | {"iteration": iteration}
    assert notebook.calls[3] == ("finish", 2, json.loads((run / "summary.json").read_text()), [run / "summary.json"])


def test_it_gets_a_report_that_is_of_the_present_summary(begun: Callable[[str], Any], notebook: type[Notebook]) -> None:
    run = begun("mine:Notebook")
    watcher = run.resume(0)
    run.iterate([watcher], 1)
    (run.path / "report").mkdir()
    page, picture = run.path / "report" / "index.html", run.path / "report" / "reward.png"
    page.write_text("a page")
    picture.write_bytes(b"a picture")
    os.utime(page, (1, 1))
    run.finish(watcher)
    assert notebook.calls[-1][3] == [run.path / "summary.json"]
    os.utime(page)
    watcher.finish({"iterations": 1})
    assert notebook.calls[-1][3] == [run.path / "summary.json", page, picture]


def test_switched_on_for_a_run_that_exists_it_gets_what_was_before(begun: Callable[[str], Any], notebook: type[Notebook]) -> None:
    run = begun("mine:Notebook")
    run.iterate([], 1)
    run.iterate([], 2)
    watcher = run.resume(2)
    run.iterate([watcher], 3)
    run.iterate([run.resume(3)], 4)
    assert logged(notebook) == [1, 2, 3, 4]
    assert len({call[1].id for call in notebook.calls if call[0] == "begin"}) == 1


def test_what_is_played_again_after_a_crash_is_not_handed_over_again(begun: Callable[[str], Any], notebook: type[Notebook]) -> None:
    run = begun("mine:Notebook")
    watcher = run.resume(0)
    for iteration in (1, 2, 3):
        run.iterate([watcher], iteration)
    again = run.resume(2)  # the checkpoint was that of the second
    for iteration in (3, 4):
        run.iterate([again], iteration)
    assert logged(notebook) == [1, 2, 3, 4]
    (_, told) = [call[1] for call in notebook.calls if call[0] == "begin"]
    assert (told.iteration, told.handed) == (2, 3)


@pytest.mark.parametrize("where", ["begin", "log", "finish", "close"])
def test_a_tracker_that_fails_is_left_out_with_one_warning(
    where: str, begun: Callable[[str], Any], notebook: type[Notebook], caplog: pytest.LogCaptureFixture
) -> None:
    notebook.fails = where
    run = begun("mine:Notebook")
    watcher = run.resume(0)
    for iteration in (1, 2):
        run.iterate([watcher], iteration)
    run.finish(watcher)
    watcher.close()
    said = "The tracker mine:Notebook has failed, and the run goes on without it: OSError No route to host."
    assert [record.getMessage() for record in caplog.records] == [said]
    assert [call for call in notebook.calls if call[0] == "close"] == [("close",)]
    assert len(logged(notebook)) == {"begin": 0, "log": 1}.get(where, 2)


@pytest.mark.parametrize("content", ["[]", '{"id": 3, "handed": 1}', "{"])
def test_a_damaged_note_of_what_was_handed_over_is_said(
    content: str, begun: Callable[[str], Any], notebook: type[Notebook], caplog: pytest.LogCaptureFixture
) -> None:
    run = begun("mine:Notebook")
    run.iterate([run.resume(0)], 1)
    (run.path / "trackers" / "mine_Notebook" / "state.json").write_text(content)
    run.iterate([run.resume(1)], 2)
    assert logged(notebook) == [1]
    assert "state.json cannot be read" in caplog.text


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        (
            "[tensorbord]",
            "There is no tracker 'tensorbord'; there are: module:attribute, tensorboard, trackio, wandb; "
            "did you mean 'tensorboard'?",
        ),
        ("[mine:Notebook,mine:Notebook]", "The tracker 'mine:Notebook' is named twice in trackers; name each once."),
        ("[mine:Half]", "'mine:Half' makes no tracker: Half has no log, finish, close; see docs/trackers.md."),
        ("[mine:number]", "'mine:number' does not name a tracker: number is no class or function, but int."),
        ("['mine:']", "'mine:' does not name a tracker: a tracker of your own is module:attribute, such as my_trackers:Lines."),
        ("tensorboard", "The option trackers is wrong: it is a list, e.g. [a,b], not 'tensorboard'."),
    ],
)
def test_what_is_no_tracker_is_said_before_anything_begins(
    named: str, sentence: str, notebook: type[Notebook], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "ipd", f"trackers={named}", "--run", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.replace("\n", " ").strip() == sentence
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "detente.trackers.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(
        UserError, match=r"needs the package tensorboard \(.*\); install it with: pip install 'detente\[tensorboard\]'\."
    ):
        trackers.check(["tensorboard"])


def test_a_file_may_not_name_a_tracker_that_is_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "theirs.yaml").write_text("extends: ipd\ntrackers: ['somebody:Tracker']\n")
    assert cli.main(["train", str(tmp_path / "theirs.yaml"), "--dry-run"]) == 2
    assert "names the tracker 'somebody:Tracker', which would run code of the module somebody" in capsys.readouterr().err


def test_the_tracker_of_the_page_gets_each_iteration(
    begun: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "my_trackers.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    run = begun("my_trackers:Lines")
    watcher = run.resume(0)
    run.iterate([watcher], 1)
    run.finish(watcher)
    (line,) = (tmp_path / "all-runs.jsonl").read_text().splitlines()
    assert json.loads(line) == {"run": "runs/x", "iteration": 1, "reward/main": 0.25, "time/total_s": 0.5}
