"""Who hears Ctrl-C and SIGTERM, and when; by sending them to this process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from detente.signals import Terminated, at_once, handled, never_lost, when_saved

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[Any]:
    """Both raise at once, as they do in a command, whatever started the tests."""
    before = {number: signal.signal(number, at_once) for number in BOTH}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: Any) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_the_first_is_a_wish_and_the_second_interrupts(number: Any, expected: Any) -> None:
    heard = []

    def loop() -> None:
        with when_saved(lambda: heard.append(number)) as wished:
            assert wished() is None
            send(number)
            assert (wished(), heard) == (expected, [number])
            send(number)

    with pytest.raises(expected) as raised:
        loop()
    assert raised.type is expected
    assert [signal.getsignal(each) for each in BOTH] == [at_once, at_once]


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_while_an_object_is_finalized_is_not_lost(number: Any, expected: Any) -> None:
    class Finalized:
        def __del__(self) -> None:
            send(number)

    with never_lost():
        Finalized()  # the exception of its signal reaches nobody
        with pytest.raises(expected) as raised:
            time.sleep(5)
    assert raised.type is expected


def test_afterwards_signals_go_where_they_went_before() -> None:
    with when_saved(lambda: None), handled(signal.default_int_handler, signal.SIGINT):
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert [signal.getsignal(each) for each in BOTH] == [at_once, at_once]


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with when_saved(lambda: None) as wished:
        send(signal.SIGINT)
        assert wished() is None


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    found = []

    def inside() -> None:
        with when_saved(lambda: None) as wished:
            found.append((wished(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [(None, at_once)]
