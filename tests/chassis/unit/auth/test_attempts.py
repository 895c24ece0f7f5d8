from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import redis

from acme_service.chassis.auth.attempts import Attempts, Count, MemoryAttempts
from acme_service.chassis.auth.redis_attempts import RedisAttempts
from acme_service.chassis.errors import Unavailable

from ...redis_server import RedisServer

pytestmark = pytest.mark.anyio

LIMITS = {"account": 2, "address": 3}


@pytest.fixture(params=["memory", "redis"])
async def attempts(request: pytest.FixtureRequest, redis_prefix: str) -> AsyncIterator[Attempts]:
    made: Attempts = MemoryAttempts(LIMITS)
    if request.param == "redis":
        made = RedisAttempts(
            request.getfixturevalue("shared_redis_url"), prefix=redis_prefix, limits=LIMITS, window_seconds=60
        )
    yield made
    await made.aclose()


def of(account: str) -> list[Count]:
    return [Count("account", account)]


async def test_each_kind_has_its_own_limit_and_each_key_its_own_count(attempts: Attempts) -> None:
    account = [(await attempts.reserve(of("ada"))).seconds for _ in range(3)]
    address = [(await attempts.reserve([Count("address", "ada")])).seconds for _ in range(4)]
    twice = [(await attempts.reserve([Count("account", "twice", 2)])).seconds for _ in range(5)]

    assert [0, 0] == account[:2]
    assert 0 < account[2] <= 60
    assert [0, 0, 0] == address[:3]
    assert 0 < address[3] <= 60
    assert [True] * 4 + [False] == [seconds == 0 for seconds in twice]
    assert 0 == (await attempts.reserve(of("grace"))).seconds


async def test_all_are_counted_or_none(attempts: Attempts) -> None:
    both = [Count("address", "home"), Count("account", "ada")]
    reserved = [await attempts.reserve(both) for _ in range(4)]

    assert ["", "", "account", "account"] == [reservation.exceeded for reservation in reserved]
    assert "" == (await attempts.reserve(both[:1])).exceeded
    assert "address" == (await attempts.reserve(both)).exceeded


async def test_what_is_given_back_is_counted_no_more(attempts: Attempts) -> None:
    for _ in range(5):
        await attempts.give_back(await attempts.reserve(of("ada")))
    first = await attempts.reserve(of("ada"))
    await attempts.reserve(of("ada"))
    rejected = await attempts.reserve(of("ada"))
    await attempts.give_back(rejected)
    assert (await attempts.reserve(of("ada"))).exceeded
    await attempts.give_back(first)

    assert not (await attempts.reserve(of("ada"))).exceeded
    assert (await attempts.reserve(of("ada"))).exceeded


async def test_what_was_counted_in_a_window_that_is_over_is_not_given_back_in_the_next(attempts: Attempts) -> None:
    old = await attempts.reserve(of("ada"))
    await attempts.forget(of("ada"))
    for _ in range(2):
        await attempts.reserve(of("ada"))
    await attempts.give_back(old)

    assert (await attempts.reserve(of("ada"))).exceeded


async def test_a_key_begins_anew_when_it_is_forgotten(attempts: Attempts) -> None:
    for _ in range(3):
        await attempts.reserve(of("ada"))
    await attempts.forget(of("ada"))

    assert not (await attempts.reserve(of("ada"))).exceeded


async def test_two_processes_count_together_in_redis(shared_redis_url: str, redis_prefix: str) -> None:
    one, other = (
        RedisAttempts(shared_redis_url, prefix=redis_prefix, limits=LIMITS, window_seconds=60) for _ in range(2)
    )
    reserved = await asyncio.gather(*(each.reserve(of("ada")) for each in (one, other) * 5))
    for each in (one, other):
        await each.aclose()

    assert 2 == [reservation.exceeded for reservation in reserved].count("")


@pytest.mark.parametrize("foreign", ["SET {} 1", "SET {} x", "RPUSH {} 1", "HSET {} hits x", "HSET {} hits 9"])
async def test_a_foreign_value_counts_as_none(shared_redis_url: str, redis_prefix: str, foreign: str) -> None:
    """Not as an error for ever: it has no end."""
    attempts = RedisAttempts(shared_redis_url, prefix=redis_prefix, limits=LIMITS, window_seconds=60)
    reserved = await attempts.reserve(of("ada"))
    with redis.Redis.from_url(shared_redis_url) as client:
        [key] = client.keys(f"{redis_prefix}*")
        client.delete(key)
        client.execute_command(*foreign.format(key.decode()).split())
    await attempts.give_back(reserved)
    results = [(await attempts.reserve(of("ada"))).exceeded for _ in range(3)]
    await attempts.aclose()

    assert ["", "", "account"] == results


async def test_what_is_kept_in_redis_names_nobody_and_ends(shared_redis_url: str, redis_prefix: str) -> None:
    attempts = RedisAttempts(shared_redis_url, prefix=redis_prefix, limits=LIMITS, window_seconds=60)
    await attempts.reserve(of("ada@example.com"))
    await attempts.aclose()
    with redis.Redis.from_url(shared_redis_url) as client:
        [key] = client.keys(f"{redis_prefix}*")
        lives = client.pttl(key)

    assert re.fullmatch(redis_prefix + ":account:[0-9a-f]{32}", key.decode())
    assert isinstance(lives, int)
    assert 0 < lives <= 60_000


async def test_nobody_may_try_while_redis_is_lost_or_frozen(redis_server: RedisServer, redis_prefix: str) -> None:
    attempts = RedisAttempts(redis_server.url, prefix=redis_prefix, limits=LIMITS, window_seconds=60)
    reserved = await attempts.reserve(of("ada"))
    redis_server.freeze()
    with pytest.raises(Unavailable):
        await attempts.reserve(of("ada"))
    await attempts.forget(of("ada"))
    redis_server.thaw()
    redis_server.kill()
    with pytest.raises(Unavailable):
        await attempts.reserve(of("ada"))
    await attempts.give_back(reserved)
    redis_server.start()

    assert not (await attempts.reserve(of("ada"))).exceeded
    await attempts.aclose()
