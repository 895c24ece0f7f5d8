"""How often one may try, counted in Redis for all processes together.

Without a reply of Redis no attempt is admitted: guessing passwords must not become free because a server is down.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ..errors import Unavailable

COMMAND_SECONDS = 0.5

HIT = """
local hits = redis.call('INCR', KEYS[1])
if hits == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if hits <= tonumber(ARGV[1]) then return 0 end
return redis.call('PTTL', KEYS[1])
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
        self._hit = self._redis.register_script(HIT)

    async def hit(self, kind: str, key: str) -> float:
        arguments = [self._limits[kind], self._window_milliseconds]
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                milliseconds = await self._hit([self._key(kind, key)], arguments)
        except Exception as error:
            raise Unavailable("Login attempts cannot be counted at the moment. Try again soon.") from error
        return float(milliseconds) / 1000

    async def forget(self, kind: str, key: str) -> None:
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                await self._redis.delete(self._key(kind, key))
        except Exception as error:  # noqa: BLE001 - the window ends by itself soon
            _log.warning("attempts not forgotten", reason=f"{type(error).__name__}: {error}")

    async def aclose(self) -> None:
        await self._redis.aclose()

    def _key(self, kind: str, key: str) -> str:
        """A digest, so that no address and no e-mail lies in Redis, and the key has a bounded length."""
        return f"{self._prefix}:{kind}:{hashlib.sha256(key.encode()).hexdigest()[:32]}"
