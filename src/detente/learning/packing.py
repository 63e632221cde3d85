"""Chats packed into one row of tokens, in which the prefixes that they share are there once.

    a b c d e        a b c d e            queries   keys
    a b c x y   ──>        x y    ──>     a b c d e  a b c d e
    a b c x z                z            x y        a b c x y
                                          z          a b c x z

A causal model computes the same for equal prefixes, so a pass over this trie of tokens has the outputs of a pass over every chat on
its own, and the gradients of all chats add up in the tokens that they share. Nothing is padded but the attention scores, and
those not where a fused kernel takes segments of any length. Where the
memory needs several passes, the prefix of all of them is their stem (a b c): it has a pass of its own (stem.py), and the trees hold
what comes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from detente.learning.segments import Segments, segments, usable

BLOCK = 1 << 22  # scores per head that are computed at once
PIECE = 256  # queries that are computed against the same keys; with fewer, less is computed of keys that come after a query

Chat = NDArray[np.int64]


def common_prefix(a: Chat, b: Chat) -> int:
    """Length of the longest common prefix of two chats."""
    n = min(len(a), len(b))
    differing = np.flatnonzero(a[:n] != b[:n])
    return int(differing[0]) if len(differing) else n


class Bundle(NamedTuple):
    """Chats that are computed in several passes, each over a tree; they share a stem."""

    passes: tuple[tuple[int, ...], ...]  # indices of chats
    stem: int  # tokens at the start of every chat that are computed before; 0 where there is one pass
    tokens: int  # computed in all


def bundles(chats: Sequence[Chat], leads: Sequence[int], max_tokens: int) -> list[Bundle]:
    """Divide chats into passes of at most ``max_tokens``, their stem included, or of one chat; and passes into bundles.

    ``leads``: per chat, how many tokens may be in a stem. The chats are sorted by their tokens and cut into bundles so that the
    fewest tokens are computed.
    """
    order = sorted((i for i in range(len(chats)) if len(chats[i])), key=lambda i: chats[i].tolist())
    neighbours = list(pairwise(order))
    shared = [0, *(common_prefix(chats[i], chats[j]) for i, j in neighbours)]  # with the chat before
    common = [0, *(min(n, leads[i], leads[j]) for n, (i, j) in zip(shared[1:], neighbours, strict=True))]
    fresh = [len(chats[i]) - n for i, n in zip(order, shared, strict=True)] if order else []

    def bundle(start: int, stop: int) -> Bundle:
        cuts, size = [start], len(chats[order[start]])
        for k in range(start + 1, stop):
            size += fresh[k]
            if size > max_tokens:
                cuts.append(k)
                size = len(chats[order[k]])
        stem = min(common[start + 1 : stop]) if len(cuts) > 1 else 0
        tokens = stem + sum(fresh[start:stop]) + sum(shared[k] - stem for k in cuts)
        return Bundle(tuple(tuple(order[i:j]) for i, j in pairwise([*cuts, stop])), stem, tokens)

    divisions: list[list[Bundle]] = []
    for minimum in sorted(set(common)):
        cuts = [k for k, n in enumerate(common) if n < minimum or k == 0]
        divisions.append([bundle(start, stop) for start, stop in pairwise([*cuts, len(order)])] if order else [])
    return min(divisions, key=lambda divided: sum(part.tokens for part in divided))


@dataclass(frozen=True)
class Tree:
    """C chats as M tokens; sorted by their tokens, so that each shares a prefix with the chat before it."""

    tokens: Chat  # (M,)
    positions: Chat  # (M,) of each token in its chats
    places: tuple[Chat, ...]  # per chat (L,): where its tokens are; below 0 in the stem
    known: tuple[int, ...]  # per chat: how many of its tokens are there for earlier chats; the others follow one another
    stem: int  # tokens at the start of every chat, which are not in the tree


def tree(chats: Sequence[Chat], stem: int = 0) -> Tree:
    """Pack the tokens after the stem; ValueError unless chats are sorted and longer than the stem."""
    tokens, positions, places, known = [], [], [], []
    before, where, size = chats[0][:stem], np.arange(-stem, 0), 0
    for chat in chats:
        old = common_prefix(before, chat)
        if old < min(len(before), len(chat)) and before[old] > chat[old]:
            raise ValueError("chats are packed in the order of their tokens")
        if old < stem or len(chat) == stem:
            raise ValueError(f"not every chat begins with the stem of {stem} tokens and is longer")
        fresh = len(chat) - old
        where = np.concatenate([where[:old], np.arange(size, size + fresh)])
        tokens.append(chat[old:])
        positions.append(np.arange(old, len(chat)))
        places.append(where)
        known.append(old)
        before, size = chat, size + fresh
    return Tree(np.concatenate(tokens), np.concatenate(positions), tuple(places), tuple(known), stem)


@dataclass(frozen=True)
class Block:
    """New tokens of B chats that are computed together, padded to Q queries and K keys."""

    queries: Tensor  # (B, Q) places
    real: Tensor  # (B, Q) False where padded
    keys: Tensor | None  # (B, K) places among stem and tree; None: those of the queries, which begin their chats
    starts: Tensor  # (B,) position of the first query

    @cached_property
    def bias(self) -> Tensor | None:
        """(B, 1, Q, K) 0 where a query attends to a key and -inf elsewhere; None for plain causal attention."""
        if self.keys is None:
            return None
        queries, keys = (torch.arange(places.shape[1], device=places.device) for places in (self.queries, self.keys))
        seen = keys <= self.starts[:, None, None] + queries[:, None]
        return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, -torch.inf)[:, None]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """(M, H, D), twice (S + M, G, D) -> (B * Q, H, D)."""
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
        output: Tensor = out.transpose(1, 2).flatten(0, 1)
        return output


class TreeAttention:
    """The attention plan of a tree: a token attends to the tokens before it in its chat.

    In one call of a fused kernel where the device has one (segments.py), elsewhere in blocks under a mask.
    """

    def __init__(self, packed: Tree, device: torch.device) -> None:
        self._packed, self._device = packed, device

    @cached_property
    def blocks(self) -> list[Block]:
        """The tree in blocks."""
        return [_block(self._packed, spans, self._device) for spans in _alike(_spans(self._packed))]

    @cached_property
    def _from(self) -> Tensor:
        """(M,) which query of the blocks each token is."""
        real = torch.cat([block.real.flatten() for block in self.blocks])
        places = torch.cat([block.queries.flatten() for block in self.blocks])
        query_of = torch.empty(len(self._packed.tokens), dtype=torch.long, device=self._device)
        query_of[places[real]] = real.nonzero()[:, 0]
        return query_of

    @cached_property
    def _segments(self) -> Segments:
        """The tree in segments: the new tokens of chats follow one another, as the tokens of the tree do."""
        packed = self._packed
        fresh = [len(places) - known for places, known in zip(packed.places, packed.known, strict=True)]
        return segments(fresh, [places + packed.stem for places in packed.places], self._device)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """(1, H, M, D), twice (1, G, S + M, D) with the stem's S -> (1, M, H, D)."""
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (tokens, heads, D)
        if usable(q, k):
            return self._segments.attend(q, k, v, scale)[None]
        outputs = torch.cat([block.attend(q, k, v, scale) for block in self.blocks])
        together: Tensor = F.embedding(self._from, outputs.flatten(1))
        return together.view(1, -1, *outputs.shape[1:])


