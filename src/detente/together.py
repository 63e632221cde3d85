"""Coroutines that run at once; who need not wait for anything needs no task of its own.

    one ── runs until it waits ──> done? the next one
                              └──> waits: tasks for all others, while this one goes on here

A task costs more than the move of a script. Standard library only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sequence
from functools import partial
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def together(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Their results, in order. The first that fails stops the others, and its own exception is raised."""
    results: list[T] = []
    try:
        for number, one in enumerate(coroutines, start=1):
            try:
                waits_for = one.send(None)
            except StopIteration as end:
                results.append(end.value)
            else:
                return results + await _at_once(one, waits_for, coroutines[number:])
        return results
    finally:
        for each in coroutines:
            each.close()  # those that an error kept from beginning


async def _at_once(begun: Coroutine[Any, Any, T], waits_for: Any, others: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(other) for other in others]
            return [await _rest(begun, waits_for), *[await task for task in tasks]]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


@coroutine
def _rest(begun: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """What ``await begun`` would be, had it not run already to where it waits for something."""
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
