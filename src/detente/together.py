"""Running coroutines: several at once (``together``), one from code that is not async (``run``), one in a thread (``aside``).

    together: the first ── runs until it waits ──> done: the next      (a task costs more than the move of a script)
                                              └──> waits: tasks for all others, while this one continues here

    run: does an event loop run in this thread? ── no ──> asyncio.run
                                               └─ yes, as in a notebook ──> in a thread of its own, for which the caller waits

    PerLoop: in each event loop that asks, a client or a queue of its own, closed when that loop ends

Standard library only.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from types import coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


async def together(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines at once; their results, in order. The first that fails stops the others, and its own exception is raised."""
    results: list[T] = []
    try:
        for number, coro in enumerate(coroutines, start=1):
            try:
                waits_for = coro.send(None)
            except StopIteration as end:
                results.append(end.value)
            else:
                return results + await _at_once(coro, waits_for, coroutines[number:])
        return results
    finally:
        for coro in coroutines:
            coro.close()  # some have not begun where another failed


async def _at_once(begun: Coroutine[Any, Any, T], waits_for: Any, others: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(other) for other in others]
            return [await _rest(begun, waits_for), *[await task for task in tasks]]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


@coroutine
def _rest(begun: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """``await begun`` for a coroutine that has run already until it waits for ``waits_for``."""
    go_on: Callable[[], Any]
    while True:
        try:
            answer = yield waits_for
        except BaseException as error:
            go_on = partial(begun.throw, error)
        else:
            go_on = partial(begun.send, answer)
        try:
            waits_for = go_on()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def run(main: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result; also where an event loop runs already, so that ``asyncio.run`` would refuse.

    It sees the caller's context variables, and what interrupts the caller (Ctrl-C, a notebook's stop button) interrupts it too.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main)
    return _in_a_thread(main)


def _in_a_thread(main: Coroutine[Any, Any, T]) -> T:
    with aside(main) as outcome:
        return outcome.result()


@contextmanager
def aside(main: Coroutine[Any, Any, T]) -> Iterator[Future[T]]:
    """Run the coroutine in a thread of its own beside the block, whose end waits for it; the future has its result.

    It sees the caller's context variables, and what ends the block early interrupts it too.
    """
    loop, context, outcome = asyncio.new_event_loop(), contextvars.copy_context(), Future[T]()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                outcome.set_result(runner.run(main, context=context))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=work, name="detente", daemon=True)
    try:
        thread.start()
        yield outcome
        wait([outcome])
    except BaseException:
        if not outcome.done():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt))
        with suppress(RuntimeError):  # it has ended meanwhile
            loop.call_soon_threadsafe(int)  # wakes a loop that waits for something, so that it notices
        wait([outcome])
        raise
    thread.join()


class PerLoop(Generic[T]):
    """What belongs to the event loop that runs: each loop that asks gets one, made by ``open``, which yields it once.

    A loop that ends finishes its generators, so what follows the ``yield`` runs while connections can still be closed.
    """

    def __init__(self, open: Callable[[], AsyncGenerator[T]]) -> None:
        self._open = open
        self._loop: asyncio.AbstractEventLoop | None = None

    async def get(self) -> T:
        """The one of the loop that runs."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._opened = self._open()
            self._value = await anext(self._opened)  # runs up to the yield at once, so no other task comes in between
            self._loop = loop
        return self._value
