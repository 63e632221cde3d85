"""The experiments behind the claims: every run of theirs can be trained, seeds that choose do not judge, and rows are kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from detente import models
from detente.cli import main
from detente.config import load
from detente.errors import UserError
from detente.pocket.build import FOLDER
from detente.policies import Policies
from detente.presets import preset_names
from detente.sweeps import outcomes as results
from detente.sweeps.sweep import opened
from tests.sweeps.made import outcomes


@pytest.fixture(scope="module")
def evidence(script: Callable[[str], Any]) -> Any:
    script("questions")
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
        ("bases", 30),
        ("bases_longer", 15),
        ("forms", 60),
        ("labels", 40),
        ("pool_talk", 6),
        ("baseline", 20),
        ("weights", 10),
        ("groups", 6),
        ("groups_sanctions", 2),
        ("groups_commons", 2),
        ("groups_trust", 2),
        ("groups_bargaining", 2),
        ("decoding", 30),
        ("scaling", 6),
        ("smollm2", 10),
        ("smollm2_six", 10),
        ("smollm2_variants", 7),
    ],
)
def test_every_run_can_be_trained(
    evidence: Any, name: str, runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: Callable[[str], Any]
) -> None:
    what = evidence.EXPERIMENTS[name]
    if what.before == "bases.py":
        bases = script("bases")
        monkeypatch.chdir(tmp_path)
        for base in bases.HABITS:
            shutil.copytree(FOLDER, bases.FOLDER / base)
    sweep, _ = opened(what.preset, what.options, tmp_path / "sweep", seeds=what.seeds, arms=what.arms)
    assert len(sweep.tasks) == len(sweep.missing) == runs
    assert not {*what.seeds} & {*evidence.HELD_OUT}


def test_the_command_is_the_sweep_of_the_experiment(
    evidence: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "KEPT", tmp_path / "kept")
    what = evidence.EXPERIMENTS["weights"]
    assert main(evidence.words("weights", what, 1, "0", tmp_path, True)) == 0
    said = capsys.readouterr()
    text = " ".join((said.out + said.err).split())
    assert "two_advantage_alignment-seed0 advantage_alignment_beside_reinforce-seed0 2 runs, 0 done, 2 to train" in text


def test_a_dry_run_makes_no_model(
    evidence: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["evidence.py", "bases", "--dry-run"])
    assert evidence.main() == 0
    assert "0 of 30 runs are done; bases.py makes" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


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


def test_a_base_with_other_habits_is_made_once(script: Callable[[str], Any], tmp_path: Path) -> None:
    bases = script("bases")
    folder = bases.make("undecided", tmp_path, steps=2)
    assert models.load(str(folder)).fingerprint != models.load("pocket").fingerprint
    weights = (folder / "model.safetensors").read_bytes()
    assert bases.make("undecided", tmp_path, steps=4) == folder
    assert (folder / "model.safetensors").read_bytes() == weights
    assert [path.name for path in tmp_path.iterdir()] == ["undecided"]


def test_agents_enter_a_tournament_each_of_its_own(
    script: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = script("held_out")
    monkeypatch.setattr(held_out, "FIELD", ("always_cooperate", "always_defect", "random", "tit_for_tat"))
    with closing(Policies.of(load("ipd"))) as policies:
        field = held_out.among_themselves(policies)
        row = held_out.entered(policies, policies.resolve("grim_trigger"), field)
        assert field["tit_for_tat", "always_defect"] == [0.9] * 10  # 0 once and then 1, over ten rounds
        assert row["players"] == 5
        assert row["points"] == held_out.entered(policies, policies.resolve("grim_trigger"), field)["points"]
        best = held_out.entered(policies, policies.resolve("always_cooperate"), field)
        assert best["rank"] > row["rank"]  # who is exploited ranks behind who is not
        assert held_out.exact(policies, policies.resolve("tit_for_tat"))["best_response/low"] == pytest.approx(32)


def test_the_held_out_strategies_were_never_trained_against(script: Callable[[str], Any]) -> None:
    strategies = script("held_out").STRATEGIES
    assert len({*strategies}) == 30
    known = {spelled(strategy) for name in preset_names() for strategy in load(name).opponents.scripts}
    assert not known & {spelled(strategy) for strategy in strategies}
    assert not known & {spelled(strategy.removeprefix("axelrod:")) for strategy in strategies}


def spelled(strategy: str) -> str:
    return strategy.replace("_", "").casefold()


def test_the_pages_of_tables_have_every_run_and_no_share_beyond_one(
    script: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "experiments"))
    page = script("tables").page("smollm2")
    rows = [line for line in page.splitlines() if line.startswith(("| reinforce-seed", "| advantage_alignment-seed"))]
    assert len(rows) == 10
    assert "| reinforce | main | 5 | mutual defection 1.00 [0.57, 1.00] | 1.00 [1.00, 1.01] |" in page
    assert "| 0.68 [0.17, 1.00] | 0.99 [0.96, 1.00] |" in page  # a t interval of a probability ends where probabilities do
