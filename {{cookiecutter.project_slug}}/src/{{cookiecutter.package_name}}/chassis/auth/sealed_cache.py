"""A cache whose values decide who may do what, so that write access to Redis makes no admin."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Sequence
from math import inf

import structlog

from ..cache import Cache, CacheStats
from ..cache.memory import Load

MAC_BYTES = 32
EXPIRY_BYTES = 8
LONGEST_SECONDS = 3600.0
"""How long a value stays valid of which its user says nothing."""

_log = structlog.get_logger("security")


def derived_key(secret: str, label: str) -> bytes:
    """A key of 32 bytes for the purpose *label* alone, from *secret*: HKDF (RFC 5869) with SHA-256 and no salt."""
    extracted = hmac.digest(bytes(32), secret.encode(), "sha256")
    return hmac.digest(extracted, label.encode() + b"\x01", "sha256")


class SealedCache:
    """*cache*, each of whose values is stored with its expiry and an HMAC over key, value and expiry.

    A value whose HMAC is not ours, or that has expired, is a miss. The first of *secrets* seals; all are accepted.
    """

    def __init__(self, cache: Cache, secrets: Sequence[str], *, clock: Callable[[], float] = time.time) -> None:
        self._cache = cache
        self._keys = [derived_key(secret, "cache") for secret in secrets]
        self._clock = clock

    @property
    def stats(self) -> CacheStats:
        return self._cache.stats

    async def get_or_load(self, key: str, load: Load, *, ttl_seconds: float = inf) -> bytes:
        async def load_sealed() -> bytes:
            return self._sealed(key, await load(), min(ttl_seconds, LONGEST_SECONDS))

        kept = await self._cache.get_or_load(key, load_sealed, ttl_seconds=ttl_seconds)
        value, reason = self._opened(key, kept)
        if value is not None:
            return value
        if reason:
            _log.warning("cached value rejected", key=key, outcome="rejected", reason=reason)
        await self._cache.invalidate(key)
        return await load()

    async def invalidate(self, key: str) -> None:
        await self._cache.invalidate(key)

    async def start(self) -> None:
        await self._cache.start()

    async def watch(self) -> None:
        await self._cache.watch()

    async def renew(self) -> None:
        await self._cache.renew()

    async def close(self) -> None:
        await self._cache.close()

    def _sealed(self, key: str, value: bytes, seconds: float) -> bytes:
        expiry = int((self._clock() + seconds) * 1000).to_bytes(EXPIRY_BYTES, "big")
        return _mac(self._keys[0], key, expiry, value) + expiry + value

    def _opened(self, key: str, kept: bytes) -> tuple[bytes | None, str]:
        """The value; None if it is not to be used, and why, where that is no matter of time."""
        mac, rest = kept[:MAC_BYTES], kept[MAC_BYTES:]
        expiry, value = rest[:EXPIRY_BYTES], rest[EXPIRY_BYTES:]
        if not any(hmac.compare_digest(mac, _mac(ours, key, expiry, value)) for ours in self._keys):
            return None, "it was not sealed with a key of ours"
        if int.from_bytes(expiry, "big") <= self._clock() * 1000:
            return None, ""
        return value, ""


def _mac(ours: bytes, key: str, expiry: bytes, value: bytes) -> bytes:
    """Over all three, with the length of the key, so that no part can be taken for a part of another."""
    name = key.encode()
    return hmac.digest(ours, len(name).to_bytes(4, "big") + name + expiry + value, "sha256")
