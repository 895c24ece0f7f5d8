"""Background tasks are supervised: their failure is told at once, and ends the process where it must."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from acme_service.chassis import Restart, Task
from acme_service.chassis.background import BackgroundTasks, measure_loop_lag
from acme_service.chassis.lifecycle import Lifecycle, Phase
from acme_service.chassis.metrics import Metrics
from acme_service.chassis.reports import ErrorReporter

pytestmark = pytest.mark.anyio


async def _fails() -> None:
    raise ValueError("the disk is gone")


async def _settled(tasks: BackgroundTasks) -> None:
    while len(tasks):
        await asyncio.sleep(0)


@pytest.fixture
def reasons() -> list[str]:
    return []


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def tasks(reasons: list[str], metrics: Metrics) -> BackgroundTasks:
    lifecycle = Lifecycle()
    lifecycle.on_failure(reasons.append)
    return BackgroundTasks(lifecycle, metrics.unhandled_exceptions, ErrorReporter())


async def test_a_failure_is_one_log_event_and_is_counted(tasks: BackgroundTasks, metrics: Metrics) -> None:
    with capture_logs() as events:
        tasks.start("import", _fails())
        await _settled(tasks)

    assert [("background task failed", "import")] == [(event["event"], event["task"]) for event in events]
    assert isinstance(events[0]["exc_info"], ValueError)
    assert 1 == metrics.registry.get_sample_value("unhandled_exceptions_total", {"where": "background task"})


async def test_only_a_critical_failure_ends_the_process(tasks: BackgroundTasks, reasons: list[str]) -> None:
    tasks.start("optional", _fails())
    await _settled(tasks)
    assert [] == reasons

    tasks.start("vital", _fails(), critical=True)
    await _settled(tasks)
    assert ["the critical background task 'vital' died"] == reasons


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt()])
def test_what_would_end_the_event_loop_is_a_failure_like_any_other(
    tasks: BackgroundTasks, reasons: list[str], error: BaseException
) -> None:
    async def leaves() -> None:
        raise error

    async def start_both() -> None:
        tasks.start("optional", leaves())
        tasks.start("vital", leaves(), critical=True)
        await _settled(tasks)

    with capture_logs() as events:
        asyncio.run(start_both())

    assert ["optional", "vital"] == [event["task"] for event in events]
    assert all(event["exc_info"].__cause__ is error for event in events)
    assert ["the critical background task 'vital' died"] == reasons


async def test_closing_cancels_what_runs_and_reports_nothing(tasks: BackgroundTasks, reasons: list[str]) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: reasons.append(context["message"]))
    tasks.start("endless", asyncio.sleep(60), critical=True)
    with capture_logs() as events:
        await asyncio.wait_for(tasks.close(), 5)

    assert (0, [], []) == (len(tasks), events, reasons)


async def test_closing_leaves_nothing_of_a_task_that_did_not_begin(tasks: BackgroundTasks) -> None:
    work = asyncio.sleep(60)
    tasks.start("late", work)
    await tasks.close()

    assert inspect.CORO_CLOSED == inspect.getcoroutinestate(work)


async def test_closing_waits_until_all_have_cleaned_up_whatever_that_raises(tasks: BackgroundTasks) -> None:
    cleaned: list[str] = []

    async def works(name: str, seconds: float) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(seconds)
            cleaned.append(name)
            raise ValueError(name)

    tasks.start("first", works("first", 0.01))
    tasks.start("second", works("second", 0.03))
    await asyncio.sleep(0)
    await tasks.close()

    assert ["first", "second"] == cleaned


async def test_closing_ends_a_task_whose_library_raises_in_place_of_the_cancellation(tasks: BackgroundTasks) -> None:
    async def listen() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if ended:
                    raise
                ended.append("once")

    ended: list[str] = []
    tasks.start("listener", listen())
    await asyncio.sleep(0)
    await asyncio.wait_for(tasks.close(), 10)

    assert 0 == len(tasks)


async def test_work_that_returns_is_no_failure(tasks: BackgroundTasks, reasons: list[str]) -> None:
    with capture_logs() as events:
        tasks.start("short", asyncio.sleep(0))
        await _settled(tasks)

    assert ([], []) == (events, reasons)


async def test_critical_work_may_not_return(tasks: BackgroundTasks, metrics: Metrics, reasons: list[str]) -> None:
    with capture_logs() as events:
        tasks.start("vital", asyncio.sleep(0), critical=True)
        await _settled(tasks)

    assert ["critical background task returned"] == [event["event"] for event in events]
    assert 1 == metrics.registry.get_sample_value("unhandled_exceptions_total", {"where": "background task"})
    assert ["the critical background task 'vital' died"] == reasons


async def test_critical_work_may_return_when_it_is_cancelled(tasks: BackgroundTasks, reasons: list[str]) -> None:
    async def works() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    tasks.start("vital", works(), critical=True)
    await asyncio.sleep(0)
    with capture_logs() as events:
        await tasks.close()

    assert ([], []) == (events, reasons)


@pytest.mark.parametrize("critical", [True, False])
async def test_a_cancellation_from_within_is_a_failure(
    tasks: BackgroundTasks, metrics: Metrics, reasons: list[str], *, critical: bool
) -> None:
    async def waits_for_another() -> None:
        another = asyncio.get_running_loop().create_future()
        another.cancel()
        await another

    with capture_logs() as events:
        tasks.start("waits", waits_for_another(), critical=critical)
        await _settled(tasks)

    assert ["background task failed"] == [event["event"] for event in events]
    assert "waits_for_another" in "".join(traceback.format_exception(events[0]["exc_info"]))
    assert 1 == metrics.registry.get_sample_value("unhandled_exceptions_total", {"where": "background task"})
    assert critical == bool(reasons)


async def test_the_lag_of_a_blocked_loop_is_measured(tasks: BackgroundTasks) -> None:
    import time  # noqa: PLC0415 - to block, on purpose

    lags: list[float] = []
    tasks.start("lag", measure_loop_lag(lags.append, interval_seconds=0.01))
    await asyncio.sleep(0.005)
    time.sleep(0.1)  # noqa: ASYNC251 - the loop is blocked on purpose
    await asyncio.sleep(0.02)
    await tasks.close()

    assert 0.05 < max(lags) < 1


async def test_a_periodic_task_goes_on_after_what_it_waited_for_was_cancelled(tasks: BackgroundTasks) -> None:
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        await cancelled

    tasks.start("periodic", tasks.every(0, work)())
    while calls < 3:
        await asyncio.sleep(0)
    await tasks.close()

    assert 0 == len(tasks)


async def test_no_task_is_started_after_the_end(tasks: BackgroundTasks) -> None:
    await tasks.close()
    tasks.start("late", asyncio.sleep(60))

    assert 0 == len(tasks)


@pytest.mark.parametrize(
    ("declared", "deaths"),
    [
        (_fails, 1),
        (Task(_fails), 1),
        (Task(_fails, critical=False), 0),
        (lambda: asyncio.sleep(0), 0),
    ],
)
async def test_a_declared_task_is_critical_unless_it_says_otherwise_and_may_return(
    tasks: BackgroundTasks, reasons: list[str], declared: Any, deaths: int
) -> None:
    tasks.start_declared("declared", declared)
    await _settled(tasks)

    assert ["the critical background task 'declared' died"] * deaths == reasons


async def test_a_failed_task_is_started_again_each_time_later_until_it_returns(
    tasks: BackgroundTasks, reasons: list[str]
) -> None:
    calls = 0

    async def works() -> None:
        nonlocal calls
        calls += 1
        if calls < 5:
            raise SystemExit if calls == 2 else ValueError

    with capture_logs() as events:
        tasks.start_declared("feed", Task(works, restart=Restart(first_seconds=0.001, most_seconds=0.004)))
        await _settled(tasks)

    assert [0.001, 0.002, 0.004, 0.004] == [event["restart_seconds"] for event in events]
    assert ([], 5) == (reasons, calls)


async def test_a_task_that_ran_for_a_while_is_started_again_at_once(tasks: BackgroundTasks) -> None:
    calls = 0

    async def works() -> None:
        nonlocal calls
        calls += 1
        if calls < 5:
            await asyncio.sleep(0.01 if calls == 4 else 0)
            raise ValueError

    with capture_logs() as events:
        tasks.start_declared("feed", Task(works, restart=Restart(first_seconds=0.001, most_seconds=0.004)))
        await _settled(tasks)

    assert [0.001, 0.002, 0.004, 0.001] == [event["restart_seconds"] for event in events]


async def test_a_task_that_waits_to_be_started_again_ends_with_the_service(tasks: BackgroundTasks) -> None:
    tasks.start_declared("feed", Task(_fails, restart=Restart(first_seconds=60)))
    await asyncio.sleep(0.01)
    await asyncio.wait_for(tasks.close(), 5)

    assert 0 == len(tasks)


async def test_what_is_started_later_is_never_critical(metrics: Metrics, reasons: list[str]) -> None:
    lifecycle = Lifecycle()
    lifecycle.on_failure(reasons.append)
    lifecycle.advance(Phase.READY)
    tasks = BackgroundTasks(lifecycle, metrics.unhandled_exceptions, ErrorReporter())
    with capture_logs() as events:
        tasks.start("late", _fails(), critical=True)
        tasks.start("ended", asyncio.sleep(0), critical=True)
        await _settled(tasks)

    assert ["task is not critical", "task is not critical", "background task failed"] == [e["event"] for e in events]
    assert [] == reasons


async def test_the_settings_may_say_to_go_on_without_a_critical_task(metrics: Metrics, reasons: list[str]) -> None:
    lifecycle = Lifecycle(exits_on_unhandled=False)
    lifecycle.on_failure(reasons.append)
    tasks = BackgroundTasks(lifecycle, metrics.unhandled_exceptions, ErrorReporter())
    tasks.start_declared("vital", _fails)
    await _settled(tasks)

    assert [] == reasons
    assert 1 == metrics.registry.get_sample_value("unhandled_exceptions_total", {"where": "background task"})
