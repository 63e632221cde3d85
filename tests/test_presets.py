"""Every preset of the package, with every algorithm, runs one iteration on the tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detente import config, former
from detente.learning import loop
from detente.options import ALGORITHMS

SMALL = (
    "device=cpu dtype=float32 iterations=1 episodes=4 group_size=4 lora.rank=2 answer.max_tokens=48 "
    "evaluation.episodes=1 evaluation.every=0"
)
TRIAL = ("episodes=8", "learners.main.update_every=1", "learners.rival.copies=2")  # the smallest one


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("preset", config.preset_names())
def test_a_preset_trains(preset: str, algorithm: Any, tiny_model: str, tmp_path: Path) -> None:
    full = config.load(preset)
    rounds = ["game.rounds=2"] if "rounds" in full.game else []
    trial = TRIAL if "rival" in full.learners else ()
    options = config.load(preset, [*SMALL.split(), *rounds, *trial, f"model={tiny_model}", f"algorithm={algorithm}"])
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


@pytest.mark.parametrize(("old", "present"), former.PRESETS.items())
def test_former_names_of_presets_still_load(old: Any, present: Any) -> None:
    assert old not in config.preset_names()
    assert config.is_preset(old)
    assert config.load(old).model_dump(exclude={"preset"}) == config.load(present).model_dump(exclude={"preset"})
    assert config.load(old).preset == old  # an existing run goes on under its name
