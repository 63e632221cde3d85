"""Adapters of every kind: one pass mixes them as plain PEFT computes each alone, or they are refused when they are loaded."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import peft
import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from torch import nn

from detente.backbone import attention, lora
from detente.engines.adapters import Adapters
from detente.engines.mixing import grouped, linear_only, unreached
from detente.errors import UserError
from detente.records import PolicyRef

if TYPE_CHECKING:
    from peft.peft_model import PeftModel, PeftModelForCausalLM
    from peft.tuners.lora.config import LoraConfig
    from torch import Tensor


SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
MODELS = {
    "llama": transformers.LlamaConfig(**SIZES),
    "gpt2": transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=1),
    "mixtral": transformers.MixtralConfig(**SIZES, num_key_value_heads=2, num_local_experts=4, sliding_window=None),
    "qwen2_moe": transformers.Qwen2MoeConfig(
        **SIZES,
        num_key_value_heads=2,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        shared_expert_intermediate_size=24,
    ),
}
FIRST, SECOND = PolicyRef("adapter", "first", 1), PolicyRef("adapter", "second", 1)


class Experts(nn.Module):
    """A mixture of experts as modules of their own: each sees the tokens that are sent to it, and no others."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.experts = nn.ModuleList([inner, copy.deepcopy(inner)])

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, x.shape[-1])
        chosen = tokens[:, 0] > tokens[:, 0].median()
        found = torch.empty_like(tokens)
        for i, expert in enumerate(self.experts):
            found[chosen == bool(i)] = expert(tokens[chosen == bool(i)])
        return found.view(x.shape)


def made(kind: str) -> Any:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(MODELS["llama" if kind == "modules" else kind]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.15)
    if kind == "modules":
        for layer in model.model.layers:
            layer.mlp = Experts(layer.mlp)
    attention.use(model)
    return model


