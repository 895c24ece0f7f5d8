"""How often one may try; here counted in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pydantic import SecretStr

from ..rate_limits import RateLimit

WINDOW_SECONDS = 60.0


class Attempts(Protocol):
    """Counts tries of several kinds, each with a limit of its own in a window that begins with the first."""

    async def hit(self, kind: str, key: str) -> float:
        """Count a try: 0 if it is within the limit, else the seconds until the next one will be.

        Raises Unavailable.
        """

    async def forget(self, kind: str, key: str) -> None:
        """Start again for *key*, after a successful login."""

    async def aclose(self) -> None: ...


class MemoryAttempts:
    """Counts in this process; *limits* by kind."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = {kind: RateLimit(limit, window_seconds=WINDOW_SECONDS) for kind, limit in limits.items()}

    async def hit(self, kind: str, key: str) -> float:
        return self._limits[kind].hit(key)

    async def forget(self, kind: str, key: str) -> None:
        self._limits[kind].forget(key)

    async def aclose(self) -> None:
        """Nothing to do."""


def new_attempts(limits: Mapping[str, int], *, redis_url: SecretStr | None, prefix: str) -> Attempts:
    """Count in Redis under *prefix* where all processes share one, and else in this process; *limits* by kind."""
    if redis_url is None:
        return MemoryAttempts(limits)
    from .redis_attempts import RedisAttempts  # noqa: PLC0415 - the client is 60 ms of start-up

    return RedisAttempts(redis_url.get_secret_value(), prefix=prefix, limits=limits, window_seconds=WINDOW_SECONDS)
