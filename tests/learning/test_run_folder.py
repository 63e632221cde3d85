"""The run folder: one writer, one set of options, and nothing in it that a crash left behind."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest

from detente import config
from detente.errors import UserError
from detente.files import replace_text
from detente.learning.run_folder import check_folder, opened
from detente.records import Episode, PolicyRef, Round, read_episodes

EPISODE = Episode({"name": "ipd"}, 7, (PolicyRef("script", "random"),) * 2, (Round((), (3.0, 3.0), {}),))


def options(*overrides: Any) -> Any:
    return config.load("ipd", overrides)


def begun(path: Any, *overrides: Any) -> Any:
    """A run folder that has its options and nothing else."""
    with opened(path, options(*overrides)) as folder:
        folder.begin(options(*overrides), 0)
    return path


def listing(path: Any) -> Any:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


def test_a_new_folder_gets_the_options(tmp_path: Path) -> None:
    run = begun(tmp_path / "runs" / "new", "seed=5")
    assert config.read(run / "config.yaml") == options("seed=5")
    assert (run / "metrics.jsonl").read_text() == ""


def test_a_run_that_never_begins_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), opened(tmp_path / "runs" / "ipd" / "x", options()):
        raise ZeroDivisionError
    assert listing(tmp_path) == []


def test_a_run_that_never_begins_leaves_what_others_put_there(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ZeroDivisionError), opened(tmp_path / "mine", options()):
        raise ZeroDivisionError
    assert listing(tmp_path) == ["mine"]
    with opened(tmp_path / "runs" / "x", options()):
        begun(tmp_path / "runs" / "y")
    assert listing(tmp_path / "runs") == ["y", "y/.lock", "y/config.yaml", "y/metrics.jsonl"]


def test_a_folder_that_is_no_run_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("All I have.")
    with pytest.raises(UserError, match=r"is not empty and is no run \(it has no config\.yaml\); give --run another folder\.$"):
        begun(tmp_path)
    assert listing(tmp_path) == ["thesis.tex"]


def test_options_that_a_crash_left_half_written_are_written_again(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / "config.yaml.partial").write_text("game: {na")
    begun(tmp_path)
    assert config.read(tmp_path / "config.yaml") == options()


HOLD = """
from pathlib import Path
import gzip
import json
import time
from detente import config
from detente.learning.run_folder import check_folder, opened
with opened(Path({run!r}), config.load("ipd")) as folder:
    print("mine", flush=True)
    time.sleep(60)
