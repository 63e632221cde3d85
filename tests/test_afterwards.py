"""What ``detente train`` says at the end: the report, which it writes, and commands that work."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from detente import cli, config
from detente.cli.afterwards import next_commands


def commands(run: str, *options: str, against: tuple[str, ...] = ("tit_for_tat", "always_defect", "random")) -> list[str]:
    configured = config.load("ipd", options)
    scores: dict[str, Any] = {"against": {name: {} for name in against}}
    summary = {"learners": dict.fromkeys(configured.learner_names, scores)}
    return next_commands(configured, Path(run), summary)


@pytest.mark.parametrize(
    ("options", "seats", "agents"),
    [
        ((), "x,human", "x,tit_for_tat,always_defect"),
        (("seats=[main,rival]", "learners.rival.lora.rank=2"), "x/adapters/main,human", "x/adapters/main,x/adapters/rival,"),
        (("seats=[main,rival]", "learners.rival.copies=2"), "x/adapters/main,human", "x/adapters/main,x/adapters/rival_0,"),
        (("seats=[tit_for_tat,main]",), "human,x", "x,tit_for_tat,always_defect"),
        (("seats=[main,tit_for_tat]",), "x,human", "x,tit_for_tat,always_defect"),
        (
            ("opponents.rotate=true", "seats=[a,b,c]", *(f"learners.{name}.lora.rank=2" for name in "abc")),
            "x/adapters/a,human",
            "x/adapters/a,x/adapters/b,x/adapters/c,",
        ),
    ],
)
def test_a_person_plays_a_learner_and_all_learners_meet_scripts(options: tuple[str, ...], seats: str, agents: str) -> None:
    play, arena, push = commands("x", *options)
    assert play == f"detente play x --seats {seats}"
    assert arena.startswith(f"detente arena x --agents {agents}")
    assert push == f"detente push {agents.partition(',')[0]} USER/NAME"


def test_without_scripts_a_single_agent_has_no_arena() -> None:
    assert commands("x", against=()) == ["detente play x --seats x,human", "detente push x USER/NAME"]


def test_names_are_quoted_for_the_shell_and_for_the_list() -> None:
    play, *_ = commands("my runs/a,b")
    assert shlex.split(play) == ["detente", "play", "my runs/a,b", "--seats", r"my runs/a\,b,human"]


def test_options_that_name_code_need_trust_again() -> None:
    assert [command.endswith(" --trust") for command in commands("x", "reward=my_rewards:prosocial")] == [True, True, False]


@pytest.mark.parametrize("report", [True, False])
def test_train_writes_the_report_and_says_what_is_next(
    report: bool, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(small_run, tmp_path / "x")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "x", "--report" if report else "--no-report"]) == 0
    said = capsys.readouterr().out
    assert (tmp_path / "x" / "report" / "index.html").exists() == report
    assert said.rstrip().endswith("  detente arena x --agents x,tit_for_tat\n  detente push x USER/NAME") == report
    assert ("Wrote x/report/index.html; next, for example:" in said) == report
