"""Endless streams end with the process, in time and with exit code 0."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from acme_service.chassis.lifecycle import Lifecycle, Phase

from .harness import served

SERVE = ("-m", "chassis.open.served")


@pytest.mark.parametrize(
    ("path", "first", "last"),
    [("/sse", "data: first", ""), ("/own", "tick", "goodbye"), ("/silent", "first", "goodbye")],
)
def test_a_stream_ends_with_the_process(tmp_path: Path, path: str, first: str, last: str) -> None:
    with served(SERVE, tmp_path) as server:
        server.wait_until_ready()
        with httpx2.stream("GET", server.url + path, timeout=20) as response:
            chunks = response.iter_text()
            received = next(chunks)
            code, seconds = server.end()
            received += "".join(chunks)

    assert received.startswith(first)
    assert received.rstrip().endswith(last or "data: first")
    assert 0 == code, server.told()
    assert seconds < 3


def test_event_streams_of_a_library_that_is_told_end_with_the_process(tmp_path: Path) -> None:
    with served(SERVE, tmp_path, TELL_SSE="1") as server:
        server.wait_until_ready()
        with httpx2.stream("GET", f"{server.url}/sse-alone", timeout=20) as response:
            next(response.iter_text())
            code, seconds = server.end()

    assert 0 == code, server.told()
    assert seconds < 3


def test_a_stream_that_is_not_told_is_cut_off(tmp_path: Path) -> None:
    """So that the tests above show what they say."""
    with served(SERVE, tmp_path, SHUTDOWN_DEADLINE_SECONDS="1") as server:
        server.wait_until_ready()
        with httpx2.stream("GET", f"{server.url}/sse-alone", timeout=20) as response:
            next(response.iter_text())
            code, _ = server.end()

    assert 75 == code, server.told()


class Source:
    """Yields numbers, and notes that it was closed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.closed = False
        self.error = error

    async def numbers(self) -> AsyncIterator[int]:
        try:
            yield 1
            if self.error:
                raise self.error
            yield 2
            await asyncio.sleep(30)
        finally:
            self.closed = True


@pytest.mark.anyio
async def test_items_come_until_the_phase_and_are_closed_then() -> None:
    lifecycle, source = Lifecycle(), Source()
    asyncio.get_running_loop().call_later(0.05, lifecycle.advance, Phase.STOPPING)

    assert [1, 2] == [item async for item in lifecycle.until_stopping(source.numbers())]
    assert source.closed
    assert 0 == asyncio.current_task().cancelling()  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_nothing_comes_after_the_phase() -> None:
    lifecycle, source = Lifecycle(), Source()
    lifecycle.advance(Phase.STOPPING)

    assert [] == [item async for item in lifecycle.until_stopping(source.numbers())]


@pytest.mark.anyio
@pytest.mark.parametrize("error", [TimeoutError("its own"), KeyError("x")])
async def test_an_error_of_the_items_is_raised(error: Exception) -> None:
    lifecycle, source = Lifecycle(), Source(error)
    with pytest.raises(type(error), match=str(error.args[0])):
        [item async for item in lifecycle.until_stopping(source.numbers())]

    assert source.closed


@pytest.mark.anyio
async def test_a_consumer_that_is_cancelled_stays_cancelled() -> None:
    lifecycle, source = Lifecycle(), Source()

    async def consume() -> None:
        async for _ in lifecycle.until_stopping(source.numbers()):
            pass

    task = asyncio.get_running_loop().create_task(consume())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert source.closed
