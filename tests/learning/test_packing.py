"""A pass over a tree of chats against plain passes over every chat: outputs and gradients, on models of several families."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional as F

from detente.backbone import attention
from detente.learning import packing
from detente.learning.packing import TreeAttention, bundles, common_prefix, tree
from detente.learning.stem import After, Stem

CPU = torch.device("cpu")
SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
GROUPED: dict[str, Any] = SIZES | {"num_key_value_heads": 2, "head_dim": 8}
FAMILIES = {
    "llama": lambda: transformers.LlamaConfig(**GROUPED),
    "qwen2": lambda: transformers.Qwen2Config(**SIZES, num_key_value_heads=1),
    "qwen3": lambda: transformers.Qwen3Config(**GROUPED),
    "gemma3": lambda: transformers.Gemma3TextConfig(**GROUPED, sliding_window=256),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SIZES),
    "olmo2": lambda: transformers.Olmo2Config(**SIZES, num_key_value_heads=4),
}


def chats_with_shared_prefixes(seed: int = 0, rules: int = 40, count: int = 12) -> Any:
    """Chats over a few words that share rules and then part, some early and some late, some not at all."""
    rng = np.random.default_rng(seed)
    start = rng.integers(5, 60, rules)
    found = [np.concatenate([start, rng.integers(5, 7, n)]) for n in rng.integers(1, 30, count)]
    found += [start[:25], found[0], found[0][:-1], rng.integers(5, 60, 33), rng.integers(5, 60, 3)]
    return found


def test_a_tree_by_hand() -> None:
    packed = tree([np.array(chat) for chat in ([1, 2, 3, 4, 5], [1, 2, 3, 8], [1, 2, 3, 8, 9], [1, 2, 3, 8, 9], [7])])
    assert packed.tokens.tolist() == [1, 2, 3, 4, 5, 8, 9, 7]
    assert packed.positions.tolist() == [0, 1, 2, 3, 4, 3, 4, 0]
    assert packed.known == (0, 3, 4, 5, 0)
    assert [places.tolist() for places in packed.places] == [[0, 1, 2, 3, 4], [0, 1, 2, 5], [0, 1, 2, 5, 6], [0, 1, 2, 5, 6], [7]]
    with pytest.raises(ValueError, match="in the order of their tokens"):
        tree([np.array([1, 3]), np.array([1, 2])])


def test_a_tree_after_a_stem_by_hand() -> None:
    packed = tree([np.array(chat) for chat in ([1, 2, 3, 4, 5], [1, 2, 3, 8], [1, 2, 9])], stem=2)
    assert packed.tokens.tolist() == [3, 4, 5, 8, 9]
    assert packed.positions.tolist() == [2, 3, 4, 3, 2]
    assert packed.known == (2, 3, 2)
    assert [places.tolist() for places in packed.places] == [[-2, -1, 0, 1, 2], [-2, -1, 0, 3], [-2, -1, 4]]
    for others in ([1, 3], [1, 2]):
        with pytest.raises(ValueError, match="begins with the stem of 2"):
            tree([np.array([1, 2, 3]), np.array(others)], stem=2)


def test_no_beginning_stands_twice() -> None:
    chats = chats_with_shared_prefixes()
    ((order,), stem, tokens) = bundles(chats, [1 << 20] * len(chats), 1 << 20)[0]
    assert (stem, tokens) == (0, len({tuple(chat[: n + 1]) for chat in chats for n in range(len(chat))}))
    packed = tree([chats[i] for i in order])
    assert len(packed.tokens) == len({tuple(chat[: n + 1]) for chat in chats for n in range(len(chat))})
    for i, places in zip(order, packed.places, strict=True):
        assert packed.tokens[places].tolist() == chats[i].tolist()
        assert packed.positions[places].tolist() == list(range(len(chats[i])))


@pytest.mark.parametrize("limit", [1, 60, 100, 400])
def test_passes_keep_to_the_limit_and_lose_no_chat(limit: int) -> None:
    chats = [*chats_with_shared_prefixes(), np.zeros(0, dtype=np.int64)]
    found = bundles(chats, [max(0, len(chat) - 1) for chat in chats], limit)
    assert sorted(i for one in found for members in one.passes for i in members) == list(range(len(chats) - 1))
    for one in found:
        computed = one.stem
        for members in one.passes:
            sizes = [one.stem + len(tree([chats[i] for i in members[: n + 1]], one.stem).tokens) for n in range(len(members))]
            assert sizes[-1] <= limit or sizes[-1] == sizes[0]
            computed += sizes[-1] - one.stem
        assert computed == one.tokens
        assert (one.stem > 0) <= (len(one.passes) > 1)


def test_the_chats_are_cut_where_that_saves_most() -> None:
    """Two seats, whose rules differ from the start; by hand."""
    chats = [np.array([seat] * 20 + [seat, answer] + [9] * 8) for seat in (1, 2) for answer in (3, 4, 5)]
    found = bundles(chats, [21] * 6, 50)  # 30 tokens each, and 9 more for each of a kind: two in 39, three in 48
    assert found == [((((0, 1, 2), (3, 4, 5))), 0, 96)]
    found = bundles(chats, [21] * 6, 40)
    assert found == [(((0, 1), (2,)), 21, 21 + 27), (((3, 4), (5,)), 21, 21 + 27)]
    found = bundles(chats, [5] * 6, 40)  # only the first five may be in a stem
    assert found == [(((0, 1), (2,)), 5, 5 + 34 + 25), (((3, 4), (5,)), 5, 5 + 34 + 25)]
    assert bundles(chats, [0] * 6, 40) == [(((0, 1), (2,), (3, 4), (5,)), 0, 39 + 30 + 39 + 30)]
    assert bundles([], [], 40) == []


def test_common_prefix() -> None:
    a = np.array([1, 2, 3])
    assert [common_prefix(a, np.array(b, dtype=np.int64)) for b in ([], [1], [1, 2, 3], [1, 2, 3, 4], [2, 2, 3], [1, 2, 4])] == [
        *(0, 1, 3, 3, 0, 2)
    ]


def plain(model: Any, chats: Any, weights: Any) -> Any:
    """The plain way: a pass for every chat."""
    outputs = [model.get_decoder()(input_ids=torch.from_numpy(chat)[None], use_cache=False).last_hidden_state[0] for chat in chats]
    sum((F.gelu(x) * w).sum() for x, w in zip(outputs, weights, strict=True)).backward()
    return outputs, [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def packed(model: Any, chats: Any, weights: Any, limit: Any, leads: Any) -> Any:
    """The same through trees of at most ``limit`` tokens, and stems."""

    def run(tokens: Any, plan: Any, positions: Any) -> Any:
        inputs = attention.arguments(plan, torch.from_numpy(positions))
        return model.get_decoder()(input_ids=torch.from_numpy(tokens)[None], **inputs).last_hidden_state[0]

    outputs = [None] * len(chats)
    for passes, length, _ in bundles(chats, leads, limit):
        stem = Stem()
        if length:
            run(chats[passes[0][0]][:length], stem, np.arange(length))
        for members in passes:
            one = tree([chats[i] for i in members], length)
            plan = TreeAttention(one, CPU)
            hidden = run(one.tokens, After(stem, plan) if length else plan, one.positions)
            for i, places in zip(members, one.places, strict=True):
                outputs[i] = hidden[torch.from_numpy(places[length:])]
            sum((F.gelu(outputs[i]) * weights[i][length:]).sum() for i in members).backward()  # type: ignore[arg-type, attr-defined]
        stem.backward()
    return outputs, [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize(("block", "piece"), [(packing.BLOCK, packing.PIECE), (600, 7)])
@pytest.mark.parametrize("limit", [1 << 20, 150, 50])
@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_and_gradients_are_those_of_every_chat_on_its_own(
    family: Any, limit: int, block: Any, piece: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "BLOCK", block)
    monkeypatch.setattr(packing, "PIECE", piece)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(FAMILIES[family]()).eval()
    chats = chats_with_shared_prefixes()
    read = [20] * (len(chats) - 2) + [0, 0]  # two chats have nothing in common with others
    stems = [one.stem for one in bundles(chats, read, limit)]
    assert (max(stems) == 20) == (limit < 1 << 20)
    weights = [torch.randn(len(chat), 32) for chat in chats]
    for one in bundles(chats, read, limit):
        for i in (i for members in one.passes for i in members):
            weights[i][: one.stem] = 0  # what is in a stem is not read
    expected, slopes = plain(model, chats, weights)
    model.zero_grad()
    attention.use(model)
    found, gradients = packed(model, chats, weights, limit, read)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other[len(other) - len(one) :], atol=1e-5, rtol=1e-5)
    assert len(gradients) == len(slopes) > 10
    for one, other in zip(gradients, slopes, strict=True):
        assert float((one - other).norm() / other.norm()) < 1e-5


def test_nothing_is_computed_twice() -> None:
    """The linear layers see every distinct beginning once; over several passes, every stem once."""
    model = transformers.AutoModelForCausalLM.from_config(FAMILIES["llama"]()).eval()
    attention.use(model)
    rows = []
    model.get_decoder().layers[0].mlp.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape[1]))
    chats = chats_with_shared_prefixes()
    weights = [torch.ones(len(chat), 32) for chat in chats]
    packed(model, chats, weights, 1 << 20, [0] * len(chats))
    assert rows == [len({tuple(chat[: n + 1]) for chat in chats for n in range(len(chat))})]
    assert rows[0] < sum(map(len, chats)) / 2
    rows.clear()
    leads = [len(chat) - 1 for chat in chats]
    packed(model, chats, weights, 100, leads)
    assert sum(rows) == sum(one.tokens for one in bundles(chats, leads, 100))
    without = sum(one.tokens for one in bundles(chats, [0] * len(chats), 100))
    assert sum(rows) < without
