"""The phases of the process, and what they mean to others."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from acme_service.chassis.lifecycle import Lifecycle, Phase

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("phase", "ready"),
    [(Phase.STARTING, False), (Phase.READY, True), (Phase.DRAINING, False), (Phase.STOPPING, False)],
)
def test_only_one_phase_is_ready(phase: Phase, *, ready: bool) -> None:
    lifecycle = Lifecycle()
    lifecycle.advance(phase)

    assert ready == lifecycle.ready


def test_no_phase_comes_back() -> None:
    lifecycle = Lifecycle()
    lifecycle.advance(Phase.DRAINING)
    lifecycle.advance(Phase.READY)

    assert Phase.DRAINING is lifecycle.phase


async def test_streams_wait_until_the_drain_is_over() -> None:
    lifecycle = Lifecycle()
    waiting = asyncio.create_task(lifecycle.wait_until_stopping())
    lifecycle.advance(Phase.DRAINING)
    await asyncio.sleep(0)
    assert not waiting.done()

    lifecycle.advance(Phase.STOPPING)
    await asyncio.wait_for(waiting, 1)


async def test_the_end_waits_for_all_unfinished_work() -> None:
    lifecycle = Lifecycle()
    await asyncio.wait_for(lifecycle.wait_until_finished(), 1)
    waiting = []
    with lifecycle.unfinished():
        with suppress(ZeroDivisionError), lifecycle.unfinished():
            raise ZeroDivisionError
        waiting.append(asyncio.create_task(lifecycle.wait_until_finished()))
        await asyncio.sleep(0.01)
        assert not waiting[0].done()

    await asyncio.wait_for(waiting[0], 1)
