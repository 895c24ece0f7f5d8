from __future__ import annotations

import asyncio
import threading
import time

import pytest

from acme_service.chassis.metrics import SharedExposition

pytestmark = pytest.mark.anyio


class Counted:
    """An exposition that takes a while, or works for it, and says which one it is."""

    def __init__(self, seconds: float = 0.02, *, works: bool = False) -> None:
        self.seconds, self.works = seconds, works
        self.made = self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self) -> bytes:
        with self._lock:
            self.made += 1
            number = self.made
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
        self._take()
        with self._lock:
            self.at_once -= 1
        if number == 3:
            raise ValueError("the third one fails")
        return b"%d" % number

    def _take(self) -> None:
        if not self.works:
            time.sleep(self.seconds)
        ends = time.thread_time() + self.seconds
        while self.works and time.thread_time() < ends:
            pass


async def test_all_who_wait_share_the_next_exposition() -> None:
    counted = Counted()
    shared = SharedExposition(counted)

    async def scrape(after_seconds: float) -> bytes:
        await asyncio.sleep(after_seconds)
        return await shared()

    assert {b"1"} == set(await asyncio.gather(*(scrape(0) for _ in range(30))))
    assert 1 == counted.made
    first = asyncio.create_task(shared())
    await asyncio.sleep(0.03)  # it has begun, so that it may lack what has happened since
    assert b"2" == await first
    assert 1 == counted.most_at_once


async def test_an_exposition_that_has_begun_is_not_shared() -> None:
    counted = Counted(0.1)
    shared = SharedExposition(counted)
    first = asyncio.create_task(shared())
    await asyncio.sleep(0.05)

    assert b"2" == await shared()
    assert b"1" == await first
    assert (2, 1) == (counted.made, counted.most_at_once)


async def test_a_scraper_that_leaves_takes_it_from_no_other() -> None:
    shared = SharedExposition(Counted())
    leaves, stays = asyncio.create_task(shared()), asyncio.create_task(shared())
    await asyncio.sleep(0)
    leaves.cancel()

    assert b"1" == await stays


async def test_a_failure_is_raised_to_all_who_waited_and_the_next_works() -> None:
    shared = SharedExposition(Counted(0.001))
    assert [b"1", b"2"] == [await shared(), await shared()]

    failed = await asyncio.gather(shared(), shared(), return_exceptions=True)

    assert [ValueError, ValueError] == [type(error) for error in failed]
    assert b"4" == await shared()


async def test_however_many_scrape_half_of_the_time_is_left() -> None:
    counted = Counted(0.02, works=True)
    shared = SharedExposition(counted)
    ends = time.monotonic() + 0.4

    async def scrape() -> None:
        while counted.made < 3 and time.monotonic() < ends:
            await asyncio.gather(shared(), return_exceptions=True)

    started = time.monotonic()
    await asyncio.gather(*(scrape() for _ in range(10)))

    assert time.monotonic() - started > 3 * 0.02 + 2 * 0.02


async def test_the_time_in_which_the_process_was_stopped_is_not_rested() -> None:
    shared = SharedExposition(Counted(0.5))
    await shared()
    started = time.monotonic()
    await shared()

    assert time.monotonic() - started < 0.5 + 0.4
