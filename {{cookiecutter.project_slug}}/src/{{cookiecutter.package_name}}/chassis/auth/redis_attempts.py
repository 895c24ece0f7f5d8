"""How often one may try, counted in Redis for all processes together.

Without a reply of Redis no attempt is accepted: guessing passwords must not become free because a server is down.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Mapping, Sequence

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ..errors import Unavailable
from .attempts import Count, Reservation

COMMAND_SECONDS = 0.5

WINDOW = """
local function window(key)
    if redis.call('TYPE', key).ok ~= 'hash' then redis.call('DEL', key) end
    local hits = tonumber(redis.call('HGET', key, 'hits'))
    if not hits or redis.call('PTTL', key) < 0 then
        redis.call('DEL', key)
        hits = 0
    end
    return hits
end
"""
"""The hits in the present window of a key; what is no window, and what would never end, is removed."""

RESERVE = f"""{WINDOW}
for place, key in ipairs(KEYS) do
    if window(key) >= tonumber(ARGV[place + 2]) then return {{place, redis.call('PTTL', key)}} end
end
local names = {{0}}
for place, key in ipairs(KEYS) do
    if redis.call('HINCRBY', key, 'hits', 1) == 1 then
        redis.call('HSET', key, 'name', ARGV[1])
        redis.call('PEXPIRE', key, ARGV[2])
    end
    names[place + 1] = redis.call('HGET', key, 'name')
end
return names
"""

GIVE_BACK = f"""{WINDOW}
for place, key in ipairs(KEYS) do
    if window(key) > 0 and redis.call('HGET', key, 'name') == ARGV[place] then
        redis.call('HINCRBY', key, 'hits', -1)
    end
end
"""

_log = structlog.get_logger("chassis.auth.redis_attempts")


class RedisAttempts:
    """Counts in Redis under *prefix*; *limits* by kind."""

    def __init__(self, url: str, *, prefix: str, limits: Mapping[str, int], window_seconds: float) -> None:
        self._prefix = prefix
        self._limits = limits
        self._window_milliseconds = round(window_seconds * 1000)
        self._redis = Redis.from_url(
            url, socket_timeout=COMMAND_SECONDS, socket_connect_timeout=COMMAND_SECONDS, retry=Retry(NoBackoff(), 0)
        )
        self._reserve = self._redis.register_script(RESERVE)
        self._give_back = self._redis.register_script(GIVE_BACK)

    async def reserve(self, counts: Sequence[Count]) -> Reservation:
        limits = [self._limits[count.kind] * count.times for count in counts]
        arguments: list[str | int] = [secrets.token_hex(8), self._window_milliseconds, *limits]
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                first, *rest = await self._reserve(self._keys(counts), arguments)
        except Exception as error:
            raise Unavailable("Login attempts cannot be counted at the moment. Try again soon.") from error
        if first:
            return Reservation(counts, exceeded=counts[first - 1].kind, seconds=max(rest[0], 1) / 1000)
        return Reservation(counts, [name.decode() for name in rest])

    async def give_back(self, reservation: Reservation) -> None:
        if reservation.windows:
            await self._try(
                self._give_back(self._keys(reservation.counts), [str(window) for window in reservation.windows])
            )

    async def forget(self, counts: Sequence[Count]) -> None:
        await self._try(self._redis.delete(*self._keys(counts)))

    async def _try(self, command: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                await command
        except Exception as error:  # noqa: BLE001 - the window ends by itself soon
            _log.warning("attempts not forgotten", reason=f"{type(error).__name__}: {error}")

    async def renew(self) -> None:
        await self._redis.connection_pool.disconnect()

    async def aclose(self) -> None:
        await self._redis.aclose()

    def _keys(self, counts: Sequence[Count]) -> list[str]:
        """Digests, so that no address and no e-mail lies in Redis, and a key has a bounded length."""
        return [f"{self._prefix}:{c.kind}:{hashlib.sha256(c.key.encode()).hexdigest()[:32]}" for c in counts]
