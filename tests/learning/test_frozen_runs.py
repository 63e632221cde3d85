"""A run as a frozen opponent: on the learner's base model or on another, named in every way, also when the run goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from detente import config
from detente.errors import UserError
from detente.learning import loop
from detente.records import PolicyRef, read_episodes

OPTIONS = [
    *("device=cpu", "game.rounds=2", "episodes=4", "group_size=4", "lora.rank=2", "optimizer.lr=0.05", "opponents.keep_every=1"),
    *("opponents.kept=0.5", "evaluation.episodes=2", "evaluation.against=[tit_for_tat]", "record.episodes_every=1"),
]
NAMES = ["{run}", "{run}@1", "{run}/adapters/main/000001", "../other", "../other@1"]


@pytest.fixture
def other(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A copy of a finished run beside an empty working folder."""
    shutil.copytree(small_run, tmp_path / "other")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "other"


def train(model: Any, seat: Any, run: Any, iterations: Any, *more: Any) -> Any:
    return loop.train(
        config.load("ipd", [*OPTIONS, f"model={model}", f"seats=[main,{seat}]", f"iterations={iterations}", *more]), run
    )


def opponents(run: Any) -> Any:
    return [{e.policies[1] for e in read_episodes(path)} for path in sorted((run / "episodes").iterdir())]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("base", ["same", "other"])
def test_a_run_or_an_adapter_plays_frozen_and_again_when_the_run_is_resumed(
    name: Any, base: str, other: Any, tiny_model: str, lively_model: str, tmp_path: Path
) -> None:
    model, seat = {"same": tiny_model, "other": lively_model}[base], name.format(run=other)
    version = 2 if name in ("{run}", "../other") else 1
    policy = PolicyRef("adapter", seat.partition("@")[0], version)
    run = train(model, seat, tmp_path / "run", 1)
    train(model, seat, run, 2)
    assert opponents(run) == [{policy}] * 2
    assert sorted(p.name for p in (run / "adapters").iterdir()) == ["main"]


def test_the_opponent_stays_the_same_when_its_own_run_trains_on(other: Any, lively_model: str, tmp_path: Path) -> None:
    run = train(lively_model, other, tmp_path / "run", 1)
    shutil.copytree(other / "adapters/main/000001", other / "adapters/main/000007")
    train(lively_model, other, run, 2)
    loop.train(config.load(str(run / "config.yaml"), ["iterations=3"]), run)
    assert opponents(run) == [{PolicyRef("adapter", str(other), 2)}] * 3
    fresh = train(lively_model, other, tmp_path / "fresh", 1)
    assert opponents(fresh) == [{PolicyRef("adapter", str(other), 7)}]
    with pytest.raises(UserError, match=r"was started with seats="):
        train(lively_model, f"{other}@7", run, 3)


def test_a_run_that_was_begun_without_a_version_goes_on(other: Any, lively_model: str, tmp_path: Path) -> None:
    run = train(lively_model, other, tmp_path / "run", 1)
    options = run / "config.yaml"
    options.write_text(options.read_text().replace(f"{other}@2", str(other)))
    train(lively_model, other, run, 2)
    assert len(opponents(run)) == 2


@pytest.mark.parametrize(
    "option", ["evaluation.against=[{run}]", "opponents.scripts=[{run}@1]", "seats=[main,{run}@9]", "seats=[main,{run}/x]"]
)
def test_what_cannot_play_is_refused_before_there_is_a_run_folder(
    option: str, other: Any, lively_model: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError):
        train(lively_model, "tit_for_tat", tmp_path / "run", 1, option.format(run=other))
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_that_no_pass_can_mix_is_refused_before_there_is_a_run_folder(lively_model: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"The adapter main cannot be served: one pass cannot mix adapters of model\.embed_tokens;"):
        train(lively_model, "tit_for_tat", tmp_path / "run", 1, "lora.targets=[q_proj,embed_tokens]")
    assert not (tmp_path / "run").exists()
