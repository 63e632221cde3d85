"""Every preset of the package, with every algorithm, runs one iteration on the tiny model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import detente
from detente import config, former, presets
from detente.errors import UserError
from detente.learning import loop
from detente.learning.opponents import seatings
from detente.options import ALGORITHMS
from detente.records import PolicyRef

SMALL = (
    "device=cpu dtype=float32 engine=transformers iterations=1 episodes=4 group_size=4 lora.rank=2 answer.max_tokens=48 "
    "evaluation.episodes=1 evaluation.every=0"
)
PAIR = ("group_size=2",)  # two groups, in which two learners take turns
TRIAL = ("episodes=8", "learners.main.update_every=1", "learners.rival.copies=2")  # the smallest one


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("preset", presets.preset_names())
def test_a_preset_trains(preset: str, algorithm: Any, tiny_model: str, tmp_path: Path) -> None:
    full = config.load(preset)
    rounds = ["game.rounds=2"] if "rounds" in full.game else []
    trial = TRIAL if "rival" in full.learners else PAIR if full.learners else ()
    scores = [] if algorithm == full.algorithm else ["evaluation.episodes=0"]  # which are played alike whatever the credit is
    options = config.load(preset, [*SMALL.split(), *rounds, *trial, *scores, f"model={tiny_model}", f"algorithm={algorithm}"])
    run = loop.train(options, tmp_path / "run")
    (line,) = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    summary = json.loads((run / "summary.json").read_text())
    if "deal_or_no_deal" in preset and line["credit/main/std"] == 0:  # two strangers rarely close a deal
        assert line["reward/main"] == 0
    else:
        assert line["grad_norm/main"] > 0
    assert summary["preset"] == preset
    assert summary["learners"]["main"]["algorithm"] == algorithm
    assert (run / "adapters" / "main" / "000001" / "adapter_model.safetensors").exists()


def test_the_two_forms_of_the_weight_differ_in_nothing_else() -> None:
    causal, returns = (config.load(name).model_dump() for name in ("trust_and_split", "trust_and_split_returns"))
    assert causal["credit"].pop("shaping") == "causal"
    assert returns["credit"].pop("shaping") == "returns"
    named = ("preset", "description")
    assert {k: v for k, v in causal.items() if k not in named} == {k: v for k, v in returns.items() if k not in named}
    assert (causal["algorithm"], causal["credit"]["clip"], causal["credit"]["first_round_bonus"]) == (
        "advantage_alignment",
        1,
        0.05,
    )


def test_the_pool_sees_as_many_tokens_as_the_shaped_learner() -> None:
    """Seats that train on an episode, over the whole run."""

    def trained(preset: str) -> int:
        options = config.load(preset)
        present = {name: PolicyRef("adapter", name) for name in options.learner_names}
        count = 0
        for iteration in range(options.iterations):
            kept = dict.fromkeys(present, range(options.opponents.keep_every, iteration + 1, options.opponents.keep_every))
            count += sum(
                name is not None for row in seatings(options, iteration, present, kept) for s in row for name in s.learners
            )
        return count

    assert trained("ipd_pool") == trained("ipd") == 9120


@pytest.mark.parametrize(("old", "present"), former.PRESETS.items())
def test_former_names_of_presets_still_load(old: Any, present: Any) -> None:
    assert old not in presets.preset_names()
    assert presets.is_preset(old)
    assert config.load(old).model_dump(exclude={"preset"}) == config.load(present).model_dump(exclude={"preset"})
    assert config.load(old).preset == old  # an existing run goes on under its name


def test_a_run_folder_is_a_preset_of_its_own(tmp_path: Path) -> None:
    run = tmp_path / "mine"
    run.mkdir()
    stored = config.load("ipd", ["game.rounds=3", "seed=7"])
    (run / "config.yaml").write_text(config.to_yaml(stored))
    assert detente.load(str(run)) == stored
    assert detente.load(str(run), ["seed=8"]).seed == 8
    (episode,) = detente.play(str(run), ["tit_for_tat", "always_defect"])
    assert len(episode.rounds) == 3


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("runs/none", "runs/none is not a run folder: it has no config.yaml."),
        ("x" * 300, "There is no preset 'xxx"),
        ("ipdd", "There is no preset 'ipdd'; did you mean 'ipd'?"),
    ],
)
def test_what_is_no_preset(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}"):
        detente.load(name)


@pytest.mark.parametrize("words", ["game.name=ipd", "game=ipd", "game={name: ipd}", "seats=[main]", "seats.first=3"])
def test_what_a_program_sets_by_itself_is_no_option(words: str) -> None:
    fixed = ("game.name", "seats")
    presets.check_free(["iterations=1", "game.rounds=3"], fixed)
    with pytest.raises(UserError, match=r"^'(game\.name|seats)' is no option here"):
        presets.check_free(["iterations=1", words], fixed)
