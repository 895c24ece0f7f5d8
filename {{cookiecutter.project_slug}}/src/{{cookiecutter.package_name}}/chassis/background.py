"""The one way to start a task that outlives its caller: supervised, named, counted, and ended with the process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from prometheus_client import Counter

    from .lifecycle import Lifecycle
    from .reports import ErrorReporter

_log = structlog.get_logger("chassis.background")


class BackgroundTasks:
    """Keeps each task until it ends, and reports its failure at once: logged once and counted.

    A task that ends cancelled, and not by `close`, has failed. A *critical* one may not return either; its death ends
    the process gracefully, with exit code 70.
    """

    def __init__(self, lifecycle: Lifecycle, failures: Counter, reporter: ErrorReporter) -> None:
        self._lifecycle = lifecycle
        self._failures = failures
        self._reporter = reporter
        self._tasks: dict[asyncio.Task[None], bool] = {}
        """Each that runs, and whether it is critical."""
        self._closing = False

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, name: str, work: Coroutine[object, object, None], *, critical: bool = False) -> None:
        """Run *work* until it returns or `close` cancels it; after that, it is not run at all."""
        if self._closing:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(_contained(work), name=name)
        self._tasks[task] = critical
        task.add_done_callback(self._ended)
        task.add_done_callback(lambda _: work.close())  # of no effect, unless it was cancelled before its first step

    def every(
        self, seconds: float, work: Callable[[], Awaitable[object]]
    ) -> Callable[[], Coroutine[object, object, None]]:
        """A task, for `Parts(tasks=...)`, that calls *work*, and again *seconds* after each call has ended.

        A call that raises is logged, counted and reported, and the next one comes all the same.
        """

        async def repeat() -> None:
            while True:
                try:
                    await work()
                except asyncio.CancelledError as error:
                    if (task := asyncio.current_task()) is None or task.cancelling():
                        raise
                    self._failed("periodic task failed", error, critical=False)  # what it waited for was cancelled
                except Exception as error:  # noqa: BLE001 - one failure must not be the end of all later calls
                    self._failed("periodic task failed", error, critical=False)
                await asyncio.sleep(seconds)

        return repeat

    def _ended(self, task: asyncio.Task[None]) -> None:
        critical = self._tasks.pop(task)
        error = _error_of(task)
        ended_by_us = self._closing and (error is None or task.cancelled())
        if ended_by_us or (error is None and not critical):
            return
        event = "background task failed" if error else "critical background task returned"
        self._failed(event, error, critical=critical, task=task.get_name())
        if critical:
            self._lifecycle.fail(f"the critical background task {task.get_name()!r} died")

    def _failed(self, event: str, error: BaseException | None, *, critical: bool, task: str = "") -> None:
        name = task or (current.get_name() if (current := asyncio.current_task()) else "")
        self._failures.labels("background task").inc()
        _log.error(event, task=name, critical=critical, exc_info=error)
        if error is not None:
            self._reporter.report(error, where="background task", transaction=name)

    async def close(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _contained(work: Coroutine[object, object, None]) -> None:
    try:
        await work
    except (SystemExit, KeyboardInterrupt) as error:  # these would break out of the event loop itself
        raise RuntimeError(f"the task raised {type(error).__name__}") from error


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    try:
        return task.exception()
    except asyncio.CancelledError as error:
        return error


async def measure_loop_lag(observe: Callable[[float], None], *, interval_seconds: float = 0.5) -> None:
    """Hand *observe* the seconds by which the event loop was late to resume this task, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval_seconds
        await asyncio.sleep(interval_seconds)
        observe(max(0.0, loop.time() - due))
