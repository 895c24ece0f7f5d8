"""The cache that all processes share, in Redis. Losing Redis makes it slower, never wrong and never failing.

How an outdated value is kept out, whatever the order in which commands arrive:

- A miss leaves a *lease* under the key, a unique text. The value is stored only if that lease still stands there.
- `invalidate` overwrites whatever stands there with a *tombstone*, so every lease given before is void; and until the
  tombstone expires, no lease is given.
- A command that Redis executes late, after its sender gave up, therefore finds its lease void or expired.

Losing Redis: the first failure ends the *trust*; from then on values are loaded directly, and no request waits for it.
`watch` probes in the background. Invalidations that could not be delivered are remembered and delivered first; then
the cache waits until the other processes have done the same, and trusts Redis again. While a process cannot reach
Redis and others can, these may read what it changed for at most *ttl_seconds*.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import secrets
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ..cancellation import raise_if_cancelled
from .memory import TOMBSTONE_SECONDS, CacheStats, Load
from .scripts import READ_OR_LEASE, STORE_UNDER_LEASE
from .single_flight import Flight, SingleFlight

T = TypeVar("T")

VALUE, LEASE, TOMBSTONE = b"=", b"?", b"!"
"""The first byte under a key says what the rest is."""

DIGEST_BYTES = 8
"""Before a value: what was cut off, or written by another program, is no value."""

MAX_CONNECTIONS = 20

_log = structlog.get_logger("chassis.cache.redis")


@dataclass(frozen=True, slots=True)
class Timing:
    """Time limits, all in seconds."""

    command: float = 0.25
    """How long a request waits for Redis before it loads the value itself."""
    probe: float = 0.5
    settle: float = 1.5
    """From the first reply of a Redis that was lost until it is trusted: each process probes at least twice in it."""
    tombstone: float = TOMBSTONE_SECONDS
    """How long a tombstone and a lease stand; a load that takes longer is not stored."""


class RedisLost(Exception):
    """Redis gave no usable reply in time; never leaves this module."""


class RedisCache:
    """A cache in Redis under `prefix:`; unless `watch` runs in the background, a lost Redis is never trusted again."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        ttl_seconds: float = 60.0,
        max_remembered: int = 10_000,
        timing: Timing | None = None,
    ) -> None:
        self.stats = CacheStats()
        self._reachable = self._healthy = False
        self._healthy_from = float("-inf")
        self._remembered: dict[str, None] = {}
        self._max_remembered = max_remembered
        self._flights = SingleFlight[bytes]()
        self._prefix = f"{prefix}:"
        self._ttl_seconds = ttl_seconds
        self._timing = timing or Timing()
        self._tombstone_ms = _ms(self._timing.tombstone)
        self._name_process()
        # One limit stands around every command, the wait for a connection included; so the client has none of its own.
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=None,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._address = _place(pool.connection_kwargs)
        self._redis = Redis.from_pool(pool)
        self._read_or_lease = self._redis.register_script(READ_OR_LEASE)
        self._store_under_lease = self._redis.register_script(STORE_UNDER_LEASE)

    def _name_process(self) -> None:
        self._process = secrets.token_hex(8).encode()
        self._unique = (b"%b:%d" % (self._process, number) for number in itertools.count())

    def is_healthy(self) -> bool:
        """Whether values are read from Redis now, and not loaded each time."""
        return self._healthy

    async def get_or_load(self, key: str, load: Load, *, ttl_seconds: float = inf) -> bytes:
        lease = LEASE + next(self._unique)
        held = await self._read(key, lease)
        value = self._value(key, held)
        if value is None and (again := self._read_again(key, held, lease)) is not None:
            held = await again
            value = self._value(key, held)
        if value is not None:
            self.stats.hits += 1
            return value
        self.stats.misses += 1

        async def load_and_store(flight: Flight[bytes]) -> bytes:
            value = await load()
            flight.land(value)
            if held[:1] == LEASE and not flight.outdated:
                await self._store(key, held, value, min(self._ttl_seconds, ttl_seconds))
            return value

        # Who saw the same lease or tombstone may share the load: nothing was invalidated between the two.
        return await self._flights.run(key, load_and_store, token=held)

    async def invalidate(self, key: str) -> None:
        self._flights.detach(key)
        if not self._reachable:
            self._remember(key)
            return
        try:
            await self._ask(self._set_tombstone(key))
        except RedisLost:
            self._remember(key)
        except BaseException:
            self._remember(key)  # cancelled: whether Redis has heard of it is not known
            raise

    async def start(self) -> None:
        """Use Redis if it replies; without it the service starts all the same, after one warning."""
        try:
            await self._ask(self._probe())
        except RedisLost as error:
            _log.warning(
                "redis unreachable",
                address=self._address,
                reason=_reason(error.__cause__),
                hint="every value is loaded from the database until it is back; check REDIS_URL",
            )
            return
        self._reachable = self._healthy = True

    async def close(self) -> None:
        """Deliver what is still remembered, if Redis replies, and disconnect."""
        try:
            await self._deliver()
        except RedisLost:
            _log.warning("invalidations lost", keys=len(self._remembered), stale_for_seconds=self._ttl_seconds)
        await self._redis.aclose()

    async def renew(self) -> None:
        """Disconnect, and name the process differently: several may go on from one snapshot, each with its leases."""
        self._name_process()
        await self._redis.connection_pool.disconnect()

    async def watch(self) -> None:
        """Keep finding out whether Redis can be trusted, for ever."""
        while True:
            await asyncio.sleep(self._timing.probe)
            await self._probe_and_flush()

    async def _probe_and_flush(self) -> None:
        try:
            await self._ask(self._probe())
            await self._deliver()
        except RedisLost:
            return
        now = time.monotonic()
        if not self._reachable:
            self._reachable = True
            self._healthy_from = max(self._healthy_from, now + self._timing.settle)
        elif not self._healthy and now >= self._healthy_from and not self._remembered:
            self._healthy = True
            _log.info("redis trusted again", address=self._address)

    def _read_again(self, key: str, held: bytes, lease: bytes) -> Awaitable[bytes] | None:
        """Read *key* once more if what was *held* is foreign, or the lease of a load of ours that has ended since."""
        if held and held[:1] not in {LEASE, TOMBSTONE}:
            return self._read(key, lease, instead_of=held)
        ours = held.startswith(LEASE + self._process) and held != lease
        return self._read(key, lease) if ours and not self._flights.has(key, held) else None

    async def _read(self, key: str, lease: bytes, *, instead_of: bytes = b"") -> bytes:
        """What stands under *key*, *lease* if nothing did, or *instead_of*; empty without a trusted Redis."""
        if not self.is_healthy():
            return b""
        try:
            arguments: list[bytes | int] = [lease, self._tombstone_ms, instead_of]
            held: bytes = await self._ask(self._read_or_lease([self._prefix + key], arguments))
        except RedisLost:
            return b""
        return held if self.is_healthy() else b""

    async def _store(self, key: str, lease: bytes, value: bytes, seconds: float) -> None:
        if not self.is_healthy():
            return
        try:
            stored = VALUE + self._digest(key, value) + value
            await self._ask(self._store_under_lease([self._prefix + key], [lease, stored, _ms(seconds)]))
        except RedisLost:
            return

    async def _set_tombstone(self, key: str) -> None:
        await self._redis.set(self._prefix + key, TOMBSTONE + next(self._unique), px=self._tombstone_ms)

    async def _probe(self) -> None:
        """A write, because a full or read-only Redis replies to pings and takes no tombstone, by a script like ours."""
        name = self._prefix + "probe"
        await self._redis.set(name, b"", px=self._tombstone_ms)
        await self._store_under_lease([name], [b"", b"", self._tombstone_ms])

    def _value(self, key: str, held: bytes) -> bytes | None:
        """The value in what was *held* under *key*; None if there is none, or none of ours."""
        digest, value = held[1 : DIGEST_BYTES + 1], held[DIGEST_BYTES + 1 :]
        return value if held[:1] == VALUE and digest == self._digest(key, value) else None

    def _digest(self, key: str, value: bytes) -> bytes:
        name = f"{len(key)}:{key}".encode()
        return hashlib.blake2b(name + value, digest_size=DIGEST_BYTES).digest()

    def _remember(self, key: str) -> None:
        self._healthy = False
        self._remembered[key] = None
        if len(self._remembered) > self._max_remembered:
            del self._remembered[next(iter(self._remembered))]
            # What was forgotten here is gone from Redis when everything that stands there now is too old.
            self._healthy_from = time.monotonic() + self._ttl_seconds + self._timing.tombstone

    async def _deliver(self) -> None:
        """Bury every remembered key; one that cannot be delivered stays remembered."""
        while self._remembered:
            key = next(iter(self._remembered))
            del self._remembered[key]  # before the command, so that the same key can be remembered again during it
            try:
                await self._ask(self._set_tombstone(key))
            except BaseException:
                self._remember(key)
                raise

    async def _ask(self, command: Awaitable[T]) -> T:
        """The reply of Redis within the time limit; else it counts as unhealthy and RedisLost is raised."""
        try:
            async with asyncio.timeout(self._timing.command):
                return await command
        except Exception as error:
            raise_if_cancelled()
            self._lose(error)
            raise RedisLost from error

    def _lose(self, error: Exception) -> None:
        if self._reachable or self._healthy:
            _log.warning("redis lost", address=self._address, reason=_reason(error))
        self._reachable = self._healthy = False


def _place(options: Mapping[str, Any]) -> str:
    """Where a pool connects to, without user and password."""
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")


def _reason(error: BaseException | None) -> str:
    """Of a time limit, which has no words of its own, too."""
    said = "no reply in time" if isinstance(error, TimeoutError) and not str(error) else str(error)
    return f"{type(error).__name__}: {said}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
