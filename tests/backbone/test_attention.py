"""Which models follow a plan, and what they compute without one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from detente.backbone import attention, head
from detente.errors import UserError

SMALL: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
ENDS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
GROUPED: dict[str, Any] = SMALL | ENDS | {"num_key_value_heads": 2}
FOLLOW = {
    "llama": lambda: transformers.LlamaConfig(**GROUPED),
    "gemma3": lambda: transformers.Gemma3TextConfig(**GROUPED, head_dim=8),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SMALL),
    "cohere": lambda: transformers.CohereConfig(**GROUPED, logit_scale=4.0),
    "granite": lambda: transformers.GraniteConfig(**GROUPED, logits_scaling=0.25, residual_multiplier=0.5),
    "gpt2": lambda: transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, **ENDS),
}
OTHERS = {
    "capped scores": lambda: transformers.Gemma2Config(**GROUPED, head_dim=8),
    "sinks": lambda: transformers.GptOssConfig(
        **GROUPED, head_dim=8, num_local_experts=2, rope_parameters={"rope_type": "default"}
    ),
    "a state along the row": lambda: transformers.MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, **ENDS),
    "a state beside attention": lambda: transformers.FalconH1Config(
        **GROUPED, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_d_state=8
    ),
    "attention of its own": lambda: transformers.BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4, **ENDS),
}


def make(config: Any) -> Any:
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()


@torch.no_grad()
@pytest.mark.parametrize("name", FOLLOW)
def test_without_a_plan_nothing_changes(name: str) -> None:
    model = make(FOLLOW[name]())
    ids = torch.randint(64, (3, 11))
    mask = torch.ones(3, 11, dtype=torch.long)
    mask[1, :4] = 0
    expected = model(input_ids=ids, attention_mask=mask).logits
    attention.use(model)
    attention.use(model)
    torch.testing.assert_close(model(input_ids=ids, attention_mask=mask).logits, expected)


@torch.no_grad()
@pytest.mark.parametrize("name", FOLLOW)
def test_chats_in_one_row(name: str) -> None:
    """Also the scores of the next token from the hidden states, all of them or some."""
    model = make(FOLLOW[name]())
    chats = [torch.randint(64, (n,)) for n in (5, 1, 8)]
    expected = torch.cat([model(input_ids=chat[None]).logits[0] for chat in chats])
    attention.use(model)
    positions = torch.cat([torch.arange(len(chat)) for chat in chats])
    inputs = attention.arguments(attention.SeparateChats([5, 1, 8]), positions)
    hidden = model.get_decoder()(input_ids=torch.cat(chats)[None], **inputs).last_hidden_state[0]
    torch.testing.assert_close(head.logits(model, hidden), expected, atol=1e-5, rtol=1e-5)
    some = torch.tensor([3, 60, 7])
    torch.testing.assert_close(head.logits(model, hidden, some), expected[:, some], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(head.logits(model, hidden, slice(8, 19)), expected[:, 8:19], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", OTHERS)
def test_who_cannot_follow_a_plan_is_refused_and_left_alone(name: str, training: bool) -> None:
    model = make_other(OTHERS[name]()).train(training)
    before = model.config._attn_implementation
    for _ in range(2):
        with pytest.raises(UserError, match=r"^A \w+ForCausalLM cannot be used: .*\.$"):
            attention.use(model)
    assert model.config._attn_implementation == before
    assert model.training is training


def make_other(config: Any) -> Any:
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config)


def test_a_model_in_training_stays_so() -> None:
    model = make(FOLLOW["llama"]()).train()
    attention.use(model)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_capped_scores_are_refused_under_a_plan() -> None:
    states = torch.randn(1, 2, 3, 4)
    with pytest.raises(ValueError, match="capped"):
        attention._attention(torch.nn.Identity(), states, states, states, None, plan=attention.SeparateChats([3]), softcap=30.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_weights_that_compute_nothing_finite_are_not_blamed_on_the_kind_of_model(value: float) -> None:
    model = make(FOLLOW["llama"]())
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.fill_(value)
    with pytest.raises(UserError, match="not finite") as caught:
        attention.use(model)
    assert "such as Llama" not in str(caught.value)
    assert model.config._attn_implementation == "sdpa"
