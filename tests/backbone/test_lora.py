"""Our arithmetic of LoRA layers against PEFT's own, in a copy of the model that we have not touched."""

from __future__ import annotations

import copy
import statistics
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import nn

from detente.backbone import grouped, lora
from detente.backbone.lora import mixed

if TYPE_CHECKING:
    from peft.peft_model import PeftModel
    from peft.tuners.lora.layer import Linear
    from torch import Tensor


SHAPE: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj"]  # not all: up_proj stays plain


def models(
    dtype: torch.dtype = torch.float32, bias: bool = False, adapters: tuple[str, ...] = ("one",), **options: Any
) -> tuple[PeftModel, PeftModel]:
    """A PEFT model with random adapters, and a copy through which we take over."""
    torch.manual_seed(0)
    base = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE, attention_bias=bias)).to(dtype)  # type: ignore[arg-type]
    for i, name in enumerate(adapters):
        options = {"target_modules": TARGETS, "r": 4 + 2 * i, "lora_alpha": 16} | options
        if i == 0:
            theirs = get_peft_model(base, LoraConfig(**options), adapter_name=name)  # type: ignore[arg-type]
        else:
            theirs.add_adapter(name, LoraConfig(**options))  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_" in name and "magnitude" not in name:
                parameter.normal_(0, 0.2)
            elif "magnitude" in name:
                parameter.mul_(1.3)
    theirs.eval()
    ours = copy.deepcopy(theirs)
    lora.use(ours)
    lora.use(ours)
    return ours, theirs


def tokens(rows: int = 2, length: int = 9, seed: int = 0) -> Tensor:
    return torch.randint(64, (rows, length), generator=torch.Generator().manual_seed(seed))


def hidden(model: PeftModel, ids: Tensor, **options: Any) -> Tensor:
    return model(input_ids=ids, output_hidden_states=True, use_cache=False, **options).hidden_states[-1]


def gradients(model: PeftModel, ids: Tensor) -> dict[str, Tensor]:
    """The loss weighs every output, so that no gradient cancels."""
    model.zero_grad()
    found = hidden(model, ids)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1)).to(found.dtype)
    (found * weights).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def gap(one: Tensor, other: Tensor) -> float:
    one, other = one.detach().double(), other.detach().double()
    return float((one - other).norm() / other.norm())


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bias of the base": {"bias": True},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "lora_bias": {"lora_bias": True},
    "dropout": {"lora_dropout": 0.5},
    "all-linear": {"target_modules": "all-linear"},
    "ranks": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"down_proj": 3}},
}


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 3e-6), (torch.float64, 1e-7)])  # rotary angles are float32
@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_and_gradients(variant: str, dtype: torch.dtype, rounding: float) -> None:
    ours, theirs = models(dtype, **VARIANTS[variant])
    assert gap(hidden(ours, tokens()), hidden(theirs, tokens())) < rounding
    found, expected = gradients(ours, tokens()), gradients(theirs, tokens())
    assert found.keys() == expected.keys()
    assert len(expected) >= 2 * 2 * 6
    assert max(gap(found[name], expected[name]) for name in expected) < rounding


def test_dropout_in_training_is_peft_s() -> None:
    ours, theirs = models(lora_dropout=0.5)
    ours.train()
    theirs.train()
    torch.manual_seed(3)
    found = hidden(ours, tokens())
    torch.manual_seed(3)
    torch.testing.assert_close(found, hidden(theirs, tokens()), atol=1e-6, rtol=1e-6)
    ours.eval()
    assert gap(found, hidden(ours, tokens())) > 1e-3


