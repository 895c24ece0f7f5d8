"""The shared cache against a real Redis: seen by every process, and never wrong when Redis is lost."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError
from structlog.testing import capture_logs

from acme_service.chassis.cache.redis import RedisCache, Timing

from ..redis_server import RedisServer

pytestmark = pytest.mark.anyio

QUICK = Timing(command=0.5, probe=0.05, settle=0.15, tombstone=0.4)
PATIENT = replace(QUICK, command=10)
"""Where Redis is not lost: a busy machine must not look like a loss."""


def returning(value: bytes) -> Callable[[], Awaitable[bytes]]:
    async def load() -> bytes:
        return value

    return load


async def untouched() -> bytes:
    raise AssertionError("the value stands in the cache and need not be loaded")


@asynccontextmanager
async def running(
    url: str, prefix: str, *, ttl_seconds: float = 60, max_remembered: int = 1_000, timing: Timing = QUICK
) -> AsyncIterator[RedisCache]:
    """A cache as one process has it: started, watched, closed."""
    cache = RedisCache(url, prefix=prefix, ttl_seconds=ttl_seconds, max_remembered=max_remembered, timing=timing)
    await cache.start()
    watch = asyncio.ensure_future(cache.watch())
    try:
        yield cache
    finally:
        watch.cancel()
        await asyncio.wait({watch})
        await cache.close()


async def trusted(cache: RedisCache, *, within_seconds: float = 5) -> None:
    async with asyncio.timeout(within_seconds):
        while not cache.is_healthy():
            await asyncio.sleep(0.01)


@pytest.fixture
async def pair(shared_redis_url: str, redis_prefix: str) -> AsyncIterator[tuple[RedisCache, RedisCache]]:
    """The caches of two processes on one Redis."""
    async with (
        running(shared_redis_url, redis_prefix, timing=PATIENT) as one,
        running(shared_redis_url, redis_prefix, timing=PATIENT) as other,
    ):
        yield one, other


@pytest.fixture
async def lossy_pair(redis_server: RedisServer) -> AsyncIterator[tuple[RedisCache, RedisCache]]:
    """As `pair`, on a Redis that the test may break."""
    async with running(redis_server.url, "lossy:") as one, running(redis_server.url, "lossy:") as other:
        yield one, other


async def test_a_value_that_one_process_loaded_is_there_for_the_other(pair: tuple[RedisCache, RedisCache]) -> None:
    one, other = pair

    assert b"one" == await one.get_or_load("k", returning(b"one"))
    assert b"one" == await other.get_or_load("k", untouched)
    assert (0, 1) == (one.stats.hits, one.stats.misses)
    assert (1, 0) == (other.stats.hits, other.stats.misses)


async def test_an_empty_value_and_bytes_of_any_kind_come_back_as_they_were(pair: tuple[RedisCache, RedisCache]) -> None:
    one, other = pair
    for value in (b"", b"=", b"!", b"?", bytes(range(256))):
        await one.get_or_load(value.hex(), returning(value))

        assert value == await other.get_or_load(value.hex(), untouched)


async def test_a_value_is_gone_after_its_time_to_live(shared_redis_url: str, redis_prefix: str) -> None:
    async with running(shared_redis_url, redis_prefix, ttl_seconds=0.05, timing=PATIENT) as cache:
        await cache.get_or_load("k", returning(b"old"))
        await asyncio.sleep(0.1)

        assert b"new" == await cache.get_or_load("k", returning(b"new"))


FOREIGN = [
    "SET {} x",
    "SET {} ''",
    "SET {} =",
    "SET {} =value",
    "RPUSH {} 1",
    "HSET {} a b",
    "SET {} ?stranger",
    "SET {} !x PX 50",
    "SET {} !x",
    "SET {} !",
]


@pytest.mark.parametrize("command", FOREIGN)
async def test_a_foreign_value_is_a_miss_and_then_replaced(
    pair: tuple[RedisCache, RedisCache], shared_redis_url: str, redis_prefix: str, command: str
) -> None:
    one, other = pair
    async with Redis.from_url(shared_redis_url) as client:
        words = [word.replace("''", "") for word in command.format(f"{redis_prefix}:k").split()]
        await client.execute_command(*words)  # type: ignore[no-untyped-call]
    assert b"one" == await one.get_or_load("k", returning(b"one"))
    await asyncio.sleep(QUICK.tombstone + 0.1)
    assert b"one" == await one.get_or_load("k", returning(b"one"))

    assert b"one" == await other.get_or_load("k", untouched)
    assert one.is_healthy()


@pytest.mark.parametrize(
    "damage", [lambda kept: kept[:-1], lambda kept: kept + b"x", lambda kept: kept[:5], lambda kept: b"=" + kept]
)
async def test_a_damaged_value_and_that_of_another_key_is_a_miss(
    pair: tuple[RedisCache, RedisCache], shared_redis_url: str, redis_prefix: str, damage: Callable[[bytes], bytes]
) -> None:
    one, _ = pair
    await one.get_or_load("k", returning(b"before"))
    async with Redis.from_url(shared_redis_url) as client:
        kept = await client.get(f"{redis_prefix}:k")
        assert isinstance(kept, bytes)
        await client.set(f"{redis_prefix}:k", damage(kept))
        await client.set(f"{redis_prefix}:l", kept)

    assert b"after" == await one.get_or_load("k", returning(b"after"))
    assert b"other" == await one.get_or_load("l", returning(b"other"))


async def test_what_one_process_invalidates_the_other_loads_again(pair: tuple[RedisCache, RedisCache]) -> None:
    one, other = pair
    await other.get_or_load("k", returning(b"before"))
    await one.invalidate("k")

    assert b"after" == await other.get_or_load("k", returning(b"after"))


async def test_fifty_concurrent_misses_share_one_load(shared_redis_url: str, redis_prefix: str) -> None:
    loads = 0

    async def load() -> bytes:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0.05)
        return b"one"

    # Its lease must not expire before the last of them has read it, however busy the machine is.
    async with running(shared_redis_url, redis_prefix, timing=replace(PATIENT, tombstone=60)) as one:
        assert [b"one"] * 50 == list(await asyncio.gather(*(one.get_or_load("k", load) for _ in range(50))))
    assert loads == 1


class LateReply(RedisCache):
    """Gets the reply to its second read only when it is told to; a probe at the start is its first command."""

    def __init__(self, url: str, *, prefix: str, timing: Timing) -> None:
        super().__init__(url, prefix=prefix, timing=timing)
        self.asked = 0
        self.told = asyncio.Event()

    async def _ask(self, command: Awaitable[Any]) -> Any:
        self.asked += 1
        late = self.asked == 3
        reply = await super()._ask(command)
        if late:
            await self.told.wait()
        return reply


async def test_a_miss_that_is_told_late_shares_a_load_that_has_ended(shared_redis_url: str, redis_prefix: str) -> None:
    """Redis replied to it during the load, and the process was busy with the others."""
    cache = LateReply(shared_redis_url, prefix=redis_prefix, timing=replace(PATIENT, tombstone=60))
    await cache.start()
    began = asyncio.Event()
    ends = asyncio.Event()

    async def load() -> bytes:
        began.set()
        await ends.wait()
        return b"one"

    first = asyncio.ensure_future(cache.get_or_load("k", load))
    await began.wait()
    late = asyncio.ensure_future(cache.get_or_load("k", untouched))
    while cache.asked < 3:
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    ends.set()
    assert b"one" == await first
    cache.told.set()

    assert b"one" == await late
    await cache.close()


async def test_an_invalidation_elsewhere_during_a_load_keeps_the_old_value_out(
    pair: tuple[RedisCache, RedisCache],
) -> None:
    one, other = pair

    async def overtaken() -> bytes:
        await other.invalidate("k")
        return b"before"

    assert b"before" == await one.get_or_load("k", overtaken)
    await asyncio.sleep(QUICK.tombstone + 0.1)
    assert b"after" == await one.get_or_load("k", returning(b"after"))


async def test_a_load_that_outlasts_the_tombstone_of_an_invalidation_stores_nothing(
    pair: tuple[RedisCache, RedisCache],
) -> None:
    """A time limit on the tombstone alone would let it through: only the lease knows."""
    one, other = pair

    async def slow() -> bytes:
        await other.invalidate("k")
        await asyncio.sleep(QUICK.tombstone + 0.1)
        return b"before"

    assert b"before" == await one.get_or_load("k", slow)
    assert b"after" == await one.get_or_load("k", returning(b"after"))


async def test_who_asks_after_an_invalidation_elsewhere_shares_no_load_that_began_before(
    pair: tuple[RedisCache, RedisCache],
) -> None:
    one, other = pair
    opened = asyncio.Event()

    async def slow() -> bytes:
        await opened.wait()
        return b"before"

    early = asyncio.ensure_future(one.get_or_load("k", slow))
    await asyncio.sleep(0.05)
    await other.invalidate("k")

    assert b"after" == await one.get_or_load("k", returning(b"after"))
    opened.set()
    assert b"before" == await early


async def test_shortly_after_an_invalidation_nothing_is_stored(pair: tuple[RedisCache, RedisCache]) -> None:
    """So one call before the commit is enough, even if the process dies before the second."""
    one, other = pair
    await one.invalidate("k")

    assert b"uncommitted" == await other.get_or_load("k", returning(b"uncommitted"))
    assert b"committed" == await other.get_or_load("k", returning(b"committed"))


async def test_a_cancelled_leader_does_not_cancel_those_who_wait(pair: tuple[RedisCache, RedisCache]) -> None:
    one, _ = pair
    opened = asyncio.Event()

    async def slow() -> bytes:
        await opened.wait()
        return b"one"

    leader, *others = (asyncio.ensure_future(one.get_or_load("k", slow)) for _ in range(5))
    await asyncio.sleep(0.05)
    leader.cancel()
    await asyncio.wait({leader})
    opened.set()

    assert [b"one"] * 4 == list(await asyncio.gather(*others))


async def test_commands_cut_off_in_flight_never_hand_their_answer_to_another(
    pair: tuple[RedisCache, RedisCache],
) -> None:
    """A connection whose answer was not read must not serve the next request: it would get a stranger's value."""
    one, _ = pair
    keys = [str(number) for number in range(50)]
    for key in keys:
        await one.get_or_load(key, returning(key.encode()))
    for round_ in range(40):
        tasks = {key: asyncio.ensure_future(one.get_or_load(key, untouched)) for key in keys}
        for _ in range(round_ % 8):
            await asyncio.sleep(0)
        for key in keys[::3]:
            tasks[key].cancel()
        outcomes = await asyncio.gather(*tasks.values(), return_exceptions=True)

        assert [key.encode() for key in keys if int(key) % 3] == [
            outcome for key, outcome in zip(keys, outcomes, strict=True) if int(key) % 3
        ]
    assert one.is_healthy()


