from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import redis

from acme_service.chassis.auth.attempts import Attempts, MemoryAttempts
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


async def test_each_kind_has_its_own_limit_and_each_key_its_own_count(attempts: Attempts) -> None:
    account = [await attempts.hit("account", "ada") for _ in range(3)]
    address = [await attempts.hit("address", "ada") for _ in range(4)]

    assert [0, 0] == account[:2]
    assert 0 < account[2] <= 60
    assert [0, 0, 0] == address[:3]
    assert 0 < address[3] <= 60
    assert 0 == await attempts.hit("account", "grace")


async def test_a_key_begins_anew_when_it_is_forgotten(attempts: Attempts) -> None:
    for _ in range(3):
        await attempts.hit("account", "ada")
    await attempts.forget("account", "ada")

    assert 0 == await attempts.hit("account", "ada")


async def test_two_processes_count_together_in_redis(shared_redis_url: str, redis_prefix: str) -> None:
    one, other = (
        RedisAttempts(shared_redis_url, prefix=redis_prefix, limits=LIMITS, window_seconds=60) for _ in range(2)
    )
    hits = [await one.hit("account", "ada"), await other.hit("account", "ada"), await one.hit("account", "ada")]
    await one.aclose()
    await other.aclose()

    assert [True, True, False] == [hit == 0 for hit in hits]


async def test_what_is_kept_in_redis_names_nobody_and_ends(shared_redis_url: str, redis_prefix: str) -> None:
    attempts = RedisAttempts(shared_redis_url, prefix=redis_prefix, limits=LIMITS, window_seconds=60)
    await attempts.hit("account", "ada@example.com")
    await attempts.aclose()
    with redis.Redis.from_url(shared_redis_url) as client:
        [key] = client.keys(f"{redis_prefix}*")
        lives = client.pttl(key)

    assert re.fullmatch(redis_prefix + ":account:[0-9a-f]{32}", key.decode())
    assert isinstance(lives, int)
    assert 0 < lives <= 60_000


async def test_nobody_may_try_while_redis_is_lost_or_frozen(redis_server: RedisServer, redis_prefix: str) -> None:
    attempts = RedisAttempts(redis_server.url, prefix=redis_prefix, limits=LIMITS, window_seconds=60)
    assert 0 == await attempts.hit("account", "ada")
    redis_server.freeze()
    with pytest.raises(Unavailable):
        await attempts.hit("account", "ada")
    await attempts.forget("account", "ada")
    redis_server.thaw()
    redis_server.kill()
    with pytest.raises(Unavailable):
        await attempts.hit("account", "ada")
    redis_server.start()

    assert 0 == await attempts.hit("account", "ada")
    await attempts.aclose()
