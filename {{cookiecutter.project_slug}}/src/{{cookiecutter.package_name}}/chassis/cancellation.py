"""Ends tasks, also those that a library keeps from their cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_AGAIN_SECONDS = 2.0
"""Less than an application has for its end, and long enough for what a task does when it is cancelled."""


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel *tasks* until all have ended; once may not do, as `raise_if_cancelled` says."""
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_SECONDS)


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What *work* returns; a cancellation waits until it has ended, and is raised then, whatever came of it.

    For what must not be done by half, such as a transaction and the notes of this process about it.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue  # asked again: the first one is raised at the end
        if not task.cancelled():
            task.exception()  # it is not raised: the one who waited for it has gone
        raise


def raise_if_cancelled() -> None:
    """Raise CancelledError if the current task is to end; for what goes on after whatever errors.

    A library that is closing a connection when the cancellation comes may raise an error of its own in place of it.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
