"""The update: ours and the common formulation compute the same, and what is reported of them is sane."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import chats, steps, update
from benchmarks.padded import PaddedLearner, Setup, fitting
from detente.errors import UserError

POCKET = Setup("pocket", "float32", "cpu", None)


@pytest.fixture(scope="module")
def played() -> Any:
    return chats.played("trust_and_split", "pocket", "cpu", None, 6, 4, ["game.rounds=2"])


def test_synthetic_chats_have_the_asked_for_shape() -> None:
    found = chats.synthetic(3, 100, 50, share=0.1, rounds=4)
    assert [len(one.tokens) for one in found] == [100] * 3
    for one in found:
        assert len(one.drawn) == len(one.rounds) == one.generated == 10
        assert one.drawn[-1] == 99
        assert (np.diff(one.drawn) > 0).all()
        assert np.unique(one.rounds).tolist() == [0, 1, 2, 3]
    assert (found[0].tokens != found[1].tokens).any()


def test_one_chat_at_a_time_is_the_same_step(played: Any) -> None:
    ready, results = chats.credited(played), []
    for size in (0, 1, 4):
        learner = PaddedLearner(replace(POCKET, micro_batch=size))
        steps.shake(learner.weights())
        results.append(learner.step(ready))
    assert results[1] == pytest.approx(results[0], rel=1e-4)
    assert results[2] == pytest.approx(results[0], rel=1e-4)


@pytest.mark.parametrize("change", [{}, {"kl": 0.5, "entropy": 0.3}, {"kl": 0.0, "entropy": 0.0}], ids=str)
def test_ours_and_the_baseline_agree_on_played_chats(played: Any, change: dict[Any, Any]) -> None:
    row = steps.measured(replace(POCKET, **change), played, ["ours", "baseline"], 1)
    assert max(row["agreement"]["apart"].values()) < steps.SAME
    assert row["agreement"]["results"]["ours"][1] > 0  # there is a gradient to agree on
    assert any(one.allowed is not None for one in played)


def test_another_loss_is_found_out(played: Any) -> None:
    with pytest.raises(ValueError, match="do not compute the same"):
        steps.measured(POCKET, played, ["ours", "baseline"], 1, ["loss.entropy=0.5"])


def test_figures_of_an_update_are_complete(here: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    update.update("pocket", ["synthetic"], ["float32"], "cpu", repeats=2, chats=4, length=40, json=tmp_path / "u.json")
    (row,) = json.loads((tmp_path / "u.json").read_text())["figures"]["rows"]
    assert (row["chats"], row["tokens"], row["distinct_tokens"], row["drawn"]) == (4, 160, 156, 16)
    assert row["ratios"]["baseline"]["median"] > 0
    assert 0 < row["share_of_peak"]["ours"]["separate"] < 1
    assert row["peak_bytes"]["baseline"] > 0
    assert {"wall_s", "cpu_s"} == set(row["variants"]["ours"])
    printed = capsys.readouterr().out
    assert "Seconds per update" in printed
    assert "backward, LoRA" in printed


def test_a_slow_number_format_is_left_out() -> None:
    peaks = {"float32": {"flops_per_s": 100e9}, "bfloat16": {"flops_per_s": 1e9}}
    assert "1 GFLOP/s" in update._too_slow("bfloat16", peaks)
    assert not update._too_slow("float32", peaks)
    assert not update._too_slow("bfloat16", peaks | {"bfloat16": {"flops_per_s": 400e9}})


def test_unknown_cases_and_a_missing_trl_are_said() -> None:
    with pytest.raises(UserError, match="synthetic"):
        update.update(case=["syntetic"])


def test_what_fits_into_memory() -> None:
    learner = PaddedLearner(POCKET)
    found = chats.synthetic(8, 100, 50)
    assert fitting(found, learner.model, 4, 10**12) == 8
    assert fitting(found, learner.model, 4, 1) == 1
    assert fitting(found, learner.model, 4, 2 * 10**7) < fitting(found, learner.model, 2, 2 * 10**7) <= 8


def test_shaken_adapters_of_one_shape_are_equal() -> None:
    ours, plain = steps.our_learner(POCKET, ()).learners["main"], PaddedLearner(POCKET)
    for learner in (ours, plain):
        steps.shake(learner.weights())
    assert ours.weights().keys() == plain.weights().keys()
    assert all(torch.equal(weight, plain.weights()[key]) for key, weight in ours.weights().items())
