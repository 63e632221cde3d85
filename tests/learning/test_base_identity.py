"""A run goes on with the base model that it was begun with, and no other; runs of before, which knew less of theirs, go on too."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from detente import adapters, config, models
from detente.errors import UserError
from detente.learning import checkpoint, loop

OPTIONS = (
    "device=cpu game.rounds=1 episodes=2 group_size=2 lora.rank=2 opponents.kept=0.5 opponents.keep_every=1 evaluation.episodes=0"
)


@pytest.fixture
def begun(tiny_model: str, tmp_path: Path) -> Any:
    """A model and a run of two iterations on it."""
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model", go_on(tmp_path / "model", tmp_path / "run", 2)


def go_on(model: Any, run: Any, iterations: Any, *more: Any) -> Any:
    return loop.train(config.load("ipd", [*OPTIONS.split(), f"model={model}", f"iterations={iterations}", *more]), run)


def rewrite(file: Any, **change: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | change))


def far_weights(model: Any) -> None:
    tensors = load_file(model / "model.safetensors")
    for tensor in tensors.values():
        tensor.view(-1)[256:] += 0.5
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})


CHANGES = {
    "weights": far_weights,
    "rope": lambda model: rewrite(model / "config.json", rope_parameters={"rope_type": "default", "rope_theta": 77.0}),
    "norm": lambda model: rewrite(model / "config.json", rms_norm_eps=0.3),
    "template": lambda model: (model / "chat_template.jinja").write_text((model / "chat_template.jinja").read_text() + "{# #}"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_base_model_that_changed_is_refused(change: Any, begun: Any) -> None:
    model, run = begun
    first = models.load(str(model), device="cpu")
    CHANGES[change](model)
    second = models.load(str(model), device="cpu")
    assert first.earlier == second.earlier
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(
        UserError, match=r"was trained on another '.*model' than there is now: its weights, configuration, tokenizer or"
    ):
        go_on(model, run, 3)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def as_before(model: Any, run: Any) -> Any:
    """The run as it was written when base models were known by their first numbers."""
    base = models.load(str(model), device="cpu")
    for card in (run / "adapters" / "main").glob("*/detente.json"):
        card.write_text(json.dumps({"base_model": str(model), "base_fingerprint": base.earlier}))
    (state,) = (run / "checkpoint").glob("*/state.json")
    header = {key: value for key, value in json.loads(state.read_text()).items() if key not in ("sha256", "bases")} | {
        "base": base.earlier
    }
    state.write_text(json.dumps(header | {"sha256": hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()}))
    return base


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_of_before_goes_on_and_is_bound_to_the_whole_model_then(
    dtype: str, tiny_model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    run = go_on(tmp_path / "model", tmp_path / "run", 2, f"dtype={dtype}")
    base = as_before(tmp_path / "model", run)
    go_on(tmp_path / "model", run, 4, f"dtype={dtype}")
    notes = [message for message in caplog.messages if "first numbers" in message]
    assert notes == [
        f"The run {run} was bound to the first numbers of its base model; from now on it is bound to the whole of it.",
        f"The adapters in {run / 'adapters' / 'main'} are bound to the first numbers of their base model; "
        "new ones are bound to the whole of it.",
    ]
    assert checkpoint.read_newest(run / "checkpoint").bases == {"main": base.fingerprint}
    known = [adapters.trained_on(run / "adapters" / "main" / f"{version:06d}")[1] for version in (1, 2, 3, 4)]
    assert known == [base.earlier, base.earlier, base.fingerprint, base.fingerprint]
    caplog.clear()
    rewrite(tmp_path / "model" / "config.json", rms_norm_eps=0.3)
    with pytest.raises(UserError, match="was trained on another"):
        go_on(tmp_path / "model", run, 5, f"dtype={dtype}")
