"""Values kept for a while, so that a hot object is not read from the database each time; here in this process.

A cache never decides what is true: it may forget anything at any time, and `invalidate` makes it forget.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from .single_flight import Flight, SingleFlight

Load = Callable[[], Awaitable[bytes]]

TOMBSTONE_SECONDS = 5.0
"""How long nothing is kept for a key that was invalidated: a commit whose response was cut off may land that late."""


@dataclass(slots=True)
class CacheStats:
    """Counters that only the event loop's thread changes; metrics read them."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    """Entries pushed out by newer ones; what grew too old is not counted."""


class Cache(Protocol):
    """Where services keep bytes that can be loaded again."""

    @property
    def stats(self) -> CacheStats: ...

    async def get_or_load(self, key: str, load: Load, *, ttl_seconds: float = inf) -> bytes:
        """The value kept for *key*, else what *load* returns; concurrent misses share one load.

        What *load* raises goes to all who share it and is not kept. *ttl_seconds* can only shorten how long the cache
        keeps a value.
        """

    async def invalidate(self, key: str) -> None:
        """Forget *key*: who asks after this call gets a value that was loaded after it.

        Call it before *and* after the commit: the first holds if the process dies in between, the second makes the
        change visible at once. It never raises, and if its task is cancelled the key is forgotten all the same.
        """

    async def start(self) -> None:
        """Make the cache usable; it is without that, too, only slower."""

    async def watch(self) -> None:
        """Runs in the background from the start to the close, for what the cache has to find out by itself."""

    async def renew(self) -> None:
        """Let go of what may be too old or dead after the process stood still."""

    async def close(self) -> None: ...


class MemoryCache:
    """A bounded cache of this process: least recently used out first, nothing older than *ttl_seconds*."""

    def __init__(
        self,
        *,
        max_entries: int = 10_000,
        ttl_seconds: float = 60.0,
        tombstone_seconds: float = TOMBSTONE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stats = CacheStats()
        self._max_entries = max_entries
        self._ttl_seconds = ttl_seconds
        self._tombstone_seconds = tombstone_seconds
        self._clock = clock
        self._entries: OrderedDict[str, tuple[bytes | None, float]] = OrderedDict()
        self._flights = SingleFlight[bytes]()

    def __len__(self) -> int:
        return len(self._entries)

    async def get_or_load(self, key: str, load: Load, *, ttl_seconds: float = inf) -> bytes:
        value = self._kept(key)
        if value is not None:
            self.stats.hits += 1
            return value
        self.stats.misses += 1

        async def load_and_keep(flight: Flight[bytes]) -> bytes:
            value = await load()
            if not flight.outdated and key not in self._entries:  # a tombstone may stand there
                self._keep(key, value, min(self._ttl_seconds, ttl_seconds))
            return value

        return await self._flights.run(key, load_and_keep)

    async def invalidate(self, key: str) -> None:
        self._flights.detach(key)
        self._entries.pop(key, None)
        self._keep(key, None, self._tombstone_seconds)

    async def start(self) -> None:
        """Nothing to do."""

    async def watch(self) -> None:
        """Nothing to watch."""

    async def renew(self) -> None:
        """Forget all: the clock may have stood still as well."""
        self._entries.clear()

    async def close(self) -> None:
        self._entries.clear()

    def _kept(self, key: str) -> bytes | None:
        """The value for *key*; None for a tombstone as well as for nothing."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, expires_at = entry
        if expires_at <= self._clock():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    def _keep(self, key: str, value: bytes | None, seconds: float) -> None:
        self._entries[key] = (value, self._clock() + seconds)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
            self.stats.evictions += 1
