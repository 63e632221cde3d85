"""Attention in segments against attention under a mask; a loop over the segments stands for the kernel of a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional as F

from detente.backbone import attention
from detente.learning import packing, segments
from detente.learning.packing import TreeAttention, tree
from detente.learning.stem import After, Stem

CPU = torch.device("cpu")


def looped(query: Any, key: Any, value: Any, of: Any, scale: float | None, *, from_the_end: bool = True) -> Any:
    """What the kernel is said to compute, segment by segment."""
    ends = [x.tolist() for x in (of.queries_to, of.keys_to)]
    parts = []
    for i in range(len(ends[0]) - 1):
        q = query[ends[0][i] : ends[0][i + 1]]
        k, v = (x[ends[1][i] : ends[1][i + 1]] for x in (key, value))
        seen = torch.ones(len(q), len(k), dtype=torch.bool).tril(len(k) - len(q) if from_the_end else 0)
        q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
        parts.append(F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale, enable_gqa=True)[0].transpose(0, 1))
    return torch.cat(parts)


CHATS = [np.array(chat) for chat in ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [1, 2, 3, 8], [1, 2, 3, 8, 9], [7, 7])]


def test_the_segments_of_a_tree_by_hand() -> None:
    found = TreeAttention(tree(CHATS), CPU)._segments
    assert found.keys.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 5, 0, 1, 2, 5, 6, 7, 8]
    assert found.queries_to.tolist() == [0, 5, 6, 7, 9]  # the second chat has no token of its own
    assert found.keys_to.tolist() == [0, 5, 9, 14, 16]
    assert found.queries_to.dtype == found.keys_to.dtype == torch.int32
    assert found.most == (5, 5)
    after = TreeAttention(tree(CHATS[:4], stem=2), CPU)._segments
    assert after.keys.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 5, 0, 1, 2, 5, 6]
    assert after.queries_to.tolist() == [0, 3, 4, 5]


@pytest.mark.parametrize("stem", [0, 3])
def test_segments_equal_blocks_in_outputs_and_gradients(stem: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    sizes: Any = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.LlamaConfig(**sizes, num_key_value_heads=2, head_dim=8)
    model: Any = transformers.AutoModelForCausalLM.from_config(config).eval()
    attention.use(model)
    rng = np.random.default_rng(0)
    chats = [np.concatenate([CHATS[0][:3], rng.integers(5, 7, n)]) for n in (4, 9, 1, 6, 12)]
    packed = tree(sorted(chats, key=lambda chat: chat.tolist()), stem)
    results = []
    for fused in (False, True):
        calls: list[int] = []
        monkeypatch.setattr(packing, "usable", lambda query, key, fused=fused: fused)
        monkeypatch.setattr(segments, "kernel", lambda *given, calls=calls: calls.append(1) or looped(*given))
        first, plan = Stem(), TreeAttention(packed, CPU)
        if stem:
            inputs = attention.arguments(first, torch.arange(stem))
            model.get_decoder()(input_ids=torch.from_numpy(chats[0][:stem])[None], **inputs)
        inputs = attention.arguments(After(first, plan) if stem else plan, torch.from_numpy(packed.positions))
        hidden = model.get_decoder()(input_ids=torch.from_numpy(packed.tokens)[None], **inputs).last_hidden_state[0]
        model.zero_grad()
        F.gelu(hidden).sum().backward()
        first.backward()
        results.append([hidden.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
        assert len(calls) == (2 if fused else 0)  # one call a layer
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_kernel_is_used_only_if_it_computes_what_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(kernel: Any) -> bool:
        segments.agrees.cache_clear()
        monkeypatch.setattr(segments, "kernel", kernel)
        return segments.agrees(CPU, torch.bfloat16, 4, 2, 8)

    def missing(*given: Any) -> Any:
        raise TypeError("varlen_attn() got an unexpected keyword argument 'enable_gqa'")

    assert tried(looped)
    assert not tried(lambda *given: looped(*given, from_the_end=False))
    assert not tried(missing)
    segments.agrees.cache_clear()


def test_a_processor_has_no_such_kernel() -> None:
    assert not segments.usable(torch.zeros(3, 4, 8, dtype=torch.bfloat16), torch.zeros(3, 2, 8, dtype=torch.bfloat16))
