"""Adapter folders: plain PEFT reads them, and what does not belong is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

from detente import adapters, models
from detente.errors import UserError
from detente.learning.forward import adapter_parameters
from detente.options import LoraOptions
from detente.records import PolicyRef
from tests.conftest import Run


@pytest.fixture
def saved(open_run: Callable[..., Any], tmp_path: Path) -> tuple[Run, Path]:
    """A run with a trained-looking adapter and the folder it was saved to."""
    run = open_run().shake()
    folder = adapters.version_folder(tmp_path / "adapters", "main", 7)
    adapters.save(folder, run.learners["main"].weights(), run.model.peft_config["main"], run.base)
    return run, folder


def test_plain_peft_loads_it_and_gives_the_same_logits(saved: tuple[Run, Path], lively_model: str) -> None:
    run, folder = saved
    fresh = AutoModelForCausalLM.from_pretrained(lively_model)
    loaded = PeftModel.from_pretrained(fresh, folder).eval()
    run.model.set_adapter("main")
    tokens = torch.randint(10, 400, (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = (model(tokens).logits.log_softmax(-1) for model in (run.model, loaded))
        with loaded.disable_adapter():
            assert (loaded(tokens).logits.log_softmax(-1) - ours).abs().max() > 0.1
    assert torch.equal(ours, theirs)


def test_loading_gives_back_the_weights_and_they_can_be_served(saved: tuple[Run, Path]) -> None:
    run, folder = saved
    weights, config = adapters.load(folder, run.base)
    expected = run.learners["main"].weights()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[key], expected[key]) for key in weights)
    assert (config.r, config.lora_alpha) == (4, 8)  # type: ignore[attr-defined]
    policy = PolicyRef("adapter", "main", 7)
    run.engine.serve(policy, weights, config)
    assert all(torch.equal(w, expected[key]) for key, w in run.engine.adapters.weights(policy).items())  # type: ignore[attr-defined]


def test_the_folder_holds_three_files_and_no_path_of_this_machine(
    saved: tuple[Run, Path], lively_model: str, tmp_path: Path
) -> None:
    run, folder = saved
    run.base.model.config._name_or_path = "whatever"
    assert sorted(p.name for p in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors", "detente.json"]
    assert folder.relative_to(tmp_path).as_posix() == "adapters/main/000007"
    named = models.LanguageModel("pocket", run.base.model, run.base.tokenizer, run.base.fingerprint)
    adapters.save(folder, run.learners["main"].weights(), run.model.peft_config["main"], named)
    for file in folder.iterdir():
        text = file.read_bytes().decode(errors="replace")
        assert str(tmp_path) not in text
        assert lively_model not in text
    assert adapters.trained_on(folder)[0] == "pocket"
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["inference_mode"]) == ("pocket", True)


def test_whoever_may_read_the_folder_may_read_the_weights(saved: tuple[Run, Path]) -> None:
    _, folder = saved
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_saving_leaves_the_model_as_it_was(saved: tuple[Run, Path]) -> None:
    run, _ = saved
    config = run.model.peft_config["main"]
    assert not config.inference_mode
    assert config.base_model_name_or_path == run.base.name


def test_another_base_model_is_refused(saved: tuple[Run, Path], tiny_model: str) -> None:
    _, folder = saved
    other = models.load(tiny_model, device="cpu")  # of the same shape
    with pytest.raises(UserError, match="was trained on the base model"):
        adapters.load(folder, other)


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json", "detente.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "garbage"])
def test_a_damaged_folder_is_refused(saved: tuple[Run, Path], file: str, damage: str) -> None:
    run, folder = saved
    path = folder / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "garbage": b"\x00\xff" * 50}[damage])
    if (file, damage) == ("detente.json", "missing"):  # a plain PEFT folder from elsewhere
        adapters.load(folder, run.base)
        return
    with pytest.raises(UserError, match="cannot be read as a PEFT adapter folder") as caught:
        adapters.load(folder, run.base)
    assert "\n" not in str(caught.value)
    if file == "detente.json":
        with pytest.raises(UserError, match="cannot be read as a PEFT adapter folder"):
            adapters.trained_on(folder)


BROKEN = {
    **{f"r: {value!r}": {"r": value} for value in (0, -1, "8", 1e9, 4.0, 10**9, 8, None, True, [4], {})},  # type: ignore[var-annotated]
    **{f"alpha: {value!r}": {"lora_alpha": value} for value in (float("nan"), float("inf"), 0, -8, "8", None, 1e300, False)},
    "no r": {"r": ...},
    "no alpha": {"lora_alpha": ...},
    "no type": {"peft_type": ...},
    "an unknown type": {"peft_type": "LORRA"},
    "a type of another kind": {"peft_type": 3},
    "ranks by name": {"rank_pattern": {"q_proj": "8"}},
    "endless ranks by name": {"rank_pattern": {"q_proj": 10**9}},
    "ranks in a list": {"rank_pattern": [3]},
    "alphas by name": {"alpha_pattern": {"q_proj": float("nan")}},
    **{f"endless {key}": {key: "((.)+)+!"} for key in ("target_modules", "exclude_modules", "layers_pattern")},
    **{f"endless {key}": {key: {"((.)+)+!": 2}} for key in ("rank_pattern", "alpha_pattern")},
    **{f"endless: {pattern}": {"target_modules": pattern} for pattern in ("(.*)*!", "(?:a|(b{1,}))*!", ".*" * 12 + "!")},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_configuration_that_means_nothing_is_refused(saved: tuple[Run, Path], name: Any) -> None:
    run, folder = saved
    config = json.loads((folder / "adapter_config.json").read_text())
    config = {key: value for key, value in (config | BROKEN[name]).items() if value is not ...}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    refused(folder, run.base)


@pytest.mark.parametrize("pattern", [r".*\.(q|k)_proj", r"(?:.*?(?:text|model).*?(?:mlp|attn).*?(?:q_proj|v_proj).*?)", "q_proj"])
def test_usual_patterns_of_modules_are_taken(saved: tuple[Run, Path], pattern: str) -> None:
    run, folder = saved
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"target_modules": pattern}))
    assert adapters.load(folder, run.base)[1].target_modules == pattern  # type: ignore[attr-defined]


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json", "detente.json"])
def test_a_pipe_is_no_file(saved: tuple[Run, Path], file: str) -> None:
    """Reading one would wait for ever."""
    run, folder = saved
    (folder / file).unlink()
    os.mkfifo(folder / file)
    refused(folder, run.base)


@pytest.mark.parametrize(
    "text", ["null", "[]", "7", '"x"', "{}", "[" * 5000, '{"r": ' * 3000, "NaN", "\ufeff{}", '{"r": ' + "9" * 5000 + "}"]
)
@pytest.mark.parametrize("file", ["adapter_config.json", "detente.json"])
def test_json_that_is_no_configuration_is_refused(saved: tuple[Run, Path], file: str, text: str) -> None:
    run, folder = saved
    (folder / file).write_text(text)
    if (file, text) == ("detente.json", "{}"):  # says nothing
        adapters.load(folder, run.base)
    else:
        refused(folder, run.base)


def refused(folder: Path, base: Any) -> None:
    with pytest.raises(UserError, match="cannot be read as a PEFT adapter folder") as caught:
        adapters.load(folder, base)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(folder)) + 300


def change(folder: Path, how: Any) -> Any:
    """Replace one tensor of the folder by what ``how`` makes of it."""
    weights = load_file(folder / "adapter_model.safetensors")
    last = list(weights)[-1]
    weights[last] = how(weights[last].clone())
    save_file(weights, folder / "adapter_model.safetensors")
    return last


def with_number(value: Any) -> Any:
    def changed(tensor: Any) -> Any:
        tensor.view(-1)[-1] = value
        return tensor

    return changed


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_one_number_that_is_not_finite_is_enough(saved: tuple[Run, Path], number: Any, dtype: Any) -> None:
    run, folder = saved
    last = change(folder, lambda tensor: with_number(number)(tensor.to(dtype)))
    with pytest.raises(UserError, match=f"{folder}.*'{last}' holds numbers that are not finite"):
        adapters.load(folder, run.base)


def test_a_number_that_float32_cannot_hold_is_not_finite(saved: tuple[Run, Path]) -> None:
    run, folder = saved
    change(folder, lambda tensor: with_number(1e300)(tensor.double()))
    with pytest.raises(UserError, match="not finite"):
        adapters.load(folder, run.base)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_other_number_formats_are_refused(saved: tuple[Run, Path], dtype: Any) -> None:
    run, folder = saved
    change(folder, lambda tensor: tensor.to(dtype))
    with pytest.raises(UserError, match=f"{folder}.*holds {str(dtype).removeprefix('torch.')} numbers"):
        adapters.load(folder, run.base)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_floating_point_is_taken(saved: tuple[Run, Path], dtype: Any) -> None:
    run, folder = saved
    change(folder, lambda tensor: tensor.to(dtype))
    weights, config = adapters.load(folder, run.base)
    run.engine.serve(PolicyRef("adapter", "main", 7), weights, config)


def test_a_folder_without_matrices_is_refused(saved: tuple[Run, Path]) -> None:
    run, folder = saved
    save_file({}, folder / "adapter_model.safetensors")
    refused(folder, run.base)


def test_a_folder_that_is_not_there(saved: tuple[Run, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        adapters.load(tmp_path / "nowhere", saved[0].base)


def test_an_interrupted_save_leaves_no_version(saved: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run, folder = saved
    shutil.rmtree(folder)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(adapters, "write_synced", full)
    with pytest.raises(OSError, match="No space"):
        adapters.save(folder, run.learners["main"].weights(), run.model.peft_config["main"], run.base)
    assert adapters.versions_in(folder.parent) == []
    monkeypatch.undo()
    adapters.save(folder, run.learners["main"].weights(), run.model.peft_config["main"], run.base)
    assert adapters.versions_in(folder.parent) == [7]
    assert not folder.with_name("000007.partial").exists()


def test_an_interrupted_removal_leaves_no_version(saved: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = saved
    rmtree = shutil.rmtree

    def stopped(path: Any, **options: Any) -> None:
        if path.exists():
            raise KeyboardInterrupt
        rmtree(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(adapters.shutil, "rmtree", stopped)  # type: ignore[attr-defined]
        with pytest.raises(KeyboardInterrupt):
            adapters.remove(folder)
    assert adapters.versions_in(folder.parent) == []
    folder.mkdir()
    adapters.remove(folder)
    assert list(folder.parent.iterdir()) == []


def test_finding_a_version_in_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no adapter yet"):
        adapters.newest(tmp_path)
    for version in (10, 9, 110):
        adapters.version_folder(tmp_path / "adapters", "main", version).mkdir(parents=True)
    (tmp_path / "adapters" / "main" / "000120.partial").mkdir()
    assert adapters.newest(tmp_path).name == "000110"
    assert adapters.newest(tmp_path, version=9).name == "000009"
    with pytest.raises(UserError, match="no version 11 of 'main'; it has 9, 10, 110"):
        adapters.newest(tmp_path, version=11)
    adapters.version_folder(tmp_path / "adapters", "other", 5).mkdir(parents=True)
    with pytest.raises(UserError, match="several learners, main, other"):
        adapters.newest(tmp_path)


def test_options_become_pefts_configuration() -> None:
    config = adapters.lora_config(LoraOptions(rank=16, alpha=24, targets=("q_proj", "v_proj")))
    assert (config.r, config.lora_alpha, config.lora_dropout, config.target_modules) == (16, 24, 0.0, {"q_proj", "v_proj"})  # type: ignore[comparison-overlap]
    assert adapters.lora_config(LoraOptions()).target_modules == "all-linear"


@pytest.mark.parametrize(
    ("config", "rank", "numbers"),
    [
        (LlamaConfig(hidden_size=96, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4), 8, 43_776),  # pocket
        (
            LlamaConfig(
                hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3
            ),
            8,
            2_442_240,
        ),
        (
            Qwen2Config(
                hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4
            ),
            32,
            80_740_352,
        ),
    ],
    ids=["pocket", "smollm2-135m", "Qwen2.5-7B"],
)
def test_an_adapter_has_the_size_that_docs_disk_says(config: Any, rank: int, numbers: int) -> None:
    with torch.device("meta"):
        model = get_peft_model(AutoModelForCausalLM.from_config(config), adapters.lora_config(LoraOptions(rank=rank)))
    assert sum(p.numel() for p in adapter_parameters(model, "default")) == numbers
    assert f"{numbers:,}" in (Path(__file__).parents[2] / "docs" / "disk.md").read_text(encoding="utf-8")
