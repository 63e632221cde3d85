"""Draws against the inverse of the whole distribution function, written with lists."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from detente.engines import sampling
from detente.engines.grammar import FEW, Mask
from detente.engines.sampling import Draw, Sampler

if TYPE_CHECKING:
    from torch import Tensor


LAST = 1 - 2**-53  # the largest number that random() gives


def mask(tokens: list[int] | range | tuple[int, ...], vocab_size: int) -> Mask:
    bits = np.zeros(-(-vocab_size // 8) * 8, dtype=np.uint8)
    bits[list(tokens)] = 1
    return Mask(np.packbits(bits, bitorder="little").tobytes(), vocab_size)


def expected(scores: list[float], draw: Draw) -> tuple[int, float]:
    """Token and log-probability by walking through the allowed tokens."""
    allowed = range(len(scores)) if draw.mask is None else np.flatnonzero(draw.mask.allowed()).tolist()
    weights = [math.exp(scores[token] / draw.temperature) for token in allowed]
    total = sum(weights)
    upto = list(accumulate(weights))
    token, weight = next((t, w) for t, w, end in zip(allowed, weights, upto, strict=True) if end > draw.uniform * upto[-1])
    return token, math.log(weight / total)


def states(vocab_size: int, rows: int = 5, seed: int = 0) -> Tensor:
    return 3 * torch.randn(rows, vocab_size, generator=torch.Generator().manual_seed(seed))


def run(scores: Tensor, draws: list[Draw], wanted: Sequence[tuple[int, Any]] = ()) -> tuple[Any, ...]:
    asked = []

    def logits(tokens: Tensor | None) -> Tensor:
        asked.append(None if tokens is None else tokens.tolist())
        return scores.clone() if tokens is None else scores[:, tokens]

    found = Sampler(scores.shape[1], torch.device("cpu"))(logits, draws, wanted)
    return *found, asked


@pytest.mark.parametrize("vocab_size", [64, 100, 1000, 1536])
def test_draws_are_the_inverse_of_the_distribution_function(vocab_size: int) -> None:
    """Free, wide and narrow masks, several temperatures, states shared and not, in one step."""
    rng, scores = random.Random(vocab_size), states(vocab_size)
    masks = [None, *(mask(rng.sample(range(vocab_size), n), vocab_size) for n in (2, 3, 11, vocab_size - 1, vocab_size // 2))]
    draws = [Draw(rng.randrange(5), rng.choice(masks), rng.choice((0.5, 1.0, 1.7)), rng.random()) for _ in range(300)]
    found, _, _ = run(scores, draws)
    for draw, (token, logprob) in zip(draws, found, strict=True):
        right, certain = expected(scores[draw.row].tolist(), draw)
        assert token == right
        assert logprob == pytest.approx(certain, abs=1e-5)


@pytest.mark.parametrize("uniform", [0.0, 1e-12, LAST])
@pytest.mark.parametrize("allowed", [(70, 71), tuple(range(300, 900)), (0, 1499), None])
def test_the_ends_of_the_distribution_function(allowed: tuple[int, ...] | None, uniform: float) -> None:
    """What the mask forbids is never drawn, not even where rounding puts a number beyond the last token."""
    tokens = range(1500) if allowed is None else allowed
    draws = [Draw(row, None if allowed is None else mask(allowed, 1500), 1.0, uniform) for row in range(5)]
    found, _, _ = run(states(1500), draws)
    for token, logprob in found:
        assert token in tokens
        assert math.isfinite(logprob)
        if uniform == 0.0:
            assert token == tokens[0]


def test_tokens_without_probability_are_skipped_at_both_ends() -> None:
    scores = torch.full((1, 512), -1000.0)
    scores[0, 100:200] = 0.0
    found, _, _ = run(scores, [Draw(0, None, 1.0, uniform) for uniform in (0.0, 0.5, LAST)])
    assert [token for token, _ in found] == [100, 150, 199]


def test_only_the_scores_of_few_tokens_are_computed_where_masks_allow_few() -> None:
    few, more = mask((5, 900), 1000), mask((900, 3, 17), 1000)
    wanted = [(1, np.array([3, 999])), (0, np.array([5]))]
    scores = states(1000)
    _, seen, asked = run(scores, [Draw(0, few, 1.0, 0.3), Draw(2, more, 1.0, 0.3)], wanted)
    assert asked == [[3, 5, 17, 900, 999]]
    assert seen[0].tolist() == scores[1, [3, 999]].double().tolist()
    assert seen[1].tolist() == scores[0, [5]].double().tolist()
    assert mask(range(FEW), 1000).tokens is not None
    assert mask(range(FEW + 1), 1000).tokens is None


def test_wanted_logits_do_not_depend_on_what_is_drawn() -> None:
    scores, wanted = states(1000), (1, np.array([3, 999]))
    alone = run(scores, [], [wanted])[1][0]
    beside = run(scores, [Draw(1, None, 0.5, 0.3), Draw(1, mask((3, 4), 1000), 2.0, 0.3)], [wanted])[1][0]
    assert alone.tolist() == beside.tolist()


def test_masks_stay_on_the_device_as_long_as_they_are_used() -> None:
    wide = mask(range(500), 1000)
    sampler = Sampler(1000, torch.device("cpu"))
    scores = states(1000)
    sampler(lambda tokens: scores.clone(), [Draw(0, wide, 1.0, 0.1)], [])
    assert list(sampler._masks) == [wide]
    del wide
    assert list(sampler._masks) == []


def test_a_part_of_the_vocabulary_that_is_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last part is longer than what is left of the vocabulary."""
    monkeypatch.setattr(sampling, "WIDE", 7)
    scores = states(23)
    draws = [Draw(row, None, 1.0, uniform) for row in range(5) for uniform in (0.0, 0.25, 0.9, LAST)]
    for draw, (token, _) in zip(draws, run(scores, draws)[0], strict=True):
        assert token == expected(scores[draw.row].tolist(), draw)[0]


@pytest.mark.parametrize("allowed", [(70, 71), tuple(range(300, 900)), None])
@pytest.mark.parametrize("where", [slice(None), 70, 300, slice(64, 1500)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_that_are_not_finite_give_no_probability(allowed: tuple[int, ...] | None, where: int | slice, value: float) -> None:
    """And no token outside the vocabulary either, not even where its last part is filled up."""
    scores = states(1500)
    scores[1, where] = value
    seen = scores[1] if allowed is None else scores[1, list(allowed)]
    draws = [Draw(row, None if allowed is None else mask(allowed, 1500), 1.0, 0.5) for row in range(3)]
    found, _, _ = run(scores, draws)
    assert [math.isnan(logprob) for _, logprob in found] == [False, not bool(seen.isfinite().all()), False]
    assert all(0 <= token < 1500 for token, _ in found)


def test_a_token_that_a_model_rules_out_is_no_fault() -> None:
    scores = torch.zeros(1, 512)
    scores[0, 1:500] = -math.inf
    for allowed in (None, (0, 1), tuple(range(400))):
        found, _, _ = run(scores, [Draw(0, None if allowed is None else mask(allowed, 512), 1.0, 0.01)])
        assert found[0][0] == 0
        assert math.isfinite(found[0][1])
