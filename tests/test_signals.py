"""Who hears Ctrl-C and SIGTERM, and when; by sending them to this process."""

import os
import signal
import threading

import pytest

from detente.signals import Terminated, at_once, handled, when_saved

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def quiet():
    """Both raise at once, as they do in a command, whatever started the tests."""
    before = {number: signal.signal(number, at_once) for number in BOTH}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_the_first_is_a_wish_and_the_second_interrupts(number, expected):
    heard = []

    def loop():
        with when_saved(lambda: heard.append(number)) as wished:
            assert wished() is None
            send(number)
            assert (wished(), heard) == (expected, [number])
            send(number)

    with pytest.raises(expected) as raised:
        loop()
    assert raised.type is expected
    assert [signal.getsignal(each) for each in BOTH] == [at_once, at_once]


def test_afterwards_signals_go_where_they_went_before():
    with when_saved(lambda: None), handled(signal.default_int_handler, signal.SIGINT):
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert [signal.getsignal(each) for each in BOTH] == [at_once, at_once]


def test_what_is_ignored_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with when_saved(lambda: None) as wished:
        send(signal.SIGINT)
        assert wished() is None


def test_signals_are_left_alone_outside_the_main_thread():
    found = []

    def inside():
        with when_saved(lambda: None) as wished:
            found.append((wished(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [(None, at_once)]
