"""The floating-point operations that an update cannot do without, counted by part, and how fast this machine multiplies matrices.

    trajectories ── work ──> tokens, attended keys, drawn ── count ──> {part: operations} ── / seconds / peak ──> share of the peak

Counted are the matrix products alone; a product of (m, k) and (k, n) is 2 m k n operations. ``separate`` takes every chat on its
own; ``shared`` takes what chats have in common at their start once, as often as there are distinct (prefix, token) pairs. Tokens
after the last drawn one, and that one itself, need not be read.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.common import synchronise

FIRST = re.compile(r"(^|\.)layers\.0\.self_attn\.(q|k|v|qkv)_proj$")  # their input is the embedding, which needs no gradient


@dataclass(frozen=True)
class Shape:
    """Of a decoder: the sizes (in, out) of its linear layers, of those that read the embedding, and of attention and head."""

    linears: tuple[tuple[int, int], ...]
    first: tuple[tuple[int, int], ...]  # also among ``linears``
    layers: int
    attended: int  # heads times the size of a head
    hidden: int
    vocab: int


@dataclass(frozen=True)
class Work:
    """Of some trajectories: tokens that are read, (token, earlier or same token) pairs, and positions whose logits count."""

    tokens: int
    pairs: int
    drawn: int


def shape_of(model: Any) -> Shape:
    """The shape of a Transformers causal language model without adapters."""
    decoder, config = model.get_decoder(), model.config.get_text_config()
    named = [(name, (m.in_features, m.out_features)) for name, m in decoder.named_modules() if isinstance(m, nn.Linear)]
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shape(
        linears=tuple(sizes for _, sizes in named),
        first=tuple(sizes for name, sizes in named if FIRST.search(name)),
        layers=config.num_hidden_layers,
        attended=config.num_attention_heads * size,
        hidden=config.hidden_size,
        vocab=model.get_output_embeddings().weight.shape[0],
    )


def separate(found: Sequence[Any]) -> Work:
    """Every trajectory on its own."""
    lengths = [_needed(one) for one in found]
    return Work(sum(lengths), sum(n * (n + 1) // 2 for n in lengths), sum(len(one.drawn) for one in found))


def shared(found: Sequence[Any]) -> Work:
    """Common prefixes once. In sorted order a chat adds to the tree what it does not have in common with the one before it."""
    chats = sorted((one.tokens[: _needed(one)].tolist(), one.drawn.tolist()) for one in found)
    tokens = pairs = 0
    nodes: list[int] = []  # of the chat before, one per token
    before: list[int] = []
    read: set[int] = set()  # nodes whose logits count
    for chat, drawn in chats:
        same = next((i for i, (a, b) in enumerate(zip(before, chat, strict=False)) if a != b), min(len(before), len(chat)))
        nodes = nodes[:same] + list(range(tokens, tokens + len(chat) - same))
        tokens += len(chat) - same
        pairs += (len(chat) * (len(chat) + 1) - same * (same + 1)) // 2
        read |= {nodes[position - 1] for position in drawn}
        before = chat
    return Work(tokens, pairs, len(read))


def _needed(one: Any) -> int:
    return int(one.drawn.max()) if len(one.drawn) else 0


def count(shape: Shape, work: Work, *, rank: int, reference: bool, pairs: float | None = None) -> dict[str, float]:
    """Operations by part; ``rank`` is LoRA's, on every linear layer of the decoder. ``pairs`` replaces those of the work."""
    weights, first = (sum(i * o for i, o in sizes) for sizes in (shape.linears, shape.first))
    down, up = rank * sum(i for i, _ in shape.linears), rank * sum(o for _, o in shape.linears)
    linear, tokens = 2 * weights * work.tokens, 2 * work.tokens
    attention = 4 * shape.layers * shape.attended * (work.pairs if pairs is None else pairs)  # scores, then values
    head = 2 * shape.hidden * shape.vocab * work.drawn
    parts: dict[str, float] = {}
    if reference:
        parts |= {"reference, linear layers": linear, "reference, attention": attention, "reference, head": head}
    parts |= {
        "policy, linear layers": linear,
        "policy, LoRA": tokens * (down + up),
        "policy, attention": attention,
        "policy, head": head,
        # With respect to what came in, not to the frozen weights.
        "backward, linear layers": tokens * (weights - first),
        # With respect to what came in and to the two matrices.
        "backward, LoRA": tokens * (2 * (down + up) - rank * sum(i for i, _ in shape.first)),
        "backward, attention": 2 * attention,
        "backward, head": head,
    }
    return parts


def product_peak(dtype: torch.dtype, device: str, repeats: int = 7, size: int | None = None) -> dict[str, float]:
    """Operations per second of a matrix product, 2048^3 on a CPU and 8192^3 on a GPU (2048^3 does not fill one).

    Smaller where that would take seconds: a CPU without bfloat16 instructions multiplies such matrices hundreds of times slower.
    """
    goal = size or (8192 if device.startswith("cuda") else 2048)
    n = min(256, goal)
    while True:
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        once = _product(a, b, device)
        if n >= goal or 8 * once > 1:
            break
        n *= 2
    times = [_product(a, b, device) for _ in range(repeats)]
    return {"size": n, "flops_per_s": 2 * n**3 / statistics.median(times), "greatest": 2 * n**3 / float(np.min(times))}


def _product(a: torch.Tensor, b: torch.Tensor, device: str) -> float:
    synchronise(device)
    start = time.perf_counter()
    a @ b
    synchronise(device)
    return time.perf_counter() - start
