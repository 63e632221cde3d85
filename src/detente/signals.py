"""Ctrl-C (SIGINT) and the request to end (SIGTERM): heard at once, or once what is being done is saved.

    waiting for a person ── Ctrl-C ──> KeyboardInterrupt at once, though an event loop runs
    training ── either, the first time ──> a wish, granted when the iteration is saved;  the second ──> at once
    any command ── SIGTERM ──> Terminated, a KeyboardInterrupt

Signals reach the main thread only, so in any other nothing here does anything; one that the process was started to ignore stays
ignored. Standard library only.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


class Terminated(KeyboardInterrupt):
    """The process was asked to end; whoever catches Ctrl-C catches this."""


@contextmanager
def handled(handler: Handler, *numbers: signal.Signals) -> Iterator[None]:
    """These signals go to ``handler``, and afterwards where they went before."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in numbers}
        before = {number: known for number, known in found.items() if known not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)


def at_once(number: int, frame: FrameType | None) -> None:
    """A handler that interrupts whatever the main thread does."""
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def when_saved(heard: Callable[[], None]) -> Iterator[Callable[[], type[KeyboardInterrupt] | None]]:
    """Turn the first signal into a wish that a loop grants after saving; the next one does what it did before.

    Yields what tells the exception to raise then, None without a wish. ``heard`` is called when the wish comes.
    """
    wishes: list[type[KeyboardInterrupt]] = []
    with ExitStack() as handling:

        def wish(number: int, frame: FrameType | None) -> None:
            wishes.append(Terminated if number == signal.SIGTERM else KeyboardInterrupt)
            handling.close()
            heard()

        handling.enter_context(handled(wish, signal.SIGINT, signal.SIGTERM))
        yield lambda: wishes[0] if wishes else None
