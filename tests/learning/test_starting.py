"""Training from the weights of an adapter that is there already: exactly those, kept in the run, and nothing that does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from detente import cli, config
from detente.errors import UserError
from detente.learning import loop

OPTIONS = (
    "device=cpu game.rounds=2 episodes=4 group_size=4 lora.rank=2 optimizer.lr=0.05 opponents.keep_every=1 threads=1 "
    "evaluation.episodes=0 loss.entropy_final=null"
)


@pytest.fixture
def source(small_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_run, tmp_path / "source"))


def train(run: Path, model: str, *more: str, iterations: int = 1) -> Path:
    options = [*OPTIONS.split(), f"model={model}", f"iterations={iterations}", *more]
    return loop.train(config.load("ipd", options), run)


def weights(run: Path, version: int, learner: str = "main") -> dict[str, Any]:
    return load_file(run / "adapters" / learner / f"{version:06d}" / "adapter_model.safetensors")


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(first[key].equal(second[key]) for key in first)


@pytest.mark.parametrize(("name", "version"), [("{}", 2), ("{}@1", 1), ("{}/adapters/main/000001", 1)])
def test_the_first_version_is_the_source(name: str, version: int, source: Path, tiny_model: str, tmp_path: Path) -> None:
    run = train(tmp_path / "run", tiny_model, f"start_from={name.format(source)}")
    assert same(weights(run, 0), weights(source, version))
    assert not same(weights(run, 1), weights(source, version))
    stored = config.read(run / "config.yaml").start_from
    assert stored == (f"{source}@{version}" if "adapters" not in name else name.format(source))


def test_a_fresh_adapter_is_not_kept(tiny_model: str, tmp_path: Path) -> None:
    assert not (train(tmp_path / "run", tiny_model) / "adapters" / "main" / "000000").exists()


def test_a_stopped_run_ends_as_if_it_had_not_stopped_when_the_source_is_gone(source: Path, tiny_model: str, tmp_path: Path) -> None:
    options = (tiny_model, f"start_from={source}", "opponents.kept=0.5")
    whole = train(tmp_path / "whole", *options, iterations=3)
    train(tmp_path / "run", *options, iterations=2)
    begun = train(tmp_path / "begun", *options, iterations=2)
    shutil.rmtree(begun / "checkpoint")  # as of a run that was killed before its first checkpoint
    for version in (1, 2):
        shutil.rmtree(begun / "adapters" / "main" / f"{version:06d}")
    shutil.rmtree(source)
    for run in (tmp_path / "run", begun):
        train(run, *options, iterations=3)
        assert same(weights(run, 3), weights(whole, 3))


def test_it_starts_with_the_same_version_when_the_source_has_trained_on(source: Path, tiny_model: str, tmp_path: Path) -> None:
    run = train(tmp_path / "run", tiny_model, f"start_from={source}")
    shutil.copytree(source / "adapters/main/000001", source / "adapters/main/000007")
    train(run, tiny_model, f"start_from={source}", iterations=2)
    words = [*OPTIONS.split(), f"model={tiny_model}", "iterations=2", f"start_from={source}", "--run", str(run), "--dry-run"]
    assert cli.main(["train", "ipd", *words]) == 0
    assert config.read(run / "config.yaml").start_from == f"{source}@2"


def test_one_of_two_learners_starts_from_another_run(source: Path, tiny_model: str, tmp_path: Path) -> None:
    run = train(tmp_path / "run", tiny_model, "seats=[main,rival]", f"learners.rival.start_from={source}@1")
    assert same(weights(run, 0, "rival"), weights(source, 1))
    assert not (run / "adapters" / "main" / "000000").exists()
    assert config.read(run / "config.yaml").learners["rival"] == {"start_from": f"{source}@1"}


def test_each_of_several_learners_starts_from_the_one_of_its_name(source: Path, tiny_model: str, tmp_path: Path) -> None:
    for version in ("000001", "000002"):
        shutil.copytree(source / "adapters" / "main" / version, source / "adapters" / "rival" / version)
    shutil.rmtree(source / "adapters" / "rival" / "000002")
    options = (tiny_model, "seats=[main,rival]", "learners.rival.algorithm=reinforce", f"start_from={source}")
    run = train(tmp_path / "run", *options)
    assert same(weights(run, 0, "main"), weights(source, 2))
    assert same(weights(run, 0, "rival"), weights(source, 1))
    places = {"main": f"{source}/adapters/main@2", "rival": f"{source}/adapters/rival@1"}
    stored = config.read(run / "config.yaml")
    assert {name: stored.learner(name).start_from for name in places} == places
    summary = json.loads((run / "summary.json").read_text())["learners"]
    assert {name: summary[name]["start_from"] for name in places} == places
    shutil.rmtree(source)
    train(run, *options, iterations=2)
    assert config.read(run / "config.yaml").learners == stored.learners


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("start_from=runs/none", "There is no run or adapter folder 'runs/none'."),
        ("start_from=tit_for_tat", "There is no run or adapter folder 'tit_for_tat'."),
        ("start_from=model:pocket", "There is no run or adapter folder 'model:pocket'."),
        ("start_from={}@9", "kept no version 9 of 'main'; it has 1, 2."),
        ("start_from={}@x", "should end in a version number"),
        (
            "start_from={} lora.rank=4",
            "has lora.rank=2 lora.alpha=16, and 'main' lora.rank=4 lora.alpha=16; train with lora.rank=2",
        ),
        ("start_from={} lora.targets=[q_proj]", "and 'main' have different matrices, first "),
        ("start_from={} model={other}", "was trained on the base model"),
        ("start_from={}/adapters", "is neither a run (config.yaml) nor an adapter"),
    ],
)
def test_what_does_not_fit(change: str, sentence: str, source: Path, tiny_model: str, lively_model: str, tmp_path: Path) -> None:
    words = change.format(source, other=lively_model).split()
    with pytest.raises(UserError) as caught:
        train(tmp_path / "run", tiny_model, *words)
    assert sentence in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_a_dry_run_tells_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "ipd", "start_from=runs/none", "--run", str(tmp_path / "run"), "--dry-run"]) == 2
    assert capsys.readouterr().err.strip() == "There is no run or adapter folder 'runs/none'."