async def test_without_redis_the_service_starts_and_loads_directly(redis_server: RedisServer) -> None:
    redis_server.kill()
    async with running(redis_server.url, "k:") as cache:
        assert b"one" == await cache.get_or_load("k", returning(b"one"))
        assert b"two" == await cache.get_or_load("k", returning(b"two"))
        await cache.invalidate("k")

        redis_server.start()
        await trusted(cache)
        await cache.get_or_load("k2", returning(b"kept"))
        assert b"kept" == await cache.get_or_load("k2", untouched)


async def test_a_killed_redis_costs_no_error_and_is_used_again_when_it_is_back(
    redis_server: RedisServer, lossy_pair: tuple[RedisCache, RedisCache]
) -> None:
    one, _ = lossy_pair
    await one.get_or_load("k", returning(b"one"))
    redis_server.kill()
    with capture_logs() as lines:
        for number in range(100):
            assert b"%d" % number == await one.get_or_load("k", returning(b"%d" % number))
        redis_server.start()
        await trusted(one)

    await one.get_or_load("again", returning(b"again"))
    assert b"again" == await one.get_or_load("again", untouched)
    assert {"redis lost", "redis trusted again"} == {line["event"] for line in lines}
    assert len(lines) <= 4, "once for each process, not for each request"


async def test_a_frozen_redis_delays_one_request_by_its_limit_and_the_next_not_at_all(
    redis_server: RedisServer, lossy_pair: tuple[RedisCache, RedisCache]
) -> None:
    one, _ = lossy_pair
    await one.get_or_load("k", returning(b"one"))
    redis_server.freeze()
    try:
        async with asyncio.timeout(20 * QUICK.command):
            for _ in range(1_000):
                assert b"direct" == await one.get_or_load("k", returning(b"direct"))
    finally:
        redis_server.thaw()


