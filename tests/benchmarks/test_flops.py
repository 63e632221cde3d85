"""The count of operations, by hand and against PyTorch's own counter."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import flops
from benchmarks.flops import Shape, Work

RANK = 3


def chat(tokens: Any, drawn: Any) -> Any:
    return SimpleNamespace(tokens=np.array(tokens), drawn=np.array(drawn))


def test_every_chat_on_its_own() -> None:
    # read are 1 2 3 (the drawn 4 need not be) and 1 2
    found = [chat([1, 2, 3, 4, 9], [1, 3]), chat([1, 2, 5], [2])]
    assert flops.separate(found) == Work(tokens=3 + 2, pairs=(1 + 2 + 3) + (1 + 2), drawn=3)


def test_common_prefixes_count_once() -> None:
    # the tree holds 1, 1 2, 1 2 3, 1 2 7, 1 2 7 7; of the drawn tokens two are predicted by the same node, 1 2
    found = [chat([1, 2, 3, 4], [1, 3]), chat([1, 2, 5], [2]), chat([1, 2, 7, 7, 0], [2, 4])]
    assert flops.shared(found) == Work(tokens=5, pairs=1 + 2 + 3 + 3 + 4, drawn=4)


def test_the_order_of_chats_does_not_matter() -> None:
    found = [chat([1, 2, 3, 4], [1, 3]), chat([5, 2, 5], [2]), chat([1, 2, 7, 7, 0], [2, 4]), chat([1], [])]
    assert flops.shared(found) == flops.shared(found[::-1])


def test_parts_by_hand() -> None:
    shape = Shape(linears=((2, 3), (3, 5)), first=((2, 3),), layers=1, attended=4, hidden=2, vocab=10)
    parts = flops.count(shape, Work(tokens=7, pairs=11, drawn=2), rank=1, reference=True)
    assert parts["policy, linear layers"] == parts["reference, linear layers"] == 2 * 7 * (2 * 3 + 3 * 5)
    assert parts["backward, linear layers"] == 2 * 7 * 3 * 5  # nothing trains below the first one
    assert parts["policy, LoRA"] == 2 * 7 * (2 + 3 + 3 + 5)
    assert parts["backward, LoRA"] == 2 * 7 * (2 * 13 - 2)
    assert parts["policy, attention"] == 2 * 2 * 11 * 4
    assert parts["backward, attention"] == 2 * parts["policy, attention"]
    assert parts["policy, head"] == parts["backward, head"] == 2 * 2 * 10 * 2
    without = flops.count(shape, Work(7, 11, 2), rank=1, reference=False)
    assert {name: value for name, value in parts.items() if not name.startswith("reference")} == without


def test_against_the_counter_of_torch() -> None:
    config = LlamaConfig(  # type: ignore[call-arg]
        vocab_size=50,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=6,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).eval()
    shape = flops.shape_of(model)
    model = get_peft_model(model, LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM"))
    found = [chat(range(17), [4, 9, 16])]
    work, length = flops.separate(found), 16
    tokens, before = torch.arange(length)[None], torch.tensor([3, 8, 15])

    def logits() -> Any:
        hidden = model.get_base_model().get_decoder()(input_ids=tokens, use_cache=False).last_hidden_state  # type: ignore[operator]
        return model.get_output_embeddings()(hidden[0, before])

    with FlopCounterMode(display=False) as counter:
        with torch.no_grad(), model.disable_adapter():
            logits()
        logits().logsumexp(-1).sum().backward()
    # The counter sees whole squares of attention, where half of one is needed.
    parts = flops.count(shape, work, rank=RANK, reference=True, pairs=length**2)
    assert sum(parts.values()) == counter.get_total_flops()
    assert work.pairs == length * (length + 1) / 2


@pytest.mark.parametrize("size", [64, 300])
def test_the_peak_is_a_speed(size: int) -> None:
    peak = flops.product_peak(torch.float32, "cpu", repeats=3, size=size)
    assert 1e6 < peak["flops_per_s"] <= peak["greatest"] < 1e14