def test_bfloat16_against_float32() -> None:
    """A processor with or without such instructions: within the rounding of the format, and no further off than PEFT."""
    ours, theirs = models(torch.bfloat16)
    exact = copy.deepcopy(theirs).float()
    right, slopes = hidden(exact, tokens()), gradients(exact, tokens())
    found, steps, others = hidden(ours, tokens()), gradients(ours, tokens()), gradients(theirs, tokens())
    assert found.dtype == torch.bfloat16
    assert gap(found, right) < max(0.01, 1.5 * gap(hidden(theirs, tokens()), right))
    assert all(steps[name].dtype == others[name].dtype for name in slopes)
    # One weight's gap is chance; that of all of them is not.
    ours, theirs = ([gap(gradient[name], slope) for name, slope in slopes.items()] for gradient in (steps, others))  # type: ignore[assignment]
    assert statistics.mean(ours) < max(0.01, 1.1 * statistics.mean(theirs))
    assert max(ours) < max(0.02, 1.5 * max(theirs))


@pytest.mark.parametrize("has", [False, True])
def test_bfloat16_where_the_processor_has_it_and_where_not(has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora, "has_bfloat16", lambda device: has)
    x, weight, bias = (torch.randn(*shape).bfloat16() for shape in ((5, 7), (3, 7), (3,)))
    found = lora.product(x, weight, bias)
    assert lora.working(x) == (torch.bfloat16 if has else torch.float32)
    assert found.dtype == torch.bfloat16
    assert gap(found, x.double() @ weight.double().T + bias.double()) < 0.01
    plain = nn.Sequential(nn.Linear(7, 3)).bfloat16()
    expected = plain(x)
    lora.use(plain)
    assert ("forward" in vars(plain[0])) is not has
    assert gap(plain(x), expected) < 0.01


def test_the_active_adapter_and_none() -> None:
    ours, theirs = models(adapters=("one", "two"))
    found = {}
    for name in ("one", "two"):
        ours.set_adapter(name)
        theirs.set_adapter(name)
        found[name] = hidden(ours, tokens())
        torch.testing.assert_close(found[name], hidden(theirs, tokens()), atol=1e-6, rtol=1e-6)
    with ours.disable_adapter(), theirs.disable_adapter():
        found["none"] = hidden(ours, tokens())
        torch.testing.assert_close(found["none"], hidden(theirs, tokens()), atol=1e-6, rtol=1e-6)
    assert min(gap(found[a], found[b]) for a, b in (("one", "two"), ("two", "none"), ("none", "one"))) > 0.01


def test_merged_and_several_at_once() -> None:
    ours, theirs = models(adapters=("one", "two"))
    both = [model.base_model.set_adapter(["one", "two"]) for model in (ours, theirs)]  # type: ignore[operator]
    assert len(both) == 2
    torch.testing.assert_close(hidden(ours, tokens()), hidden(theirs, tokens()), atol=1e-6, rtol=1e-6)
    for model in (ours, theirs):
        model.set_adapter("one")
        model.merge_adapter()
    torch.testing.assert_close(hidden(ours, tokens()), hidden(theirs, tokens()), atol=1e-6, rtol=1e-6)


def alone(layer: Linear, name: str, x: Tensor) -> Tensor:
    """PEFT's forward with this one active, or none."""
    if name == "__base__":
        return layer.base_layer(x)
    before = layer.active_adapters
    layer.set_adapter(name)
    found = layer(x)
    layer.set_adapter(before)
    return found


@torch.no_grad()
def test_several_adapters_in_one_pass_as_peft_mixes_them() -> None:
    ours, theirs = models(adapters=("one", "two"))
    names = ["one", "__base__", "two", "two"]
    for one, other in zip(ours.modules(), theirs.modules(), strict=True):
        if type(one) is lora.Linear:  # type: ignore[attr-defined]
            x = torch.randn(4, 5, other.in_features)  # type: ignore[call-overload]
            with mixed([("one", 0, 5), (None, 5, 10), ("two", 10, 20)]):
                found = one(x.view(1, 20, -1)).view(4, 5, -1)
            torch.testing.assert_close(found, other(x, adapter_names=names), atol=1e-5, rtol=1e-5)