async def test_what_was_changed_while_redis_was_frozen_is_not_read_from_it_by_anyone(
    redis_server: RedisServer, lossy_pair: tuple[RedisCache, RedisCache]
) -> None:
    """The frozen Redis still holds the old value when it goes on."""
    one, other = lossy_pair
    keys = [str(number) for number in range(200)]
    for key in keys:
        await one.get_or_load(key, returning(b"before"))
    redis_server.freeze()
    try:
        for key in keys:
            await one.invalidate(key)
        await asyncio.sleep(QUICK.command + QUICK.probe)  # the other one notices as well
        assert not other.is_healthy()
    finally:
        redis_server.thaw()
    thawed_at = time.monotonic()

    for cache in (one, other):
        await trusted(cache)
    assert time.monotonic() - thawed_at >= QUICK.settle, "each waits until the others have delivered as well"
    for cache in (one, other):
        for key in keys:
            assert b"after" == await cache.get_or_load(key, returning(b"after"))


async def test_an_error_in_place_of_a_cancellation_does_not_keep_the_watch_alive(
    pair: tuple[RedisCache, RedisCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the client raises one when it closes a connection whose server has stalled."""
    asked: list[str] = []

    async def probe() -> None:
        asked.append("once")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise RedisTimeoutError("Timed out closing connection") from None

    cache = pair[0]
    monkeypatch.setattr(cache, "_probe", probe)
    watch = asyncio.ensure_future(cache.watch())
    while not asked:
        await asyncio.sleep(0.01)
    watch.cancel()
    await asyncio.wait({watch}, timeout=5)

    assert watch.cancelled()


async def test_an_invalidation_whose_task_is_cancelled_is_delivered_all_the_same(
    redis_server: RedisServer, lossy_pair: tuple[RedisCache, RedisCache]
) -> None:
    one, other = lossy_pair
    await one.get_or_load("k", returning(b"before"))
    redis_server.freeze()
    try:
        writer = asyncio.ensure_future(one.invalidate("k"))
        await asyncio.sleep(0.02)
        writer.cancel()
        await asyncio.wait({writer})
        assert writer.cancelled()
        assert not one.is_healthy()
    finally:
        redis_server.thaw()
    await trusted(one)

    assert b"after" == await other.get_or_load("k", returning(b"after"))


async def test_a_value_whose_storing_was_stuck_in_a_frozen_redis_is_void_when_it_goes_on(
    redis_server: RedisServer, lossy_pair: tuple[RedisCache, RedisCache]
) -> None:
    one, other = lossy_pair

    async def overtaken() -> bytes:
        await other.invalidate("k")  # delivered, and expired before Redis executes what is sent now
        redis_server.freeze()
        return b"before"

    try:
        assert b"before" == await one.get_or_load("k", overtaken)
        await asyncio.sleep(QUICK.tombstone + 0.1)
    finally:
        redis_server.thaw()
    await trusted(one)

    assert b"after" == await one.get_or_load("k", returning(b"after"))


async def test_who_shares_a_load_does_not_wait_until_it_is_stored(
    redis_server: RedisServer, lossy_pair: tuple[RedisCache, RedisCache]
) -> None:
    one, _ = lossy_pair
    opened = asyncio.Event()

    async def slow() -> bytes:
        await opened.wait()
        return b"one"

    leader, waiter = (asyncio.ensure_future(one.get_or_load("k", slow)) for _ in range(2))
    await asyncio.sleep(0.05)
    redis_server.freeze()
    try:
        opened.set()
        assert b"one" == await waiter
        assert not leader.done()
        assert b"one" == await leader
    finally:
        redis_server.thaw()


async def test_a_redis_that_takes_no_writes_is_not_trusted(redis_server: RedisServer) -> None:
    """A full one answers every ping, and could take no tombstone."""
    client = Redis.from_url(redis_server.url)
    async with running(redis_server.url, "k:") as cache:
        await cache.get_or_load("k", returning(b"before"))
        await client.config_set("maxmemory", 1)
        assert b"new" == await cache.get_or_load("new", returning(b"new"))
        await asyncio.sleep(QUICK.probe * 4 + QUICK.settle)
        assert not cache.is_healthy()

        await cache.invalidate("k")
        await client.config_set("maxmemory", 0)
        await trusted(cache)
        assert b"after" == await cache.get_or_load("k", returning(b"after"))
    await client.aclose()


async def test_more_lost_invalidations_than_are_remembered_keep_redis_out_until_its_values_are_too_old(
    redis_server: RedisServer,
) -> None:
    async with running(redis_server.url, "k:", ttl_seconds=0.5, max_remembered=10) as cache:
        await cache.get_or_load("0", returning(b"before"))
        redis_server.freeze()
        for number in range(11):
            await cache.invalidate(str(number))
        redis_server.thaw()
        lost_at = time.monotonic()
        await trusted(cache)

        assert time.monotonic() - lost_at > 0.8, "time to live and tombstone together"


CHILD = """
import asyncio, sys
from acme_service.chassis.cache.redis import RedisCache

async def main(url, prefix):
    cache = RedisCache(url, prefix=prefix)
    await cache.start()
    async def fresh():
        return b"loaded"
    for line in sys.stdin:
        verb, key = line.split()
        if verb == "get":
            print((await cache.get_or_load(key, fresh)).decode(), flush=True)
        else:
            await cache.invalidate(key)
            print("done", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_an_invalidation_is_seen_from_a_second_process(
    pair: tuple[RedisCache, RedisCache], shared_redis_url: str, redis_prefix: str
) -> None:
    one, _ = pair
    await one.get_or_load("k", returning(b"ours"))
    child = subprocess.Popen(  # noqa: ASYNC220 - it answers within milliseconds
        [sys.executable, "-c", CHILD, shared_redis_url, redis_prefix],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    async def ask(question: str) -> str:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(question + "\n")
        child.stdin.flush()
        return (await asyncio.to_thread(child.stdout.readline)).strip()

    try:
        assert await ask("get k") == "ours"
        await one.invalidate("k")
        assert await ask("get k") == "loaded"

        await one.get_or_load("l", returning(b"ours"))
        assert await ask("invalidate l") == "done"
        assert b"again" == await one.get_or_load("l", returning(b"again"))
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        child.communicate()


async def test_a_renewed_cache_connects_again_and_gives_leases_under_another_name(
    shared_redis_url: str, redis_prefix: str
) -> None:
    async with running(shared_redis_url, redis_prefix, timing=PATIENT) as cache:
        await cache.get_or_load("kept", returning(b"value"))
        before = vars(cache)["_process"]
        await cache.renew()

        assert before != vars(cache)["_process"]  # a copy of the process goes on from the same snapshot
        assert b"value" == await cache.get_or_load("kept", untouched)
