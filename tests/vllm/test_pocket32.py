"""The model that vLLM's CPU build can serve is pocket."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from detente import pocket


def test_it_is_the_same_function(pocket32: str) -> None:
    small, wide = (AutoModelForCausalLM.from_pretrained(f) for f in (Path(pocket.__file__).parent / "model", pocket32))
    tokens = torch.randint(4, 1500, (1, 400), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = (model(tokens).logits.log_softmax(-1) for model in (small, wide))
    assert (ours - theirs).abs().max() < 5e-4
