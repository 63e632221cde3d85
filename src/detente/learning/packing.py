"""Chats packed into one row of tokens, in which what they have in common at their start is there once.

    a b c d e        a b c d e            queries   keys
    a b c x y   ──>        x y    ──>     a b c d e  a b c d e
    a b c x z                z            x y        a b c x y
                                          z          a b c x z

A causal model computes the same for equal beginnings, so a pass over this tree of tokens has the outputs of a pass over every chat
on its own, and the gradients of all chats meet in the tokens that they share. Nothing is padded but the attention scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

BLOCK = 1 << 22  # scores per head that are computed at once
PIECE = 1024  # tokens of a chat that are computed with the same keys

Chat = NDArray[np.int64]


def shared_start(a: Chat, b: Chat) -> int:
    """How many tokens two chats have in common at their start."""
    n = min(len(a), len(b))
    differing = np.flatnonzero(a[:n] != b[:n])
    return int(differing[0]) if len(differing) else n


@dataclass(frozen=True)
class Tree:
    """C chats as M tokens; chats in the order of their tokens, so that each shares its start with the one before it."""

    tokens: Chat  # (M,)
    positions: Chat  # (M,) of each token in its chats
    places: tuple[Chat, ...]  # per chat (L,): where its tokens are
    known: tuple[int, ...]  # per chat: how many of its tokens stand with earlier chats; the others follow one another


def tree(chats: Sequence[Chat]) -> Tree:
    """Pack chats; ValueError unless they are sorted."""
    tokens, positions, places, known = [], [], [], []
    before, where, size = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), 0
    for chat in chats:
        old = shared_start(before, chat)
        if old < min(len(before), len(chat)) and before[old] > chat[old]:
            raise ValueError("chats are packed in the order of their tokens")
        fresh = len(chat) - old
        where = np.concatenate([where[:old], np.arange(size, size + fresh)])
        tokens.append(chat[old:])
        positions.append(np.arange(old, len(chat)))
        places.append(where)
        known.append(old)
        before, size = chat, size + fresh
    return Tree(np.concatenate(tokens), np.concatenate(positions), tuple(places), tuple(known))


def packs(chats: Sequence[Chat], max_tokens: int) -> Iterator[list[int]]:
    """Indices of chats that go into one tree of at most ``max_tokens`` tokens (or of one chat), in the order of their tokens."""
    order = sorted((i for i in range(len(chats)) if len(chats[i])), key=lambda i: chats[i].tolist())
    found: list[int] = []
    size = 0
    for i in order:
        fresh = len(chats[i]) - (shared_start(chats[found[-1]], chats[i]) if found else 0)
        if found and size + fresh > max_tokens:
            yield found
            found, size, fresh = [], 0, len(chats[i])
        found.append(i)
        size += fresh
    if found:
        yield found


@dataclass(frozen=True)
class Block:
    """B chats whose new tokens are computed together, padded to Q queries and K keys."""

    queries: Tensor  # (B, Q) places
    real: Tensor  # (B, Q) False where padded
    keys: Tensor | None  # (B, K) places; None: those of the queries, before which there is nothing
    starts: Tensor  # (B,) position of the first query

    @cached_property
    def bias(self) -> Tensor | None:
        """(B, 1, Q, K) 0 where a query looks and -inf elsewhere; None for plain causal attention."""
        if self.keys is None:
            return None
        queries, keys = (torch.arange(places.shape[1], device=places.device) for places in (self.queries, self.keys))
        seen = keys <= self.starts[:, None, None] + queries[:, None]
        return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, -torch.inf)[:, None]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """(M, H, D), twice (M, G, D) -> (B * Q, H, D)."""
        keys = self.queries if self.keys is None else self.keys
        q, k, v = (_taken(x, places) for x, places in ((query, self.queries), (key, keys), (value, keys)))
        heads, groups = q.shape[1], k.shape[1]
        if self.bias is None:
            k, v = (x.repeat_interleave(heads // groups, dim=1) for x in (k, v))
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
        else:  # heads that share keys are further queries
            bias = self.bias.to(q.dtype).repeat(1, 1, heads // groups, 1)
            q = q.reshape(len(q), groups, -1, q.shape[-1])
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale).view(len(q), heads, -1, v.shape[-1])
        found: Tensor = out.transpose(1, 2).flatten(0, 1)
        return found


class TreeAttention:
    """The attention plan of a tree: a token meets the tokens before it in its chat."""

    def __init__(self, packed: Tree, device: torch.device) -> None:
        self.blocks = [_block(packed, members, device) for members in _alike(packed)]
        real = torch.cat([block.real.flatten() for block in self.blocks])
        places = torch.cat([block.queries.flatten() for block in self.blocks])
        self._from = torch.empty(len(packed.tokens), dtype=torch.long, device=device)  # (M,) which query each token is
        self._from[places[real]] = real.nonzero()[:, 0]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """(1, H, M, D), twice (1, G, M, D) -> (1, M, H, D)."""
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (M, heads, D)
        found = torch.cat([block.attend(q, k, v, scale) for block in self.blocks])
        together: Tensor = F.embedding(self._from, found.flatten(1))
        return together.view(1, -1, *found.shape[1:])


def _taken(x: Tensor, places: Tensor) -> Tensor:
    """(M, n, D), (B, L) -> (B, n, L, D)."""
    found: Tensor = F.embedding(places, x.flatten(1))  # its backward is faster than that of an index
    return found.view(*places.shape, *x.shape[1:]).transpose(1, 2)


def _alike(packed: Tree) -> list[list[int]]:
    """The chats that have new tokens, in blocks that pad little and whose scores take little memory."""
    fresh = [len(places) - known for places, known in zip(packed.places, packed.known, strict=True)]
    order = sorted((i for i in range(len(fresh)) if fresh[i]), key=lambda i: (packed.known[i] > 0, fresh[i], i))
    blocks: list[list[int]] = []
    for i in order:
        first = blocks[-1][0] if blocks else i
        fits = (
            (packed.known[first] > 0) == (packed.known[i] > 0)
            and fresh[i] <= max(fresh[first] + 8, 1.25 * fresh[first])
            and (len(blocks[-1]) + 1 if blocks else 1) * fresh[i] * len(packed.places[i]) <= BLOCK
        )
        if blocks and fits:
            blocks[-1].append(i)
        else:
            blocks.append([i])
    return blocks


def _block(packed: Tree, members: Sequence[int], device: torch.device) -> Block:
    starts = np.array([packed.known[i] for i in members])
    queries, real = _padded([packed.places[i][packed.known[i] :] for i in members])
    keys = _padded([packed.places[i] for i in members])[0] if starts.any() else None
    on = [None if x is None else torch.from_numpy(x).to(device) for x in (queries, real, keys, starts)]
    return Block(*on)  # type: ignore[arg-type]


def _padded(rows: Sequence[Chat]) -> tuple[Chat, NDArray[np.bool_]]:
    """Rows as a table, filled up with zeros, and which of it is real."""
    lengths = np.array([len(row) for row in rows])
    real = np.arange(lengths.max()) < lengths[:, None]
    table = np.zeros(real.shape, dtype=np.int64)
    table[real] = np.concatenate(rows)
    return table, real
