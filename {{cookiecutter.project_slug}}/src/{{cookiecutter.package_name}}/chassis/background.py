"""The one way to start a task that outlives its caller: supervised, named, counted, and ended with the process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from .cancellation import end
from .lifecycle import Phase
from .service import Task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from prometheus_client import Counter

    from .lifecycle import Lifecycle
    from .reports import ErrorReporter
    from .service import Restart

    Work = Callable[[], Coroutine[object, object, None]]

_log = structlog.get_logger("chassis.background")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the end of a task means."""

    critical: bool
    endless: bool
    """Whether it has failed as well if it returns."""


class BackgroundTasks:
    """Keeps each task until it ends, and reports its failure at once: logged once and counted.

    A task that ends cancelled, and not by `close`, has failed. The failure of a *critical* one ends the process
    gracefully, with exit code 70, unless UNHANDLED_ERRORS says otherwise. Only what is started with the service can be
    critical: nothing that a request, a websocket, an event or a job begins may end the process for all others.
    """

    def __init__(self, lifecycle: Lifecycle, failures: Counter, reporter: ErrorReporter) -> None:
        self._lifecycle = lifecycle
        self._failures = failures
        self._reporter = reporter
        self._tasks: dict[asyncio.Task[None], _Kind] = {}
        """Those that run."""
        self._closing = False

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, name: str, work: Coroutine[object, object, None], *, critical: bool = False) -> None:
        """Run *work* until it returns or `close` cancels it; after that, it is not run at all.

        Critical work may not return. If it is started when the service is ready already, it is not critical.
        """
        if critical and self._lifecycle.phase is not Phase.STARTING:
            critical = False
            hint = "only a task that starts with the service may end it: list it in Parts(tasks=...)"
            _log.warning("task is not critical", task=name, hint=hint)
        self._start(name, work, _Kind(critical, endless=critical))

    def start_declared(self, name: str, declared: Task | Work) -> None:
        """Start what `Parts(tasks=...)` lists under *name*: critical, unless it is a `Task` that says otherwise."""
        task = declared if isinstance(declared, Task) else Task(declared)
        work = task.run() if task.restart is None else self._restarted(task.run, task.restart)
        self._start(name, work, _Kind(task.critical and task.restart is None, endless=False))

    def _start(self, name: str, work: Coroutine[object, object, None], kind: _Kind) -> None:
        if self._closing:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(_contained(work), name=name)
        self._tasks[task] = kind
        task.add_done_callback(self._ended)
        task.add_done_callback(lambda _: work.close())  # of no effect, unless it was cancelled before its first step

    def every(self, seconds: float, work: Callable[[], Awaitable[object]]) -> Work:
        """A task, for `Parts(tasks=...)`, that calls *work*, and again *seconds* after each call has ended.

        A call that raises is logged, counted and reported, and the next one comes all the same.
        """

        async def repeat() -> None:
            while True:
                if (error := await _failure_of(work)) is not None:
                    self._failed("periodic task failed", error, critical=False)
                await asyncio.sleep(seconds)

        return repeat

    async def _restarted(self, work: Work, restart: Restart) -> None:
        """Run *work* until it returns; after a failure again, each time later, until it has run for a while."""
        loop, delay = asyncio.get_running_loop(), restart.first_seconds
        while True:
            started = loop.time()
            if (error := await _failure_of(work)) is None:
                return
            if loop.time() - started > restart.most_seconds:
                delay = restart.first_seconds
            self._failed("background task failed", error, critical=False, restart_seconds=delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, restart.most_seconds)

    def _ended(self, task: asyncio.Task[None]) -> None:
        kind = self._tasks.pop(task)
        error = _error_of(task)
        ended_by_us = self._closing and (error is None or task.cancelled())
        if ended_by_us or (error is None and not kind.endless):
            return
        event = "background task failed" if error else "critical background task returned"
        self._failed(event, error, critical=kind.critical, task=task.get_name())
        if kind.critical:
            self._lifecycle.fail_unhandled(f"the critical background task {task.get_name()!r} died")

    def _failed(
        self, event: str, error: BaseException | None, *, critical: bool, task: str = "", **details: float
    ) -> None:
        name = task or (current.get_name() if (current := asyncio.current_task()) else "")
        self._failures.labels("background task").inc()
        _log.error(event, task=name, critical=critical, exc_info=error, **details)
        if error is not None:
            self._reporter.report(error, where="background task", transaction=name)

    async def close(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        self._closing = True
        await end(self._tasks)


async def _contained(work: Coroutine[object, object, None]) -> None:
    try:
        await work
    except (SystemExit, KeyboardInterrupt) as error:  # these would break out of the event loop itself
        raise RuntimeError(f"the task raised {type(error).__name__}") from error


async def _failure_of(work: Callable[[], Awaitable[object]]) -> BaseException | None:
    """What *work* raises; a cancellation of this task itself passes."""
    try:
        await work()
    except asyncio.CancelledError as error:
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
        return error  # what it waited for was cancelled
    except (SystemExit, KeyboardInterrupt) as error:  # these would break out of the event loop itself
        return error
    except Exception as error:  # noqa: BLE001 - one failure must not be the end of all later calls
        return error
    return None


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
