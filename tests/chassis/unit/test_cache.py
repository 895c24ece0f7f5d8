"""The cache of one process: bounded, fresh, and one load for all who ask at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from acme_service.chassis.cache.memory import CacheStats, MemoryCache

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Source:
    """Where values come from: counts how often it is asked, and answers when it is told to."""

    def __init__(self, value: bytes = b"one", *, held: bool = False) -> None:
        self.value = value
        self.loads = 0
        self.open = asyncio.Event()
        if not held:
            self.open.set()

    async def load(self) -> bytes:
        self.loads += 1
        value = self.value
        await self.open.wait()
        return value


def returning(value: bytes) -> Callable[[], Awaitable[bytes]]:
    async def load() -> bytes:
        return value

    return load


async def started(*callers: Awaitable[bytes]) -> list[asyncio.Task[bytes]]:
    """Tasks for *callers*, each run up to where it has to wait."""
    tasks = [asyncio.ensure_future(caller) for caller in callers]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_a_value_is_loaded_once_and_then_kept() -> None:
    cache, source = MemoryCache(), Source()

    assert b"one" == await cache.get_or_load("k", source.load)
    assert b"one" == await cache.get_or_load("k", source.load)
    assert 1 == source.loads
    assert CacheStats(hits=1, misses=1, evictions=0) == cache.stats


async def test_a_renewed_cache_is_empty() -> None:
    cache, source = MemoryCache(), Source()

    await cache.get_or_load("k", source.load)
    await cache.renew()
    await cache.get_or_load("k", source.load)
    assert 2 == source.loads


async def test_a_value_older_than_its_time_to_live_is_loaded_again() -> None:
    clock = Clock()
    cache, source = MemoryCache(ttl_seconds=60, clock=clock), Source()
    await cache.get_or_load("k", source.load)

    clock.seconds = 59.9
    await cache.get_or_load("k", source.load)
    assert 1 == source.loads

    clock.seconds = 60
    await cache.get_or_load("k", source.load)
    assert 2 == source.loads


async def test_the_least_recently_used_entry_is_pushed_out_first() -> None:
    cache = MemoryCache(max_entries=2)
    await cache.get_or_load("old", returning(b"1"))
    await cache.get_or_load("new", returning(b"2"))
    await cache.get_or_load("old", returning(b"-"))
    await cache.get_or_load("third", returning(b"3"))

    assert b"1" == await cache.get_or_load("old", returning(b"again"))
    assert b"again" == await cache.get_or_load("new", returning(b"again"))


async def test_evictions_are_counted_and_the_size_stays_bounded() -> None:
    cache = MemoryCache(max_entries=10)
    for number in range(1_000):
        await cache.get_or_load(str(number), returning(b"x"))

    assert 10 == len(cache)
    assert 990 == cache.stats.evictions


async def test_fifty_concurrent_misses_share_one_load() -> None:
    cache, source = MemoryCache(), Source(held=True)
    callers = await started(*(cache.get_or_load("k", source.load) for _ in range(50)))
    source.open.set()

    assert [b"one"] * 50 == await asyncio.gather(*callers)
    assert 1 == source.loads


async def test_a_failed_load_reaches_all_who_share_it_and_is_not_kept() -> None:
    cache = MemoryCache()
    source = Source(held=True)

    async def failing() -> bytes:
        await source.load()
        raise LookupError("nothing there")

    callers = await started(*(cache.get_or_load("k", failing) for _ in range(3)))
    source.open.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)

    assert ["nothing there"] * 3 == [str(outcome) for outcome in outcomes]
    assert 1 == source.loads
    assert b"there now" == await cache.get_or_load("k", returning(b"there now"))


async def test_a_cancelled_leader_does_not_cancel_those_who_wait() -> None:
    cache, source = MemoryCache(), Source(held=True)
    leader, first, second = await started(*(cache.get_or_load("k", source.load) for _ in range(3)))
    leader.cancel()
    await asyncio.wait({leader})
    source.open.set()

    assert [b"one"] * 2 == list(await asyncio.gather(first, second))
    assert leader.cancelled()
    assert 2 == source.loads, "one of those who waited took the load over, for all of them"


async def test_a_cancelled_waiter_cancels_nobody_else() -> None:
    cache, source = MemoryCache(), Source(held=True)
    leader, first, second = await started(*(cache.get_or_load("k", source.load) for _ in range(3)))
    first.cancel()
    await asyncio.wait({first})
    source.open.set()

    assert [b"one"] * 2 == list(await asyncio.gather(leader, second))
    assert 1 == source.loads


async def test_what_was_invalidated_is_loaded_again() -> None:
    cache = MemoryCache()
    await cache.get_or_load("k", returning(b"before"))
    await cache.invalidate("k")

    assert b"after" == await cache.get_or_load("k", returning(b"after"))


async def test_an_invalidation_during_a_load_gives_the_value_to_who_asked_before_and_keeps_it_not() -> None:
    cache, source = MemoryCache(max_entries=1), Source(b"before", held=True)
    (early,) = await started(cache.get_or_load("k", source.load))
    await cache.invalidate("k")
    await cache.get_or_load("other", returning(b"pushes the tombstone out"))
    source.open.set()

    assert b"before" == await early
    assert b"after" == await cache.get_or_load("k", returning(b"after"))


async def test_who_asks_after_an_invalidation_does_not_share_a_load_that_began_before() -> None:
    cache, source = MemoryCache(), Source(b"before", held=True)
    (early,) = await started(cache.get_or_load("k", source.load))
    await cache.invalidate("k")

    assert b"after" == await cache.get_or_load("k", returning(b"after"))

    source.open.set()
    assert b"before" == await early


async def test_what_is_loaded_shortly_after_an_invalidation_is_not_kept() -> None:
    """The commit may land after it; so a single call, before the commit, is enough to keep the old value out."""
    clock = Clock()
    cache = MemoryCache(tombstone_seconds=5, clock=clock)
    await cache.invalidate("k")

    assert b"uncommitted" == await cache.get_or_load("k", returning(b"uncommitted"))
    clock.seconds = 4.9
    assert b"committed" == await cache.get_or_load("k", returning(b"committed"))
    clock.seconds = 5.1
    assert b"committed" == await cache.get_or_load("k", returning(b"committed"))
    assert b"committed" == await cache.get_or_load("k", returning(b"not asked for"))