class Span(NamedTuple):
    """Tokens ``start`` to ``stop`` of a chat, which are computed together."""

    chat: int
    start: int
    stop: int

    @property
    def fresh(self) -> int:
        """The number of tokens."""
        return self.stop - self.start


def _taken(x: Tensor, places: Tensor) -> Tensor:
    """(M, n, D), (B, L) -> (B, n, L, D)."""
    rows: Tensor = F.embedding(places, x.flatten(1))  # its backward is faster than that of an index
    return rows.view(*places.shape, *x.shape[1:]).transpose(1, 2)


def _spans(packed: Tree) -> list[Span]:
    """The new tokens of every chat: all at once where they begin the chat, otherwise in pieces."""
    return [
        Span(i, start, min(start + PIECE, len(places)) if known else len(places))
        for i, (places, known) in enumerate(zip(packed.places, packed.known, strict=True))
        for start in range(known, len(places), PIECE if known else len(places))
    ]


def _alike(spans: Sequence[Span]) -> list[list[Span]]:
    """Spans of similar length together, in blocks that pad little and whose scores take little memory."""
    blocks: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: (span.start > 0, span.fresh, span.stop, span.chat)):
        first = blocks[-1][0] if blocks else span
        fits = (
            (first.start > 0) == (span.start > 0)
            and span.fresh <= max(first.fresh + 8, 1.25 * first.fresh)
            and (len(blocks[-1]) + 1 if blocks else 1) * span.fresh * span.stop <= BLOCK
        )
        if blocks and fits:
            blocks[-1].append(span)
        else:
            blocks.append([span])
    return blocks


def _block(packed: Tree, spans: Sequence[Span], device: torch.device) -> Block:
    starts = np.array([span.start for span in spans])
    queries, real = _padded([packed.places[span.chat][span.start : span.stop] for span in spans])
    keys = _padded([packed.places[span.chat][: span.stop] + packed.stem for span in spans])[0] if starts.any() else None
    on = [None if x is None else torch.from_numpy(x).to(device) for x in (queries, real, keys, starts)]
    return Block(*on)  # type: ignore[arg-type]


def _padded(rows: Sequence[Chat]) -> tuple[Chat, NDArray[np.bool_]]:
    """Rows padded with zeros to a matrix, and a matrix that is False where padded."""
    lengths = np.array([len(row) for row in rows])
    real = np.arange(lengths.max()) < lengths[:, None]
    padded = np.zeros(real.shape, dtype=np.int64)
    padded[real] = np.concatenate(rows)
    return padded, real
