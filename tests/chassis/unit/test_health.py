"""Readiness: parallel, bounded in time, briefly remembered, and silent about names to the public."""

from __future__ import annotations

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from acme_service.chassis.health import Readiness
from acme_service.chassis.lifecycle import Lifecycle, Phase

pytestmark = pytest.mark.anyio


class Dependency:
    """Something outside the process, in a state that the test sets."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.delay_seconds = 0.0
        self.stubborn = False
        self.asked = 0

    async def ping(self) -> None:
        self.asked += 1
        until = time.monotonic() + self.delay_seconds
        while (left := until - time.monotonic()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
        if self.error is not None:
            raise self.error


async def seconds_until(readiness: Readiness, *, ready: bool) -> float:
    """How long a prober that asks 100 times a second sees the other verdict."""
    began = time.monotonic()
    while await readiness.check() is not ready:
        await asyncio.sleep(0.01)
    return time.monotonic() - began


@pytest.fixture
def lifecycle() -> Lifecycle:
    lifecycle = Lifecycle()
    lifecycle.advance(Phase.READY)
    return lifecycle


async def test_a_process_whose_dependencies_answer_is_ready(lifecycle: Lifecycle) -> None:
    assert await Readiness({"database": Dependency().ping}, lifecycle).check()


async def test_a_process_without_dependencies_is_ready(lifecycle: Lifecycle) -> None:
    assert await Readiness({}, lifecycle).check()


async def test_one_failing_dependency_is_enough_not_to_be_ready(lifecycle: Lifecycle) -> None:
    broken = Dependency()
    broken.error = ConnectionRefusedError("rejected")

    assert not await Readiness({"database": broken.ping, "other": Dependency().ping}, lifecycle).check()


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.DRAINING, Phase.STOPPING])
async def test_a_process_that_starts_or_stops_is_not_ready_and_asks_nobody(phase: Phase) -> None:
    lifecycle, dependency = Lifecycle(), Dependency()
    lifecycle.advance(phase)

    assert not await Readiness({"database": dependency.ping}, lifecycle).check()
    assert 0 == dependency.asked


async def test_the_first_signal_shows_at_once_although_the_last_verdict_was_good(lifecycle: Lifecycle) -> None:
    readiness = Readiness({}, lifecycle, cache_seconds=60)
    assert await readiness.check()

    lifecycle.advance(Phase.DRAINING)

    assert not await readiness.check()


async def test_a_signal_during_a_check_makes_its_answer_no(lifecycle: Lifecycle) -> None:
    async def signalled() -> None:
        lifecycle.advance(Phase.DRAINING)

    assert not await Readiness({"database": signalled}, lifecycle).check()


async def test_checks_run_side_by_side(lifecycle: Lifecycle) -> None:
    barrier = asyncio.Barrier(5)

    async def waits_for_the_others() -> None:
        await barrier.wait()

    assert await Readiness(dict.fromkeys("abcde", waits_for_the_others), lifecycle, timeout_seconds=10).check()


async def test_a_dependency_that_hangs_is_given_up_in_time(lifecycle: Lifecycle) -> None:
    hanging = Dependency()
    hanging.delay_seconds = 60
    began = time.monotonic()

    assert not await Readiness({"database": hanging.ping}, lifecycle, timeout_seconds=0.05).check()
    assert time.monotonic() - began < 10


async def test_a_driver_that_ignores_its_cancellation_cannot_hold_a_probe(lifecycle: Lifecycle) -> None:
    stubborn = Dependency()
    stubborn.delay_seconds, stubborn.stubborn = 1.0, True
    readiness = Readiness({"database": stubborn.ping}, lifecycle, timeout_seconds=0.05, cache_seconds=0)

    assert not await readiness.check()
    assert not await readiness.check()
    assert 1 == stubborn.asked, "a second check while the first still hangs would add one task for each probe"

    stubborn.delay_seconds = 0
    async with asyncio.timeout(10):
        while not await readiness.check():
            await asyncio.sleep(0.05)


async def test_many_probes_at_once_ask_once(lifecycle: Lifecycle) -> None:
    dependency = Dependency()
    dependency.delay_seconds = 0.02
    readiness = Readiness({"database": dependency.ping}, lifecycle)

    assert [True] * 20 == await asyncio.gather(*(readiness.check() for _ in range(20)))
    assert await readiness.check()
    assert 1 == dependency.asked


async def test_a_loss_shows_within_two_seconds_and_a_return_within_one(lifecycle: Lifecycle) -> None:
    dependency = Dependency()
    readiness = Readiness({"database": dependency.ping}, lifecycle)
    assert await readiness.check()

    dependency.delay_seconds = 60
    assert await seconds_until(readiness, ready=False) < 2

    dependency.delay_seconds = 0
    assert await seconds_until(readiness, ready=True) < 1


async def test_a_probe_that_hangs_up_does_not_spoil_the_others(lifecycle: Lifecycle) -> None:
    dependency = Dependency()
    dependency.delay_seconds = 0.05
    readiness = Readiness({"database": dependency.ping}, lifecycle)
    first, second = (asyncio.ensure_future(readiness.check()) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()

    assert await second


async def test_names_are_logged_when_they_change_and_not_at_every_probe(lifecycle: Lifecycle) -> None:
    dependency = Dependency()
    readiness = Readiness({"database": dependency.ping}, lifecycle, cache_seconds=0)
    with capture_logs() as lines:
        await readiness.check()
        dependency.error = OSError("no route\nto host")
        for _ in range(3):
            await readiness.check()
        dependency.error = None
        for _ in range(3):
            await readiness.check()

    assert [
        {"event": "not ready", "log_level": "warning", "failing": {"database": "OSError: no route"}},
        {"event": "ready again", "log_level": "info"},
    ] == lines
