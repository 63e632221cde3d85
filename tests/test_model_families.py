"""Tiny random models of many families: each plays, or is refused by one sentence that is true of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from detente import api
from detente.errors import UserError

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
GROUPED = SIZES | {"num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 2048}
GPT = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 2048}
SEQUENCES = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
VISION = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28}

# Configuration, its sizes, and the class that is saved where it is not the causal model.
PLAYING = {
    "llama": ("LlamaConfig", GROUPED, None),
    "gemma3": ("Gemma3TextConfig", GROUPED, None),
    "mistral": ("MistralConfig", GROUPED, None),
    "mixtral": ("MixtralConfig", GROUPED | {"num_local_experts": 2, "num_experts_per_tok": 1}, None),
    "qwen2": ("Qwen2Config", GROUPED, None),
    "qwen3": ("Qwen3Config", GROUPED, None),
    "phi3": ("Phi3Config", GROUPED | {"pad_token_id": 0}, None),
    "gpt2": ("GPT2Config", GPT, None),
    "gpt_neox": ("GPTNeoXConfig", GROUPED, None),
    "opt": ("OPTConfig", SIZES | {"ffn_dim": 32, "max_position_embeddings": 2048, "word_embed_proj_dim": 16}, None),
    "gemma3 with pictures": (
        "Gemma3Config",
        {"text_config": GROUPED, "vision_config": VISION | {"patch_size": 14}},
        "Gemma3ForConditionalGeneration",
    ),
}
BEYOND = r"^A {} cannot be used: its attention is no plain softmax or in code of its own, or its layers carry a state"
OTHER = r"^The model '.*' is a {}, which Transformers loads as no causal language model; use a model such as Llama"
REFUSED = {
    "gemma2": ("Gemma2Config", GROUPED, None, BEYOND.format("Gemma2ForCausalLM")),
    "gpt_oss": ("GptOssConfig", GROUPED | {"num_local_experts": 2}, None, BEYOND.format("GptOssForCausalLM")),
    "falcon": ("FalconConfig", SIZES, None, BEYOND.format("FalconForCausalLM")),
    "bloom": ("BloomConfig", {"hidden_size": 16, "n_layer": 2, "n_head": 2}, None, BEYOND.format("BloomForCausalLM")),
    "mamba": ("MambaConfig", {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}, None, BEYOND.format("MambaForCausalLM")),
    "lfm2": ("Lfm2Config", GROUPED | {"layer_types": ["conv", "full_attention"]}, None, BEYOND.format("Lfm2ForCausalLM")),
    "llama4": ("Llama4TextConfig", GROUPED | {"num_local_experts": 2}, None, BEYOND.format("Llama4ForCausalLM")),
    "bert": ("BertConfig", SIZES, "BertForMaskedLM", BEYOND.format("BertLMHeadModel")),
    "t5": ("T5Config", {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1}, "T5ForConditionalGeneration", OTHER.format("t5")),
    "vit": ("ViTConfig", VISION, "ViTModel", OTHER.format("vit")),
    "bart": ("BartConfig", SEQUENCES, "BartForConditionalGeneration", r"its weights 'lm_head.weight' are missing"),
    "qwen2 with pictures": (
        "Qwen2_5_VLConfig",
        {"text_config": GROUPED, "vision_config": {"depth": 1, "hidden_size": 16, "num_heads": 2, "out_hidden_size": 16}},
        "Qwen2_5_VLForConditionalGeneration",
        OTHER.format("qwen2_5_vl"),
    ),
}


def save(folder: Path, tokenizer_of: Any, config: Any, sizes: Any, saved: Any) -> Any:
    """A random model of 512 tokens with the tokenizer of the tiny one."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    sizes = {key: value | {"vocab_size": 512} if key == "text_config" else value for key, value in sizes.items()}
    made = getattr(transformers, config)(**({} if "text_config" in sizes else {"vocab_size": 512}) | sizes)
    torch.manual_seed(0)
    model = getattr(transformers, saved)(made) if saved else AutoModelForCausalLM.from_config(made)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", PLAYING)
def test_plays(family: Any, tiny_model: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "model", tiny_model, *PLAYING[family])
    (episode,) = api.play("ipd", [f"model:{folder}", "tit_for_tat"], overrides=["game.rounds=2"])
    assert [turn.valid for turn in episode.turns(0)] == [True, True]


@pytest.mark.parametrize("family", REFUSED)
def test_is_refused_by_a_true_sentence(family: Any, tiny_model: str, tmp_path: Path) -> None:
    *made, sentence = REFUSED[family]
    folder = save(tmp_path / "model", tiny_model, *made)
    with pytest.raises(UserError, match=sentence) as caught:
        api.play("ipd", [f"model:{folder}", "tit_for_tat"], overrides=["game.rounds=2"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("config.json", "", "cannot be loaded"),
        ("config.json", "[]", "cannot be loaded"),
        ("config.json", "{}", "cannot be loaded"),
        ("config.json", '{"model_type": "nonsense"}', "cannot be loaded"),
        ("config.json", '{"model_type": "llama", "hidden_size": "x"}', "cannot be loaded"),
        ("config.json", '{"model_type": "llama", "hidden_size": 16, "intermediate_size": 16}', "cannot be (loaded|used)"),
        ("tokenizer.json", "", "cannot be loaded"),
        ("tokenizer.json", "{}", "cannot be loaded"),
        ("tokenizer_config.json", "[", "cannot be loaded"),
        ("model.safetensors", "x", "cannot be loaded"),
        ("model.safetensors", None, "cannot be loaded"),
        ("chat_template.jinja", "{% for %}", "cannot be rendered"),
        ("chat_template.jinja", "", "."),
    ],
)
def test_a_damaged_folder_is_one_sentence(file: str, content: str | None, sentence: str, tiny_model: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / file).unlink(missing_ok=True)
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(UserError, match=sentence) as caught:
        api.play("ipd", [f"model:{folder}", "tit_for_tat"], overrides=["game.rounds=2"])
    assert "\n" not in str(caught.value)


def test_weights_that_are_missing_are_not_made_up(tiny_model: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    weights = load_file(folder / "model.safetensors")
    for change in ({}, {"model.norm.weight": torch.ones(3)}):
        weights.pop("model.norm.weight", None)
        save_file(weights | change, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(UserError, match=r"its weights 'model\.norm\.weight' are missing or of another shape than it says\.$"):
            api.play("ipd", [f"model:{folder}", "tit_for_tat"])
