"""A pass over a tree of chats against plain passes over every chat: outputs and gradients, on models of several families."""

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional as F

from detente.engines import attention
from detente.learning import packing
from detente.learning.packing import TreeAttention, packs, shared_start, tree

CPU = torch.device("cpu")
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
GROUPED = SIZES | {"num_key_value_heads": 2, "head_dim": 8}
FAMILIES = {
    "llama": lambda: transformers.LlamaConfig(**GROUPED),
    "qwen2": lambda: transformers.Qwen2Config(**SIZES, num_key_value_heads=1),
    "qwen3": lambda: transformers.Qwen3Config(**GROUPED),
    "gemma3": lambda: transformers.Gemma3TextConfig(**GROUPED, sliding_window=256),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(**SIZES),
    "olmo2": lambda: transformers.Olmo2Config(**SIZES, num_key_value_heads=4),
}


def chats_with_shared_starts(seed=0, rules=40, count=12):
    """Chats over a few words that share rules and then part, some early and some late, some not at all."""
    rng = np.random.default_rng(seed)
    start = rng.integers(5, 60, rules)
    found = [np.concatenate([start, rng.integers(5, 7, n)]) for n in rng.integers(1, 30, count)]
    found += [start[:25], found[0], found[0][:-1], rng.integers(5, 60, 33), rng.integers(5, 60, 3)]
    return found


def test_a_tree_by_hand():
    packed = tree([np.array(chat) for chat in ([1, 2, 3, 4, 5], [1, 2, 3, 8], [1, 2, 3, 8, 9], [1, 2, 3, 8, 9], [7])])
    assert packed.tokens.tolist() == [1, 2, 3, 4, 5, 8, 9, 7]
    assert packed.positions.tolist() == [0, 1, 2, 3, 4, 3, 4, 0]
    assert packed.known == (0, 3, 4, 5, 0)
    assert [places.tolist() for places in packed.places] == [[0, 1, 2, 3, 4], [0, 1, 2, 5], [0, 1, 2, 5, 6], [0, 1, 2, 5, 6], [7]]
    with pytest.raises(ValueError, match="in the order of their tokens"):
        tree([np.array([1, 3]), np.array([1, 2])])


def test_no_beginning_stands_twice():
    chats = chats_with_shared_starts()
    (order,) = packs(chats, 1 << 20)
    packed = tree([chats[i] for i in order])
    assert len(packed.tokens) == len({tuple(chat[: n + 1]) for chat in chats for n in range(len(chat))})
    for i, places in zip(order, packed.places, strict=True):
        assert packed.tokens[places].tolist() == chats[i].tolist()
        assert packed.positions[places].tolist() == list(range(len(chats[i])))


@pytest.mark.parametrize("limit", [1, 60, 100, 400])
def test_packs_keep_to_the_limit_and_lose_no_chat(limit):
    chats = [*chats_with_shared_starts(), np.zeros(0, dtype=np.int64)]
    found = list(packs(chats, limit))
    assert sorted(i for pack in found for i in pack) == list(range(len(chats) - 1))  # an empty chat has nothing to compute
    for pack in found:
        sizes = [len(tree([chats[i] for i in pack[: n + 1]]).tokens) for n in range(len(pack))]
        assert sizes[-1] <= limit or sizes[-1] == sizes[0]


def test_shared_start():
    a = np.array([1, 2, 3])
    assert [shared_start(a, np.array(b, dtype=np.int64)) for b in ([], [1], [1, 2, 3], [1, 2, 3, 4], [2, 2, 3], [1, 2, 4])] == [
        *(0, 1, 3, 3, 0, 2)
    ]


def plain(model, chats, weights):
    """The plain way: a pass for every chat."""
    outputs = [model.get_decoder()(input_ids=torch.from_numpy(chat)[None], use_cache=False).last_hidden_state[0] for chat in chats]
    sum((F.gelu(x) * w).sum() for x, w in zip(outputs, weights, strict=True)).backward()
    return outputs, [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def packed(model, chats, weights, limit):
    """The same through trees of at most ``limit`` tokens."""
    outputs = [None] * len(chats)
    for pack in packs(chats, limit):
        one = tree([chats[i] for i in pack])
        plan = TreeAttention(one, CPU)
        inputs = attention.arguments(plan, torch.from_numpy(one.positions))
        hidden = model.get_decoder()(input_ids=torch.from_numpy(one.tokens)[None], **inputs).last_hidden_state[0]
        for i, places in zip(pack, one.places, strict=True):
            outputs[i] = hidden[torch.from_numpy(places)]
        sum((F.gelu(outputs[i]) * weights[i]).sum() for i in pack).backward()
    return outputs, [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("block", [packing.BLOCK, 600])
@pytest.mark.parametrize("limit", [1 << 20, 150])
@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_and_gradients_are_those_of_every_chat_on_its_own(family, limit, block, monkeypatch):
    monkeypatch.setattr(packing, "BLOCK", block)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(FAMILIES[family]()).eval()
    chats = chats_with_shared_starts()
    weights = [torch.randn(len(chat), 32) for chat in chats]
    expected, slopes = plain(model, chats, weights)
    model.zero_grad()
    attention.use(model)
    found, gradients = packed(model, chats, weights, limit)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert len(gradients) == len(slopes) > 10
    for one, other in zip(gradients, slopes, strict=True):
        assert float((one - other).norm() / other.norm()) < 1e-5


def test_nothing_is_computed_twice():
    """The linear layers see every distinct beginning once."""
    model = transformers.AutoModelForCausalLM.from_config(FAMILIES["llama"]()).eval()
    attention.use(model)
    rows = []
    model.get_decoder().layers[0].mlp.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].shape[1]))
    chats = chats_with_shared_starts()
    packed(model, chats, [torch.ones(len(chat), 32) for chat in chats], 1 << 20)
    assert rows == [len({tuple(chat[: n + 1]) for chat in chats for n in range(len(chat))})]
    assert rows[0] < sum(map(len, chats)) / 2
