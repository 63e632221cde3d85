"""The sizes of a decoder, against a real one of Transformers."""

from __future__ import annotations

from pathlib import Path

import pytest

from detente import models
from detente.errors import UserError
from detente.needs.shape import KNOWN, given, of_config

SEVEN = "layers=28,hidden=3584,inner=18944,heads=28,groups=4,vocab=152064"


def test_pocket_has_the_parameters_that_its_configuration_says() -> None:
    from peft import LoraConfig, get_peft_model

    shape = given(str(models.folder("pocket")))
    model = models.load("pocket").model
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules=["q_proj", "down_proj"]))
    trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    assert shape.adapter(8, ("q_proj", "down_proj")) == trained
    assert shape.adapter(8, "all-linear") > trained


def test_the_published_sizes_are_those_of_the_models() -> None:
    """Parameters as the models' cards have them, biases aside."""
    billions = {name: round(shape.parameters / 1e9, 1) for name, shape in KNOWN.items()}
    assert billions["Qwen/Qwen2.5-7B-Instruct"] == 7.6
    assert billions["Qwen/Qwen2.5-0.5B-Instruct"] == 0.5
    assert billions["Qwen/Qwen3-8B"] == 8.2
    assert billions["meta-llama/Llama-3.1-8B-Instruct"] == 8.0
    seven = KNOWN["Qwen/Qwen2.5-7B-Instruct"]
    assert seven.adapter(32, "all-linear") == 80_740_352
    assert 2 * seven.cached == 56 * 1024  # bytes of a token in bfloat16


def test_words_a_file_and_a_folder(tmp_path: Path) -> None:
    seven = given(SEVEN)
    assert (seven.head, seven.tied) == (128, False)
    assert seven.parameters == KNOWN["Qwen/Qwen2.5-7B-Instruct"].parameters
    (tmp_path / "config.json").write_text(
        '{"text_config": {"num_hidden_layers": 2, "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, '
        '"vocab_size": 9, "tie_word_embeddings": true}}'
    )
    assert (
        given(str(tmp_path)) == given(str(tmp_path / "config.json")) == given("layers=2,hidden=8,inner=16,heads=2,vocab=9,tied=1")
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("layers=3", "--shape has no hidden"),
        ("depth=3", "no size of a model 'depth'"),
        ("layers=x,hidden=1", "layers=x, which is no whole number"),
        ("layers=0,hidden=8,inner=8,heads=2,vocab=9", "layers=0, which no model has"),
        ("layers=2,hidden=8,inner=8,heads=3,groups=2,vocab=9", "do not divide"),
        ("nowhere", "not 'nowhere'"),
    ],
)
def test_other_words_are_refused(words: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        given(words)


def test_a_configuration_with_other_values_is_refused() -> None:
    with pytest.raises(UserError, match=r"num_hidden_layers=\[3\], which is no whole number"):
        of_config({"num_hidden_layers": [3]}, "it")
