"""How many tokens of a pass fit: a CPU keeps what it kept, and a GPU more."""

from __future__ import annotations

import pytest

from detente.learning.fitting import MOST, fitting, kept_bytes


@pytest.mark.parametrize(("device", "room"), [("cpu", 1.5 * (1 << 30)), ("cuda", 8 * (1 << 30))])
def test_a_pass_keeps_about_what_its_device_has_for_it(device: str, room: float) -> None:
    assert fitting(1, 8, 8, device) == MOST
    sizes = (30, 1536, 4096)
    assert 0.99 * room < fitting(*sizes, device) * kept_bytes(*sizes) <= room