def trained(model: Any, config: LoraConfig, seed: int) -> tuple[PeftModel | PeftModelForCausalLM | dict[str, Tensor], ...]:
    """The weights of an adapter whose every tensor is random, as plain PEFT saves them, and PEFT's model with it."""
    wrapped = get_peft_model(copy.deepcopy(model), config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if ".default" in name:
                parameter += 0.15 * torch.randn(parameter.shape, generator=generator)  # type: ignore[misc]
    return {key: w.clone() for key, w in get_peft_model_state_dict(wrapped).items()}, wrapped


def logits(model: Any, ids: Tensor) -> Tensor:
    with torch.no_grad():
        return model(input_ids=ids[None], use_cache=False).logits[0]


def mixed(adapters: Adapters, policies: list[PolicyRef], chats: list[Tensor]) -> Tensor:
    """The scores of one pass of chats in one row, each under its policy."""
    ends = [sum(map(len, chats[: i + 1])) for i in range(len(chats))]
    parts = [(adapters.name(policy), end - len(chat), end) for policy, chat, end in zip(policies, chats, ends, strict=True)]
    positions = torch.cat([torch.arange(len(chat)) for chat in chats])
    arguments = attention.arguments(attention.SeparateChats([len(chat) for chat in chats]), positions)
    with torch.no_grad(), lora.mixed(parts):
        return adapters.model(input_ids=torch.cat(chats)[None], **arguments).logits[0]


def chats(count: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(64, (length,), generator=generator) for length in (9, 5, 7)[:count]]


ALL: dict[str, Any] = {"target_modules": "all-linear"}
RIGHT = [
    ("llama", ALL),
    ("llama", ALL | {"use_dora": True}),
    ("llama", ALL | {"use_rslora": True, "lora_bias": True}),
    ("llama", {"target_modules": ["q_proj"], "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 32}}),
    ("llama", {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": [1]}),
    ("llama", {"target_modules": ["q_proj", "lm_head"]}),
    ("llama", ALL | {"lora_dropout": 0.5}),
    ("llama", {"target_modules": ["q_proj", "lm_head"], "lora_dropout": 0.5, "use_dora": True}),
    ("gpt2", ALL),
    ("gpt2", {"target_modules": ["c_attn"], "use_dora": True}),
    ("mixtral", {"target_modules": ["q_proj", "v_proj"]}),
    ("qwen2_moe", ALL),
    ("modules", {"target_modules": ["q_proj", "o_proj"]}),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "options"), RIGHT, ids=str)
def test_one_pass_gives_each_policy_what_plain_peft_computes(kind: str, options: Any) -> None:
    base = made(kind)
    configs = [LoraConfig(r=rank, lora_alpha=8, task_type="CAUSAL_LM", **options) for rank in (3, 4)]
    (first, one), (second, two) = (trained(base, copy.deepcopy(config), seed) for seed, config in enumerate(configs))
    plain = copy.deepcopy(base)
    adapters = Adapters(base)
    adapters.add(FIRST, first, configs[0])  # type: ignore[arg-type]
    adapters.add(SECOND, second, configs[1])  # type: ignore[arg-type]
    row = chats()
    found = mixed(adapters, [FIRST, PolicyRef("base", "base"), SECOND], row)
    expected = torch.cat([logits(model, chat) for model, chat in zip((one, plain, two), row, strict=True)])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert min((logits(model, row[0]) - logits(plain, row[0])).abs().max() for model in (one, two)) > 0.01


WRONG = [
    ("llama", LoraConfig(**ALL, modules_to_save=["lm_head"]), "it needs modules_to_save="),
    ("llama", LoraConfig(target_modules=["q_proj", "embed_tokens"]), "one pass cannot mix adapters of model.embed_tokens;"),
    ("llama", LoraConfig(target_modules=["embed_tokens"]), "one pass cannot mix adapters of model.embed_tokens;"),
    ("gpt2", LoraConfig(target_modules=["wte", "c_fc"]), "one pass cannot mix adapters of transformer.wte;"),
    ("llama", LoraConfig(target_modules=["q_proj"], trainable_token_indices=[1, 2]), "it needs trainable_token_indices="),
    ("gpt2", LoraConfig(**ALL, bias="all"), "it needs bias=all"),
    ("gpt2", LoraConfig(**ALL, bias="lora_only"), "it needs bias=lora_only"),
    (
        "mixtral",
        LoraConfig(target_modules=["q_proj"], target_parameters=["mlp.experts.gate_up_proj"]),
        "it needs target_parameters=",
    ),
    ("mixtral", LoraConfig(**ALL), "one pass cannot mix adapters of model.layers.*.mlp.experts"),
    ("modules", LoraConfig(**ALL), "meet the tokens of a pass in another order"),
    ("llama", LoraConfig(**ALL, init_lora_weights="pissa"), "init_lora_weights=pissa has changed the weights"),
    ("llama", LoraConfig(**ALL, init_lora_weights="olora"), "init_lora_weights=olora has changed the weights"),
    ("llama", LoraConfig(target_modules=["q_proj"], alora_invocation_tokens=[3]), "it needs alora_invocation_tokens="),
    ("llama", LoraConfig(**ALL, layer_replication=[(0, 2), (1, 2)]), "it needs layer_replication="),
    ("llama", peft.IA3Config(target_modules=["v_proj"], feedforward_modules=[]), "it is no LoRA but IA3"),
    ("llama", peft.LoHaConfig(target_modules=["v_proj"]), "it is no LoRA but LOHA"),
    ("llama", peft.VeraConfig(target_modules=["v_proj"]), "it is no LoRA but VERA"),
    ("llama", peft.AdaLoraConfig(target_modules=["v_proj"], total_step=9), "it is no LoRA but ADALORA"),
    ("llama", peft.PromptTuningConfig(num_virtual_tokens=3), "it is no LoRA but PROMPT_TUNING"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another"])
@pytest.mark.parametrize(("kind", "config", "reason"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_mixed_is_refused_and_leaves_no_trace(kind: str, config: Any, reason: str, beside: bool) -> None:
    base = made(kind)
    plain = copy.deepcopy(base)
    adapters = Adapters(base)
    good = LoraConfig(r=4, target_modules=["c_attn" if kind == "gpt2" else "q_proj"], task_type="CAUSAL_LM")
    weights, alone = trained(plain, copy.deepcopy(good), 0)
    if beside:
        adapters.add(FIRST, weights, good)  # type: ignore[arg-type]
    with pytest.raises(UserError) as caught:
        adapters.add(SECOND, {}, config)
    assert str(caught.value).startswith("The adapter second@1 cannot be served: ")
    assert reason in str(caught.value)
    assert "lora.targets=all-linear" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(adapters.model, PeftModel) == beside
    if not beside:
        adapters.add(FIRST, weights, good)  # type: ignore[arg-type]
    row = chats(2)
    expected = torch.cat([logits(alone, row[0]), logits(plain, row[1])])
    torch.testing.assert_close(mixed(adapters, [FIRST, PolicyRef("base", "x")], row), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("key", ["base_model.model.model.embed_tokens.weight", "base_model.model.lm_head.weight"])
def test_whole_weights_in_an_adapters_file_never_reach_the_base_model(key: str) -> None:
    base = made("llama")
    config = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
    weights, _ = trained(base, copy.deepcopy(config), 0)
    before = {name: parameter.clone() for name, parameter in base.named_parameters()}
    with pytest.raises(UserError, match=r"it holds whole weights of the model, of (model\.embed_tokens|lm_head);"):
        Adapters(base).add(FIRST, weights | {key: torch.ones(64, 32)}, config)  # type: ignore[operator]
    assert all(torch.equal(parameter, before[name]) for name, parameter in base.named_parameters())


def test_all_linear_is_linear_for_fused_experts_too_and_what_stays_frozen_is_named() -> None:
    base = made("mixtral")
    config = linear_only(LoraConfig(r=4, **ALL), base)
    assert not config.target_parameters
    model = get_peft_model(base, config, adapter_name="main")
    assert unreached(model, "main") == ["model.layers.*.mlp.experts", "model.layers.*.mlp.gate"]
    adapters = Adapters(model)
    adapters.reserve("main", model.peft_config["main"])
    assert adapters._place("main", model.peft_config["main"]) == "served0"


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_all_linear_is_pefts_where_there_are_no_experts(kind: str) -> None:
    config = LoraConfig(r=4, **ALL)
    model = made(kind)
    assert linear_only(config, model) is config
    assert unreached(get_peft_model(model, config, adapter_name="main"), "main") == []


def test_alike_names_are_one() -> None:
    assert grouped(["base_model.model.model.layers.0.mlp", "model.layers.11.mlp", "lm_head"]) == ["lm_head", "model.layers.*.mlp"]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_training_goes_through_the_same_matrices_as_peft(kind: str) -> None:
    """Forward and gradients of one adapter, in layers that we compute and in layers that PEFT does."""
    _, theirs = trained(made(kind), LoraConfig(r=4, **ALL), 1)
    ours = copy.deepcopy(theirs)
    lora.use(ours)  # type: ignore[arg-type]
    found = []
    for model in (ours, theirs):
        scores = model(input_ids=chats(1)[0][None], use_cache=False).logits  # type: ignore[operator]
        (scores * torch.linspace(-1, 1, scores.numel()).view(scores.shape)).sum().backward()
        found.append([scores, *(p.grad for p in model.parameters() if p.grad is not None)])
    assert len(found[0]) == len(found[1]) > 8
    for mine, peft_made in zip(*found, strict=True):
        torch.testing.assert_close(mine, peft_made, atol=1e-4, rtol=1e-4)
