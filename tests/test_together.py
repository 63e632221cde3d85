"""Coroutines at once, against ``asyncio.gather``: results, order, errors, cancelling; and no task for who need not wait."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import threading
import time
import warnings
from typing import Any

import pytest

from detente.together import run, together


class FailedError(Exception):
    pass


async def at_once(answer: int) -> int:
    return answer


async def later(answer: int, steps: int = 3) -> int:
    for _ in range(steps):
        await asyncio.sleep(0)
    return answer


async def slowly(answer: int) -> int:
    await asyncio.sleep(0.001 * (answer % 3))
    return answer


async def fails(steps: int = 0) -> int:
    await later(0, steps)
    raise FailedError(steps)


async def catches(answer: int) -> int:
    try:
        await asyncio.wait_for(asyncio.Event().wait(), timeout=0.001)
    except TimeoutError:
        return answer
    return -1


KINDS = (at_once, later, slowly, catches)


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("third", KINDS)
def test_results_are_those_of_gather(first: Any, second: Any, third: Any) -> None:
    async def both() -> tuple[list[int], list[int]]:
        made = [[one(i) for i, one in enumerate((first, second, third))] for _ in range(2)]
        return await together(made[0]), list(await asyncio.gather(*made[1]))

    ours, theirs = asyncio.run(both())
    assert ours == theirs == [0, 1, 2]


def test_who_waits_for_another_gets_it() -> None:
    async def meet(there: list[int], answer: int) -> int:
        there.append(answer)
        while len(there) < 3:
            await asyncio.sleep(0)
        return answer

    there: list[int] = []
    assert asyncio.run(asyncio.wait_for(together([meet(there, i) for i in range(3)]), 5)) == [0, 1, 2]
    assert asyncio.run(together([])) == []


def test_who_need_not_wait_needs_no_task() -> None:
    async def mine(answer: int) -> int:
        seen.add(asyncio.current_task())
        return await at_once(answer)

    async def all_of_them() -> list[int]:
        seen.add(asyncio.current_task())
        return await together([mine(i) for i in range(4)])

    seen: set[asyncio.Task[int] | None] = set()
    assert asyncio.run(all_of_them()) == [0, 1, 2, 3]
    assert len(seen) == 1


def test_each_runs_in_one_task_from_beginning_to_end() -> None:
    """Time limits and cancel scopes of libraries rely on it."""

    async def mine() -> bool:
        task = asyncio.current_task()
        await asyncio.sleep(0.001)
        return asyncio.current_task() is task

    assert asyncio.run(together([mine() for _ in range(3)])) == [True] * 3


@pytest.mark.parametrize("failing", [{0}, {1}, {2}, {0, 1}, {0, 1, 2}])
def test_an_error_is_raised_as_itself_and_stops_the_others(failing: set[int]) -> None:
    stopped = []

    async def watched(number: int) -> int:
        try:
            return await (fails(1) if number in failing else later(0, 10_000))
        except asyncio.CancelledError:
            stopped.append(number)
            raise

    async def run() -> int:
        with pytest.raises(FailedError):
            await together([watched(number) for number in range(3)])
        return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1
    assert {0, 1, 2} - failing <= {*stopped} < {0, 1, 2}


def test_an_error_before_anybody_waits_leaves_nothing_behind() -> None:
    async def run() -> None:
        with pytest.raises(FailedError):
            await together([at_once(1), fails(), later(2)])

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no coroutine that was never awaited
        asyncio.run(run())
        gc.collect()


def test_cancelling_reaches_all() -> None:
    reached = []

    async def endless(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            reached.append(number)

    async def run() -> None:
        task = asyncio.create_task(together([endless(number) for number in range(3)]))
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert sorted(reached) == [0, 1, 2]


def in_a_notebook(main: Any) -> Any:
    """What ``run`` makes of a coroutine where an event loop runs already."""

    async def cell() -> Any:
        return run(main)

    return asyncio.run(cell())


@pytest.fixture(params=[run, in_a_notebook], ids=["in a script", "in a notebook"])
def running(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_a_coroutine_runs_to_its_end(running: Any) -> None:
    assert running(slowly(7)) == 7


def test_its_exception_comes_out_as_itself(running: Any) -> None:
    with pytest.raises(FailedError):
        running(fails())


def test_it_sees_the_context_of_its_caller(running: Any) -> None:
    variable = contextvars.ContextVar("variable", default="none")

    async def seen() -> Any:
        return variable.get()

    variable.set("set")
    assert running(seen()) == "set"


def test_an_event_loop_is_as_before_afterwards() -> None:
    async def cell() -> Any:
        before = asyncio.get_running_loop()
        assert run(at_once(1)) == 1
        await asyncio.sleep(0)
        return asyncio.get_running_loop() is before

    assert asyncio.run(cell())
    assert not [thread for thread in threading.enumerate() if thread.name == "detente"]


async def waiting(said: Any) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        said.append("closed")


async def busy(said: Any) -> None:
    try:
        while True:
            time.sleep(0.001)
            await asyncio.sleep(0)
    finally:
        said.append("closed")


async def blocked(said: Any) -> None:
    try:
        for _ in range(60_000):
            time.sleep(0.001)  # as a notebook asks for a line of input
    finally:
        said.append("closed")


@pytest.mark.parametrize("main", [waiting, busy, blocked])
def test_ctrl_c_stops_what_runs_in_a_notebook(main: Any) -> None:
    said: Any = []

    async def cell() -> None:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # as a kernel does while a cell runs
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            run(main(said))
        except KeyboardInterrupt:
            said.append("interrupted")
        finally:
            signal.signal(signal.SIGINT, before)

    started = time.monotonic()
    asyncio.run(cell())
    assert said == ["closed", "interrupted"]
    assert time.monotonic() - started < 10
