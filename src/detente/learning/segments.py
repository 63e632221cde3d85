"""Attention of a tree of chats in one call of a fused kernel for segments of any length, where the device has one.

    queries   a b c d e     x y             z        the new tokens of a chat, which are the last of its keys
    keys      a b c d e     a b c x y       a b c x z

PyTorch's kernel is FlashAttention-2 (Dao, 2023): float16 or bfloat16, heads of up to 256, GPUs of compute capability 8.0 or more.
Its causal mask lets the last query of a segment see the last key, as queries after a prefix need it. Not every kernel counts from
the end, so before the first use on a device its output is compared with that of plain attention. Imports torch alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

LARGEST_HEAD = 256


@dataclass(frozen=True)
class Segments:
    """n segments of M queries in all, one segment after the other, and K keys."""

    keys: Tensor  # (K,) places of all keys
    queries_to: Tensor  # (n + 1,) int32: 0, then where the queries of each segment end
    keys_to: Tensor  # (n + 1,) int32
    most: tuple[int, int]  # queries and keys of a segment

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """(M, H, D), twice (S + M, G, D) -> (M, H, D)."""
        k, v = (F.embedding(self.keys, x.flatten(1)).view(-1, *x.shape[1:]) for x in (key, value))
        return kernel(query, k, v, self, scale)


def segments(fresh: Sequence[int], keys: Sequence[NDArray[np.int64]], device: torch.device) -> Segments:
    """Of as many new tokens, and with the keys at these places, of which the last are the new tokens; some may have none."""
    some = [(count, places) for count, places in zip(fresh, keys, strict=True) if count]
    counts = [[count for count, _ in some], [len(places) for _, places in some]]
    ends = [torch.from_numpy(np.cumsum([0, *column]).astype(np.int32)).to(device) for column in counts]
    places = torch.from_numpy(np.concatenate([places for _, places in some])).to(device)
    return Segments(places, ends[0], ends[1], (max(counts[0]), max(counts[1])))


def kernel(query: Tensor, key: Tensor, value: Tensor, of: Segments, scale: float | None) -> Tensor:
    """(M, H, D), twice (K, G, D) -> (M, H, D)."""
    from torch.nn.attention.varlen import varlen_attn

    output = varlen_attn(query, key, value, of.queries_to, of.keys_to, *of.most, scale=scale, window_size=(-1, 0), enable_gqa=True)
    return cast(Tensor, output)  # alone, as nothing else is asked for


def usable(query: Tensor, key: Tensor) -> bool:
    """Whether the kernel serves such tensors (M, H, D), (K, G, D) on their device."""
    (_, heads, size), groups = query.shape, key.shape[1]
    if query.device.type != "cuda" or query.dtype not in (torch.float16, torch.bfloat16) or size > LARGEST_HEAD or size % 8:
        return False
    return torch.cuda.get_device_capability(query.device) >= (8, 0) and agrees(query.device, query.dtype, heads, groups, size)


@cache
@torch.no_grad()
def agrees(device: torch.device, dtype: torch.dtype, heads: int, groups: int, size: int) -> bool:
    """Whether the kernel exists here and gives a segment with a prefix, and one without, what plain attention gives them."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(9, n, size, generator=generator).to(device, dtype) for n in (heads, groups, groups))
    of = segments([4, 5], [np.arange(9), np.arange(4, 9)], device)
    try:
        output = of.attend(query, key, value, None)
    except (ImportError, NotImplementedError, RuntimeError, TypeError, ValueError):  # another PyTorch, or one without the kernel
        return False
    expected = torch.cat([_plain(query[:4], key, value), _plain(query[4:], key[4:], value[4:])])
    return bool((output.float() - expected).norm() < 0.02 * expected.norm())


def _plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(q, H, D), twice (k, G, D) -> (q, H, D) in float32; the queries are the last of the keys."""
    seen = torch.ones(len(query), len(key), dtype=torch.bool, device=query.device).tril(len(key) - len(query))
    q, k, v = (x.float().transpose(0, 1)[None] for x in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)[0].transpose(0, 1)
