"""The experiments behind the claims: every run of theirs can be trained, seeds that choose do not judge, and rows are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from detente.cli import main
from detente.errors import UserError
from detente.sweeps import outcomes as results
from detente.sweeps.sweep import opened
from tests.sweeps.made import outcomes


@pytest.fixture(scope="module")
def evidence(script: Callable[[str], Any]) -> Any:
    return script("evidence")


def rows(evidence: Any, best: dict[str, float]) -> list[dict[str, Any]]:
    """Outcomes of the forms in which each is best at its own beta, by points alone where both of two betas reciprocate."""
    made = []
    for form in evidence.FORMS:
        for beta in (0.25, 0.5, 1, 2, 4):
            for seed in range(3):
                verdict = "reciprocator" if beta in (best[form], 0.25) else None
                points = 2.9 if beta == best[form] else 2.5 if beta == 0.25 else 3.0
                made.append({"arm": form, "credit.beta": beta, "seed": seed, "verdict": verdict, "self_play/reward": points})
    return made


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("forms", 60),
        ("labels", 40),
        ("pool_talk", 6),
        ("baseline", 20),
        ("weights", 10),
        ("decoding", 30),
        ("smollm2", 10),
        ("smollm2_variants", 7),
    ],
)
def test_every_run_can_be_trained(evidence: Any, name: str, runs: int, tmp_path: Path) -> None:
    what = evidence.EXPERIMENTS[name]
    sweep, _ = opened(what.preset, what.options, tmp_path, seeds=what.seeds, arms=what.arms)
    assert len(sweep.tasks) == len(sweep.missing) == runs
    assert not {*what.seeds} & {*evidence.HELD_OUT}


def test_the_command_is_the_sweep_of_the_experiment(evidence: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    what = evidence.EXPERIMENTS["weights"]
    assert main(evidence.words("weights", what, 1, "0", tmp_path, True)) == 0
    said = capsys.readouterr()
    text = " ".join((said.out + said.err).split())
    assert "two_advantage_alignment-seed0 advantage_alignment_beside_reinforce-seed0 2 runs, 0 done, 2 to train" in text


def test_an_interrupted_sweep_keeps_the_rows_of_runs_that_are_elsewhere(
    evidence: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "KEPT", tmp_path / "kept")
    monkeypatch.chdir(tmp_path)
    known = outcomes()
    (tmp_path / "kept").mkdir()
    results.write(known, tmp_path / "kept" / "forms.parquet")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "sweep.yaml").write_text(yaml.safe_dump(dict(known.sweep)))  # begun, and nothing trained
    evidence.keep("forms", tmp_path / "runs")
    kept = results.read(tmp_path / "kept" / "forms.parquet").rows
    done = [row for row in known.rows if row["status"] == "done"]
    assert [row for row in kept if row["status"] == "done"] == done
    assert len(kept) == len(known.rows) == len(done) + 1


def test_the_best_betas_go_on_to_the_held_out_seeds(evidence: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    best = {"causal": 2, "returns": 0.5, "critic, lambda 0": 1, "critic, lambda .95": 4}
    made = rows(evidence, best)
    assert evidence.chosen(made) == best
    monkeypatch.setattr(evidence, "kept_rows", lambda name: made)
    held_out = evidence.experiment("forms_held_out")
    assert held_out.seeds == range(100, 112)
    assert held_out.arms["critic, lambda 0"][-1] == "credit.beta=1"
    monkeypatch.setattr(evidence, "kept_rows", lambda name: made[1:])
    with pytest.raises(
        UserError, match=r"^The best beta of each form is known when all 60 runs of 'forms' are done, and 59 are\.$"
    ):
        evidence.experiment("forms_held_out")