"""


def test_two_processes_cannot_write_one_folder_and_a_killed_one_lets_go(tmp_path: Path, processes: Any) -> None:
    run = begun(tmp_path / "run")
    other = processes(HOLD.format(run=str(run)), tmp_path)
    while "mine" not in other.out:
        time.sleep(0.01)
    before = listing(run)
    with pytest.raises(UserError, match=r"run is in use by another process; wait for it or give --run another folder\.$"):
        begun(run)
    assert listing(run) == before
    other.kill()
    assert other.wait() == -9
    begun(run)


def test_a_folder_in_which_another_process_is_about_to_begin_is_in_use(tmp_path: Path, processes: Any) -> None:
    run = tmp_path / "run"
    other = processes(HOLD.format(run=str(run)), tmp_path)
    while "mine" not in other.out:
        time.sleep(0.01)
    with pytest.raises(UserError, match="is in use"):
        begun(run)
    assert listing(run) == [".lock"]
    other.kill()


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (["seed=1"], ["seed=2"], r"started with seed=1 and not 2; give --run another folder, or repeat the options"),
        (["credit.beta=2"], ["credit.beta=3"], r"started with credit\.beta=2\.0 and not 3\.0; "),
        (["game.rounds=10"], ["game.rounds=5"], r"started with game\.rounds=10 and not 5; "),
        ([], ["game.continuation=0.5"], r"started with game\.continuation=unset and not 0\.5; "),
        (
            [],
            ["learners.main.credit.beta=1"],
            r"started with learners=\{\} and not unset \(other options differ too: learners\.main",
        ),
        ([], ["evaluation.against=[random]"], r"started with evaluation\.against=None and not \['random'\]; "),
        ([], ["algorithm=reinforce", "seed=4"], r"with seed=0 and not 4 \(other options differ too: algorithm.*\); give"),
    ],
)
def test_an_existing_run_keeps_its_options(before: list[Any], after: list[str], sentence: str, tmp_path: Path) -> None:
    run = begun(tmp_path / "run", *before)
    (run / "metrics.jsonl").write_text('{"iteration": 1}\n')
    with pytest.raises(UserError, match=sentence):
        begun(run, *after)
    assert config.read(run / "config.yaml") == options(*before)


def test_a_run_whose_first_iteration_failed_takes_other_options(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = begun(tmp_path / "run", "game.rounds=3")
    begun(run, "game.rounds=3")
    assert not caplog.messages
    begun(run, "game.rounds=5", "seed=4")
    assert caplog.messages == [f"Nothing has been trained in {run} yet: it begins with the options of this command."]
    assert config.read(run / "config.yaml") == options("game.rounds=5", "seed=4")
    begun(run, "game.rounds=3")
    for trained in ("checkpoint/000001", "adapters/main/000001"):
        (run / trained).mkdir(parents=True)
        with pytest.raises(UserError, match=r"started with game\.rounds=3 and not 5"):
            begun(run, "game.rounds=5")
        (run / trained).rmdir()


def test_what_does_not_change_the_numbers_may_change(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", "iterations=5")
    begun(run, "iterations=9", "threads=2", "concurrency=3", "description=Longer.")
    assert config.read(run / "config.yaml").iterations == 9


def changes(run: Path) -> list[list[Any]]:
    return [[c["iteration"], c["option"], c["before"], c["after"]] for c in json.loads((run / "changes.json").read_text())]


def test_learning_rates_may_change_and_the_folder_says_where(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", "optimizer.lr=0.1")
    (run / "metrics.jsonl").write_text("".join(json.dumps({"iteration": done}) + "\n" for done in range(1, 8)))

    def resumed(iteration: int, *overrides: str) -> None:
        with opened(run, options(*overrides)) as folder:
            folder.begin(options(*overrides), iteration)

    resumed(2, "optimizer.lr=0.1")
    assert not (run / "changes.json").exists()
    resumed(4, "optimizer.lr=0.2")
    assert changes(run) == [[5, "optimizer.lr", 0.1, 0.2]]
    resumed(4, "optimizer.lr=0.3", "optimizer.lr_final=0")  # before anything was trained with 0.2
    assert changes(run) == [[5, "optimizer.lr", 0.1, 0.3], [5, "optimizer.lr_final", None, 0.0]]
    assert config.read(run / "config.yaml").optimizer.lr == 0.3
    resumed(4, "optimizer.lr=0.1")
    assert changes(run) == []
    resumed(4, "optimizer.lr=0.1", "learners.main.optimizer.lr=0.5")
    assert changes(run) == [[5, "learners.main.optimizer.lr", None, 0.5]]
    with pytest.raises(UserError, match=r"started with optimizer\.steps=1 and not 2"):
        resumed(4, "optimizer.steps=2")
    with pytest.raises(UserError, match=r"started with optimizer\.lr=0\.1 and not 0\.4"):
        check_folder(run, options("optimizer.lr=0.4", "learners.main.optimizer.lr=0.5"))  # as sweeps do


@pytest.mark.parametrize("text", ["game: {name: ipd}\niteratons: 3\n", "- 1\n", "game: [", ""])
def test_options_that_cannot_be_read_are_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        begun(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'config.yaml'} cannot be read as a run's options: ")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "config.yaml").read_text() == text


def test_rewinding_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    with opened(tmp_path / "run", options()) as folder:
        folder.begin(options(), 0)
        for iteration in (1, 2, 3):
            folder.write(iteration, {"iteration": iteration, "reward/main": 1.5}, [EPISODE] if iteration != 2 else [])
        with folder.metrics.open("a") as file:
            file.write('{"iteration": 4, "rew')
        folder.summary.write_text("{}")
        assert read_episodes(folder.episodes(3)) == [EPISODE]

        folder.begin(options(), 2)
        assert folder.metrics.read_text() == (
            '{"iteration": 1, "reward/main": 1.5}\n{"iteration": 2, "reward/main": 1.5}\n'  # the third and the half line are gone
        )
        assert listing(folder.path / "episodes") == ["000001.jsonl.gz"]
        assert not folder.summary.exists()


def test_rewinding_forgets_episodes_in_whichever_form(tmp_path: Path) -> None:
    with opened(tmp_path / "run", options()) as folder:
        folder.begin(options(), 0)
        for iteration in (1, 2, 3):
            folder.write(iteration, {"iteration": iteration}, [EPISODE])
        plain = [folder.episodes(iteration).with_suffix("") for iteration in (1, 2, 3)]
        for path in plain:  # as runs were written once; of the third iteration somebody unpacked a copy
            path.write_bytes(gzip.decompress(folder.episodes(int(path.stem)).read_bytes()))
        for iteration in (1, 2):
            folder.episodes(iteration).unlink()
        folder.begin(options(), 1)
        assert listing(folder.path / "episodes") == ["000001.jsonl"]
        assert read_episodes(plain[0]) == [EPISODE]


def test_adapters_later_than_the_checkpoint_and_half_written_ones_are_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path / "run", options()) as folder:
        for name in ("main/000010", "main/000020", "main/000030", "main/000020.partial", "main/notes", "other/000030"):
            (folder.adapters / name).mkdir(parents=True)
        (folder.adapters / "main" / "README").touch()
        folder.forget_adapters("main", 20)
        folder.forget_adapters("nobody", 0)
        assert listing(folder.adapters / "main") == ["000010", "000020", "README", "notes"]
        assert listing(folder.adapters / "other") == ["000030"]


def test_a_text_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    replace_text(path, "old\n")
    monkeypatch.setattr("os.fsync", lambda descriptor: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        replace_text(path, "new\n")
    assert path.read_text() == "old\n"
