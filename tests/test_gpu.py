"""What only a GPU can show, on small models: engine and learner are one distribution there, and memory is given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def device() -> str:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return "cuda"


@pytest.mark.parametrize(("dtype", "gap"), [("float32", 1e-4), ("bfloat16", 5e-2)])
def test_engine_and_learner_agree(open_run: Callable[..., Any], device: str, dtype: str, gap: float) -> None:
    run = open_run(device=device, dtype=dtype).shake(size=0.2)
    run.session.publish()
    learner = run.session.learners["main"]
    from detente.learning.batch import trajectories

    chats = trajectories(run.play(), "main", 1.0, run.engine.grammar)
    seen = learner.gradients(chats, 0.0)
    assert seen is not None
    drawn = sum(len(chat.drawn) for chat in seen.batch)
    assert seen.sums["mismatch/mean_abs"] / drawn < gap


def test_the_cache_is_given_back_after_play(open_run: Callable[..., Any], device: str) -> None:
    import torch

    run = open_run(device=device)
    run.session.publish()
    run.play()
    before = torch.cuda.memory_allocated()
    run.play()
    assert torch.cuda.memory_allocated() <= before + (1 << 20)


def test_adapters_together_are_those_one_by_one(device: str) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from torch import nn

    from detente.backbone import grouped, lora

    model: Any = get_peft_model(nn.Sequential(nn.Linear(64, 96)), LoraConfig(target_modules=["0"], init_lora_weights=False), "a")
    for name in ("b", "c"):
        model.add_adapter(name, LoraConfig(r=16, target_modules=["0"], init_lora_weights=False))
    model = model.to(device)
    lora.use(model)
    layer = model.base_model.model[0]
    tokens = torch.randn(1, 9, 64, device=device)
    parts: list[grouped.Part] = [("a", 0, 3), (None, 3, 4), ("b", 4, 8), ("c", 8, 9)]
    with torch.no_grad(), lora.mixed(parts):
        together = layer(tokens)
        assert grouped._stacks[layer].columns
    with torch.no_grad():
        for owner, start, stop in parts:
            with lora.mixed([(owner, 0, stop - start)]):
                torch.testing.assert_close(together[:, start:stop], layer(tokens[:, start:stop]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("heads", "groups", "size"), [(14, 2, 64), (28, 4, 128)])
def test_the_fused_kernel_computes_what_blocks_do(device: str, heads: int, groups: int, size: int) -> None:
    import numpy as np
    import torch

    from detente.learning import segments
    from detente.learning.packing import TreeAttention, tree

    where = torch.device(device)
    if torch.cuda.get_device_capability(where) < (8, 0):
        pytest.skip("the kernel needs compute capability 8.0")
    rng = np.random.default_rng(0)
    chats = [np.concatenate([np.arange(300), rng.integers(5, 9, n)]) for n in (40, 300, 7, 129)]
    packed = tree(sorted(chats, key=lambda chat: chat.tolist()))
    states = [torch.randn(1, n, len(packed.tokens), size, device=where, dtype=torch.bfloat16) for n in (heads, groups, groups)]
    results = []
    for fused in (True, False):
        query, key, value = (x.clone().requires_grad_() for x in states)
        plan = TreeAttention(packed, where)
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
        assert segments.usable(q, k)
        if fused:
            output = plan._segments.attend(q, k, v, None)
        else:
            output = torch.cat([block.attend(q, k, v, None) for block in plan.blocks])[plan._from]
        results.append([output, *torch.autograd.grad(output.float().square().sum(), (query, key, value))])
    for one, other in zip(*results, strict=True):
        assert float((one - other).norm()) < 0.02 * float(other.norm())
