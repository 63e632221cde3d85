"""Log-probabilities tile by tile against whole rows of logits, in values and gradients, and finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from detente.learning import fitting, forward
from detente.learning.loss import token_logprobs
from detente.learning.tiles import tiled_token_logprobs

N, D, V = 7, 5, 37


def normal(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TARGETS = torch.tensor([0, 7, 8, 15, 30, 36, 20])
WEIGHT = 3 * normal(V, D, seed=1)
ALLOWED = normal(N, V, seed=2) > 0.2
ALLOWED[torch.arange(N), TARGETS] = True
ALLOWED[4, :30] = False  # no word of the first tiles


def head(hidden: Any, words: slice = slice(None)) -> Any:
    return 9 * torch.tanh(hidden @ WEIGHT[words].T / 9)


def masks(words: slice, piece: slice) -> Any:
    return ALLOWED[piece, words]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("words", "logits"), [(8, 1), (8, 24), (16, 1000), (64, 1000)])
def test_tiles_equal_whole_rows_in_values_and_gradients(words: int, logits: int, masked: bool) -> None:
    credit, bonus = normal(N, seed=3), normal(N, seed=4)
    results = []
    for tiled in (True, False):
        hidden = normal(N, D).requires_grad_()
        if tiled:
            allowed = masks if masked else None
            pair = tiled_token_logprobs(hidden, head, TARGETS, V, temperature=0.7, allowed=allowed, logits=logits, words=words)
        else:
            pair = token_logprobs(head(hidden), TARGETS, temperature=0.7, allowed=ALLOWED if masked else None)
        (gradient,) = torch.autograd.grad((credit * pair[0] + bonus * pair[1]).sum(), hidden)
        results.append((*pair, gradient))
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_gradients_equal_finite_differences() -> None:
    tiled = partial(tiled_token_logprobs, head=head, targets=TARGETS, vocab_size=V, allowed=masks, logits=24, words=8)
    assert torch.autograd.gradcheck(lambda hidden: tiled(hidden), (normal(N, D).requires_grad_(),))
    assert torch.autograd.gradcheck(lambda hidden: tiled(hidden)[1], (normal(N, D).requires_grad_(),))


def test_words_that_are_never_drawn_or_always() -> None:
    only = torch.zeros(2, V, dtype=torch.bool)
    only[:, 9] = True
    hidden = normal(2, D).requires_grad_()
    pair = tiled_token_logprobs(hidden, head, torch.tensor([9, 10]), V, allowed=lambda words, piece: only[piece, words], words=8)
    assert pair[0].tolist() == [0.0, -math.inf]
    assert pair[1].tolist() == [0.0, 0.0]
    (gradient,) = torch.autograd.grad(pair[0][0] + pair[1].sum(), hidden)
    assert torch.equal(gradient, torch.zeros(2, D, dtype=torch.float64))


def test_an_entropy_without_gradient_is_the_same_number() -> None:
    hidden = normal(N, D).requires_grad_()
    (logprobs, entropy), (same, number) = (
        tiled_token_logprobs(hidden, head, TARGETS, V, words=8, entropy_gradient=wanted) for wanted in (True, False)
    )
    assert torch.equal(entropy, number)
    assert not number.requires_grad
    expected, gradient = (torch.autograd.grad(sums.sum(), hidden)[0] for sums in (logprobs, same))
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


def test_bfloat16_is_summed_in_float32() -> None:
    hidden = torch.zeros(1, 2, dtype=torch.bfloat16)
    pair = tiled_token_logprobs(
        hidden, lambda h, words: h[:, :1].expand(1, words.stop - words.start), torch.tensor([5]), 1000, words=8
    )
    assert [x.dtype for x in pair] == [torch.float32] * 2
    torch.testing.assert_close(torch.cat(pair), torch.tensor([-6.9077553, 6.9077553]))  # ln 1000


def test_no_more_logits_than_a_tile_exist_and_none_are_kept() -> None:
    shapes, kept = [], []

    def counted(hidden: Any, words: slice) -> Any:
        shapes.append((len(hidden), words.stop - words.start))
        return head(hidden, words)

    hidden = normal(N, D).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda saved: kept.append(saved.shape) or saved, lambda saved: saved):
        logprobs, entropy = tiled_token_logprobs(hidden, counted, TARGETS, V, logits=40, words=8)
    assert shapes == [(5, 8)] * 4 + [(5, 5)] + [(2, 8)] * 4 + [(2, 5)]
    assert all(set(shape) <= {N, 5, 2, D} for shape in kept)
    (logprobs + entropy).sum().backward()
    assert sorted(shapes[10:]) == sorted(shapes[:10])


def test_a_large_vocabulary_has_the_update_of_a_small_one(open_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(game={"name": "ipd", "rounds": 3}, episodes=4).shake()
    found = run.trajectories(run.play())
    learner = run.learners["main"]
    results = []
    for whole in (fitting.WHOLE, 0):
        monkeypatch.setattr(forward, "WHOLE", whole)
        monkeypatch.setattr(forward, "tiled_token_logprobs", partial(tiled_token_logprobs, words=256))
        gradients = learner.gradients(found, 0.0)
        results.append(([p.grad.clone() for p in learner.parameters], gradients.sums))
    (expected, sums), (actual, same) = results
    assert same == pytest.approx(sums, rel=1e-4, abs=1e-5)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
    assert any(not torch.equal(one, other) for one, other in zip(actual, expected, strict=True))
