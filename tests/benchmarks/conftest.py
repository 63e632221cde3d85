"""Benchmarks at sizes that take a moment, in this process."""

import pytest

from benchmarks import disk, loop, rollout, scaling, update


@pytest.fixture
def here(monkeypatch):
    """What a subject would do in processes of its own happens in this one."""
    for subject in (disk, loop, rollout, scaling, update):
        monkeypatch.setattr(subject, "isolated", lambda function, *arguments: function(*arguments))
