"""Log-probabilities over a large vocabulary that is read tile by tile, so that no row of logits exists as a whole.

    hidden (N, D) x words of one tile ──> logits (N, w) ──> running maximum, sum of e^x, sum of e^x x ──> log-probability, entropy

The sums of a softmax are carried from tile to tile and scaled again where the maximum grows (Milakov and Gimelshein, "Online
normalizer calculation for softmax", 2018). The backward pass computes the logits of each tile again: with p the probabilities,
H the entropy and t the target, d log p_t / dx = (x is t) - p and dH / dx = -p (log p + H). Imports torch alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

WORDS = 1 << 12  # of a tile; a multiple of 8, the words of a byte of a packed mask
NEVER = -1e30  # score of a word that is not allowed: e to it is 0, and so is 0 times it

Head = Callable[[Tensor, slice], Tensor]  # (n, D), some of the words -> (n, w)
Allowed = Callable[[slice, slice], Tensor]  # some of the words, some of the N tokens -> (n, w) bool


def tiled_token_logprobs(
    hidden: Tensor,
    head: Head,
    targets: Tensor,
    vocab_size: int,
    *,
    temperature: float = 1.0,
    allowed: Allowed | None = None,
    logits: int = 1 << 22,
    entropy_gradient: bool = True,
    words: int = WORDS,
) -> tuple[Tensor, Tensor]:
    """What ``chunked_token_logprobs`` says, with gradients for ``hidden`` alone: (N, D), (N,) -> (N,), (N,).

    At most about ``logits`` of them exist at a time, of ``words`` words. ``head`` must be deterministic and frozen, and a row of it
    must not depend on the others.
    """
    rows = max(1, logits // words)
    results = []
    for start in range(0, len(targets), rows):
        piece = slice(start, start + rows)
        tiles = Tiles(head, vocab_size, words, temperature, None if allowed is None else _of(allowed, piece))
        logprobs, entropy = _LogProbs.apply(hidden[piece], targets[piece], tiles)  # type: ignore[no-untyped-call]
        results.append((logprobs, entropy if entropy_gradient else entropy.detach()))
    logprobs, entropy = (torch.cat(column) for column in zip(*results, strict=True))
    return logprobs, entropy


@dataclass(frozen=True)
class Tiles:
    """The scores of some tokens, a tile of words after the other."""

    head: Head
    vocab_size: int
    words: int
    temperature: float
    allowed: Callable[[slice], Tensor] | None

    def __iter__(self) -> Iterator[slice]:
        """The words of each tile."""
        return (slice(start, min(start + self.words, self.vocab_size)) for start in range(0, self.vocab_size, self.words))

    def scores(self, hidden: Tensor, words: slice) -> Tensor:
        """(n, D) -> (n, w) logits / temperature in fp32 at least, NEVER where a word is not allowed."""
        logits = self.head(hidden, words)
        scaled = logits.to(torch.promote_types(logits.dtype, torch.float32)) / self.temperature
        return scaled if self.allowed is None else scaled.masked_fill(~self.allowed(words), NEVER)


class _LogProbs(torch.autograd.Function):
    """Log-probability of each target and entropy of its distribution: (n, D), (n,) -> (n,), (n,)."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, targets: Tensor, tiles: Tiles) -> tuple[Tensor, Tensor]:
        form = torch.promote_types(hidden.dtype, torch.float32)
        most, own = (torch.full(targets.shape, NEVER, dtype=form, device=hidden.device) for _ in range(2))
        total, weighed = torch.zeros_like(most), torch.zeros_like(most)
        for words in tiles:
            scores = tiles.scores(hidden, words)
            inside, at = _places(targets, words)
            own = torch.where(inside, scores.gather(-1, at)[:, 0], own)
            new = torch.maximum(most, scores.amax(-1))
            shrunk = (most - new).exp()
            scores -= new[:, None]
            powers = scores.exp()
            weighed = (weighed + total * (most - new)) * shrunk + (powers * scores).sum(-1)
            total = total * shrunk + powers.sum(-1)
            most = new
        normalizer, entropy = most + total.log(), total.log() - weighed / total
        ctx.tiles = tiles
        ctx.save_for_backward(hidden, targets, normalizer, entropy)
        ctx.set_materialize_grads(False)
        return (own - normalizer).masked_fill(own == NEVER, -torch.inf), entropy

    @staticmethod
    def backward(ctx: Any, into_logprobs: Tensor | None, into_entropy: Tensor | None) -> tuple[Tensor, None, None]:
        hidden, targets, normalizer, entropy = ctx.saved_tensors
        into_own = torch.zeros_like(normalizer) if into_logprobs is None else into_logprobs
        gradient = torch.zeros(hidden.shape, dtype=normalizer.dtype, device=hidden.device)
        for words in ctx.tiles:
            with torch.enable_grad():
                states = hidden.detach().requires_grad_()
                scores = ctx.tiles.scores(states, words)
            logs = scores.detach() - normalizer[:, None]
            into_scores = logs.exp()
            if into_entropy is None:
                into_scores *= -into_own[:, None]
            else:
                into_scores *= logs.add_(entropy[:, None]).mul_(-into_entropy[:, None]).sub_(into_own[:, None])
            inside, at = _places(targets, words)
            into_scores.scatter_add_(-1, at, (into_own * inside)[:, None])
            gradient += torch.autograd.grad(scores, states, into_scores)[0]
        return gradient.to(hidden.dtype), None, None


def _places(targets: Tensor, words: slice) -> tuple[Tensor, Tensor]:
    """Whether each target is among these words (n,), and where (n, 1)."""
    inside = (targets >= words.start) & (targets < words.stop)
    return inside, (targets - words.start).clamp(0, words.stop - words.start - 1)[:, None]


def _of(allowed: Allowed, piece: slice) -> Callable[[slice], Tensor]:
    return lambda words: allowed(words, piece)
