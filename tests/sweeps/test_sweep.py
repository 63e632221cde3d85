"""Sweeps from the command to the outcomes: killed and gone on with, failed runs, folders that are gone, what is refused."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from detente import cli, read_sweep
from detente import sweep as swept
from detente.errors import UserError
from tests.sweeps.conftest import FORKED, TINY
from tests.test_readme import blocks

SIX = ("--seeds", "0:3", "credit.beta=[1,2]")


def without_seconds(path: Path) -> dict[str, Any]:
    table = pq.read_table(path).drop_columns(["seconds"])
    return {"rows": table.to_pylist(), "schema": table.schema.to_string(show_schema_metadata=True)}


def test_killed_and_started_again_it_ends_as_if_it_never_was(sweep: Callable[..., Any], tmp_path: Path) -> None:
    whole = sweep(*SIX, "--out", "whole", "--jobs", "2")
    assert whole.wait() == 0, whole.err
    assert "seed2 done, 6 of 6" in whole.out
    killed, folder = sweep(*SIX, "--out", "killed", "--jobs", "2"), tmp_path / "killed"
    while len([*folder.glob("*/summary.json")]) < 3:
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert not (folder / "outcomes.parquet").exists()
    again = sweep(*SIX, "--out", "killed", "--jobs", "2")
    assert again.wait() == 0, again.err
    assert "done already" in again.out
    first, second = (without_seconds(tmp_path / name / "outcomes.parquet") for name in ("whole", "killed"))
    assert first == second
    rows = read_sweep(folder)
    assert [(row["credit.beta"], row["seed"], row["status"]) for row in rows] == [(b, s, "done") for b in (1, 2) for s in range(3)]
    summary = json.loads((folder / "credit.beta=1-seed0" / "summary.json").read_text())["learners"]["main"]
    assert rows[0]["self_play/reward"] == summary["self_play"]["reward"]
    assert rows[0]["vs/tit_for_tat/opponent_reward"] == summary["against"]["tit_for_tat"]["opponent_reward"]
    assert rows[0]["cooperate_given/CD"] == summary["cooperate_given"]["CD"]
    assert rows[0]["seconds"] > 0


def test_a_folder_with_runs_becomes_a_sweep(sweep: Callable[..., Any], small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run, tmp_path / "out" / "other")
    (tmp_path / "out" / "other.log").touch()
    joined = sweep("--out", "out")
    assert joined.wait() == 0, joined.err
    assert [row["run"] for row in read_sweep(tmp_path / "out")] == ["seed0"]


def test_rows_stand_for_runs_that_are_gone(sweep: Callable[..., Any], tmp_path: Path) -> None:
    two = ("credit.beta=[1,2]", "--out", "first")
    assert sweep(*two).wait() == 0
    (tmp_path / "kept").mkdir()
    file = shutil.copy(tmp_path / "first" / "outcomes.parquet", tmp_path / "kept")
    shutil.rmtree(tmp_path / "first" / "credit.beta=1-seed0")
    again = sweep(*two)
    assert again.wait() == 0, again.err
    assert "2 done already" in again.out
    assert not (tmp_path / "first" / "credit.beta=1-seed0").exists()
    assert Path(file).read_bytes() == (tmp_path / "first" / "outcomes.parquet").read_bytes()
    more = sweep("credit.beta=[1,2,3]", "--outcomes", file, "--out", "second")
    assert more.wait() == 0, more.err
    assert "credit.beta=3-seed0 done, 3 of 3" in more.out
    assert [row["status"] for row in read_sweep(tmp_path / "second")] == ["done"] * 3
    longer = sweep("credit.beta=[1,2]", "iterations=2", "--outcomes", file, "--out", "third", "--dry-run")
    assert longer.wait() == 0
    assert "2 runs, 0 done, 2 to train" in longer.out
    other = sweep("credit.beta=[1,2]", "game.rounds=3", "--outcomes", file, "--out", "third")
    assert other.wait() == 2
    assert other.err.startswith("The sweep of these outcomes was started with game.rounds=2 and not 3")
    assert not (tmp_path / "third").exists()


def test_the_blocks_of_the_page_run(processes: Callable[..., Any], tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text()
    run = processes(FORKED + "".join(blocks(page, "python")), tmp_path)
    assert run.wait() == 0, run.err
    assert run.out.startswith("[(1, 0, ")


def test_one_run_fails_and_is_tried_again(sweep: Callable[..., Any], tmp_path: Path) -> None:
    for jobs in (1, 2):
        failed = sweep("optimizer.lr=[1e29,0.01]", "--out", "out", "--jobs", str(jobs))
        assert failed.wait() == 2
        assert "optimizer.lr=0.01-seed0 done, 1 of 2" in failed.out or jobs == 2
        assert failed.err.startswith(
            "1 of 2 runs failed, and the same command tries them again: optimizer.lr=1e+29-seed0 (Training stopped"
        ), failed.err
    rows = read_sweep(tmp_path / "out")
    assert [(row["optimizer.lr"], row["status"]) for row in rows] == [(0.01, "done"), (1e29, "failed")]
    assert read_sweep(tmp_path / "out" / "outcomes.parquet") == rows


def test_sigterm_saves_and_the_same_command_goes_on(sweep: Callable[..., Any], tmp_path: Path) -> None:
    stopped = sweep("credit.beta=[1,2]", "iterations=400", "--out", "out", "--jobs", "2")
    runs = [tmp_path / "out" / f"credit.beta={beta}-seed0" for beta in (1, 2)]
    while not all([*run.glob("checkpoint/0*")] for run in runs):
        time.sleep(0.01)
    stopped.kill(signal.SIGTERM)
    assert stopped.wait() == 143
    assert "run the same command again to go on" in stopped.err
    assert stopped.out.endswith("stopping after the present iterations are saved; Ctrl-C again stops at once\n")
    rows = read_sweep(tmp_path / "out")
    assert [row["status"] for row in rows] == ["stopped"] * 2
    assert all(0 < row["iterations"] < 400 for row in rows)
    plan = sweep("credit.beta=[1,2]", "iterations=400", "--out", "out", "--dry-run")
    assert plan.wait() == 0
    assert re.search(r"2 runs, 0 done, 2 to train\nAbout \d:\d\d:\d\d with", plan.out)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["credit.beat=[1,2]"], "credit.beat=1, seed0: There is no option 'credit.beat'; did you mean 'credit.beta'?"),
        (["algorithm=[advantage_alignment,reinforce]", "credit.beta=2"], "algorithm=reinforce, seed0: credit.beta is an option of"),
        (["opponents.scripts=[[tit_for_tat],[nobody]]"], 'opponents.scripts=["nobody"], seed0: '),
        (["lora.rank=[0]"], "lora.rank=0, seed0: "),
    ],
)
def test_a_run_that_cannot_be_is_named_before_any_begins(words: list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        swept("ipd", words, tmp_path / "out")
    assert str(caught.value).startswith(sentence)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "content",
    ["", "- 1", "preset: ipd", "a: &x [1]\nb: *x", "preset: ipd\noptions: {}\nswept: [seed]\narms: {}\nruns: {../x: {seed: 0}}"],
)
def test_a_damaged_description_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(content)
    for call in (lambda: read_sweep(tmp_path), lambda: swept("ipd", TINY, tmp_path)):
        with pytest.raises(UserError, match=r"sweep.yaml cannot be read as"):
            call()


def test_help_shows_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep", "--help"]) == 0
    assert "seats=[[main,main],[main,tit_for_tat]]" in "".join(capsys.readouterr().out.replace("│", "").split())


def test_folders_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="is not empty and is no sweep"):
        swept("ipd", TINY, tmp_path)
    with pytest.raises(UserError, match="is no sweep: it has neither"):
        read_sweep(tmp_path)
    with pytest.raises(UserError, match="There is no sweep"):
        read_sweep(tmp_path / "nothing")
    with pytest.raises(UserError, match="There is no file"):
        swept("ipd", TINY, tmp_path / "out", outcomes=tmp_path / "nothing.parquet")
    for content in (b"", b"PAR1 no", b"x" * 100):
        (tmp_path / "outcomes.parquet").write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as the outcomes of a sweep"):
            read_sweep(tmp_path / "outcomes.parquet")


def test_a_second_sweep_with_other_options_is_refused(sweep: Callable[..., Any]) -> None:
    assert sweep("credit.beta=[1]", "--out", "out").wait() == 0
    for words, sentence in (
        (("credit.beta=[1]", "game.rounds=3"), "The sweep out was started with game.rounds=2 and not 3"),
        (("credit.beta=[1]", "credit.clip=[1]"), "The sweep out was started with swept=credit.beta, seed and not"),
    ):
        refused = sweep(*words, "--out", "out")
        assert (refused.wait(), refused.err[: len(sentence)]) == (2, sentence)
    for wrong, sentence in (
        (("--arm", "plain"), "'plain' is no arm; one is a name and its options"),
        (("--seeds", "5:3"), "The range 5:3 has 0 seeds"),
        (("--seeds", "0:x"), "'0:x' is no list of seeds"),
        (("--arm", "a: seed=1", "--arm", "a: seed=2"), "Two arms of the sweep have the same name"),
    ):
        refused = sweep(*wrong)
        assert (refused.wait(), refused.err[: len(sentence)]) == (2, sentence)
