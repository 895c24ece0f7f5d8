"""Whoever can write to the cache decides nothing: a value that was not sealed here is a miss."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

import pytest

from acme_service.chassis.auth.sealed_cache import SealedCache, derived_key
from acme_service.chassis.cache import MemoryCache

pytestmark = pytest.mark.anyio

KEY = "k" * 48


class Shared(MemoryCache):
    """What several processes have in common, to be written to."""

    def __init__(self) -> None:
        super().__init__(tombstone_seconds=0)

    def kept(self, key: str) -> bytes:
        value = self._entries[key][0]
        assert value is not None
        return value

    def put(self, key: str, value: bytes) -> None:
        self._keep(key, value, 60)


def returning(value: bytes) -> Callable[[], Awaitable[bytes]]:
    async def load() -> bytes:
        return value

    return load


async def untouched() -> bytes:
    raise AssertionError("the value stands in the cache and need not be loaded")


async def test_a_sealed_value_is_read_by_who_has_the_key_or_had_it() -> None:
    shared = Shared()
    await SealedCache(shared, [KEY]).get_or_load("k", returning(b"user"))

    for keys in ([KEY], ["n" * 48, KEY]):
        assert b"user" == await SealedCache(shared, keys).get_or_load("k", untouched)
    assert b"new" == await SealedCache(shared, ["n" * 48]).get_or_load("k", returning(b"new"))


@pytest.mark.parametrize(
    "forge",
    [
        lambda _kept: b"admin",
        lambda _kept: b"",
        lambda kept: kept[:-4] + b"root",
        lambda kept: kept[:40],
        lambda kept: kept + b"!",
        lambda kept: kept[:39] + bytes([kept[39] ^ 1]) + kept[40:],
        lambda kept: bytes([kept[0] ^ 1]) + kept[1:],
        lambda kept: hmac.digest(b"x" * 32, kept[32:], "sha256") + kept[32:],
    ],
)
async def test_a_forged_value_is_a_miss_and_forgotten(forge: Callable[[bytes], bytes]) -> None:
    shared = Shared()
    cache = SealedCache(shared, [KEY])
    await cache.get_or_load("k", returning(b"user"))
    shared.put("k", forge(shared.kept("k")))

    assert b"after" == await cache.get_or_load("k", returning(b"after"))
    assert b"kept" == await cache.get_or_load("k", returning(b"kept"))
    assert b"kept" == await cache.get_or_load("k", untouched)


async def test_a_value_of_another_key_is_a_miss() -> None:
    shared = Shared()
    cache = SealedCache(shared, [KEY])
    await cache.get_or_load("admin", returning(b"admin"))
    shared.put("ada", shared.kept("admin"))

    assert b"user" == await cache.get_or_load("ada", returning(b"user"))


async def test_a_value_that_is_kept_longer_than_it_was_sealed_for_is_a_miss() -> None:
    """As one that was copied and put back."""
    now = 1000.0
    shared = Shared()
    cache = SealedCache(shared, [KEY], clock=lambda: now)
    await cache.get_or_load("k", returning(b"old"), ttl_seconds=5)
    kept = shared.kept("k")
    now += 4.9
    assert b"old" == await cache.get_or_load("k", untouched, ttl_seconds=5)
    now += 0.1
    shared.put("k", kept)

    assert b"new" == await cache.get_or_load("k", returning(b"new"), ttl_seconds=5)


async def test_the_key_is_that_of_hkdf() -> None:
    """RFC 5869: its construction, step by step, for a secret and a label of ours."""
    extracted = hmac.new(b"\x00" * 32, KEY.encode(), "sha256").digest()

    assert hmac.new(extracted, b"cache\x01", "sha256").digest() == derived_key(KEY, "cache")
    assert derived_key(KEY, "cache") != derived_key(KEY, "other")