MIXED = [{}, {"use_rslora": True}, {"use_dora": True}, {"lora_bias": True}, {"bias": True}, {"lora_dropout": 0.5}]


@pytest.mark.parametrize("options", MIXED, ids=str)
@torch.no_grad()
def test_several_adapters_in_one_pass(options: dict[str, Any]) -> None:
    """One adapter at a time for PEFT; for us the same tokens in slices of one row, through every linear layer."""
    ours, theirs = models(adapters=("one", "two"), **options)
    names = ["one", "__base__", "two", "two"]
    layers = [(a, b) for a, b in zip(ours.modules(), theirs.modules(), strict=True) if type(a) is lora.Linear]  # type: ignore[attr-defined]
    assert len(layers) == 2 * len(TARGETS)
    for one, other in layers:
        x = torch.randn(4, 5, other.in_features)  # type: ignore[call-overload]
        expected = torch.stack([alone(other, name, row) for name, row in zip(names, x, strict=True)])  # type: ignore[arg-type]
        parts = [("one", 0, 5), (None, 5, 10), ("two", 10, 20)]
        with mixed(parts):
            found = one(x.view(1, 20, -1))
        torch.testing.assert_close(found.view(4, 5, -1), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(one(x), other(x), atol=1e-5, rtol=1e-5)  # outside the active one serves again


@pytest.mark.parametrize("options", MIXED, ids=str)
@torch.no_grad()
def test_adapters_together_give_what_they_give_one_by_one(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of different ranks, with tokens of the base model in between, adapters that come later, and weights that change."""
    ours, _ = models(adapters=("one", "two", "three"), **options)
    layers: list[Any] = [layer for layer in ours.modules() if type(layer) is lora.Linear]  # type: ignore[attr-defined]
    some, all_three = [("one", 0, 3), (None, 3, 5), ("two", 5, 9)], [("two", 0, 1), ("three", 1, 6), ("one", 6, 9)]
    for parts in (some, all_three, some):
        for layer in layers:
            x = torch.randn(1, 9, layer.in_features)
            layer.lora_A["two"].weight.mul_(1.1)
            results = []
            for together in (True, False):
                monkeypatch.setattr(grouped, "pays", lambda tokens, names, together=together: together and bool(names))
                with mixed(parts):
                    results.append(layer(x))
            torch.testing.assert_close(*results, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_stack_is_made_again_only_where_an_adapter_is_new_or_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouped, "pays", lambda tokens, names: True)
    ours, _ = models(adapters=("one", "two", "three"))
    layer: Any = next(layer for layer in ours.modules() if type(layer) is lora.Linear)  # type: ignore[attr-defined]

    def stack(*names: str) -> Any:
        with mixed([(name, i, i + 1) for i, name in enumerate(names)]):
            layer(torch.randn(1, len(names), layer.in_features))
        return grouped._stacks[layer]

    first = stack("one", "two", "three")
    assert stack("three", "one") is first
    layer.lora_B["two"].weight.add_(1)
    assert stack("three", "one") is first
    assert stack("two", "one") is not first


@torch.no_grad()
def test_an_adapter_that_leaves_layers_out() -> None:
    ours, theirs = models(adapters=("one",))
    for model in (ours, theirs):
        model.add_adapter("few", LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        mine.copy_(other)
    lora.use(ours)
    for one, other in zip(ours.modules(), theirs.modules(), strict=True):  # type: ignore[assignment]
        if type(one) is lora.Linear:  # type: ignore[attr-defined]
            x = torch.randn(2, 5, other.in_features)  # type: ignore[attr-defined]
            with mixed([("few", 0, 5), ("one", 5, 10)]):
                found = one(x.view(1, 10, -1)).view(2, 5, -1)
            torch.testing.assert_close(found, other(x, adapter_names=["few", "one"]), atol=1e-5, rtol=1e-5)  # type: ignore[operator]
