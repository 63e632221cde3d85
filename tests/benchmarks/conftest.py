"""Benchmarks at sizes that take a moment, in this process."""

from __future__ import annotations

from functools import partial

import pytest

from benchmarks import disk, flops, learners, loop, profile, rollout, scaling, update


@pytest.fixture(autouse=True)
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flops, "product_peak", partial(flops.product_peak, size=256, repeats=3))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a subject would do in processes of its own happens in this one."""
    for subject in (disk, learners, loop, profile, rollout, scaling, update):
        monkeypatch.setattr(subject, "isolated", lambda function, *arguments: function(*arguments))
