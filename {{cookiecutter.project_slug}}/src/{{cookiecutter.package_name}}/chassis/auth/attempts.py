"""How often one may try; here counted in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from ..rate_limits import RateLimit, networks

WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Count:
    """A try to be counted: under *key*, for *times* the limit of its kind."""

    kind: str
    key: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tries that are counted until they are given back; or why they were not counted."""

    counts: Sequence[Count]
    windows: Sequence[str | float] = ()
    """In which each is counted."""
    exceeded: str = ""
    """The kind of the first count that is above its limit; then none of all is counted."""
    seconds: float = 0.0
    """Until that one is within its limit again."""


class Attempts(Protocol):
    """Counts tries of several kinds, each with a limit of its own in a window that begins with the first."""

    async def reserve(self, counts: Sequence[Count]) -> Reservation:
        """Count all of *counts* at once, or none if one is above its limit. Raises Unavailable."""

    async def give_back(self, reservation: Reservation) -> None:
        """Take back what was counted, where its window has not ended; it never raises."""

    async def forget(self, counts: Sequence[Count]) -> None:
        """Start again for each, after a successful login; it never raises."""

    async def renew(self) -> None:
        """Let go of connections that may be dead after the process stood still."""

    async def aclose(self) -> None: ...


class MemoryAttempts:
    """Counts in this process; *limits* by kind."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = {kind: RateLimit(limit, window_seconds=WINDOW_SECONDS) for kind, limit in limits.items()}

    async def reserve(self, counts: Sequence[Count]) -> Reservation:
        for count in counts:
            if seconds := self._limits[count.kind].wait(count.key, times=count.times):
                return Reservation(counts, exceeded=count.kind, seconds=seconds)
        return Reservation(counts, [self._limits[count.kind].add(count.key) for count in counts])

    async def give_back(self, reservation: Reservation) -> None:
        for count, window in zip(reservation.counts, reservation.windows, strict=False):
            self._limits[count.kind].give_back(count.key, float(window))

    async def forget(self, counts: Sequence[Count]) -> None:
        for count in counts:
            self._limits[count.kind].forget(count.key)

    async def renew(self) -> None:
        """Nothing to do."""

    async def aclose(self) -> None:
        """Nothing to do."""


@asynccontextmanager
async def guess(attempts: Attempts, reserved: Reservation, *, wrong: type[Exception]) -> AsyncIterator[None]:
    """Look at what was *reserved* before, so that many at once are not free; only a *wrong* one stays counted."""
    try:
        yield
    except wrong:
        raise
    except BaseException:
        await attempts.give_back(reserved)
        raise
    await attempts.give_back(reserved)


def counts_of(kind: str, client: str, account: str = "") -> list[Count]:
    """One count for each network of the address *client*, apart for each *account*."""
    return [Count(kind, f"{account} {network}", times) for network, times in networks(client)]


def new_attempts(limits: Mapping[str, int], *, redis_url: SecretStr | None, prefix: str) -> Attempts:
    """Count in Redis under *prefix* where all processes share one, and else in this process; *limits* by kind."""
    if redis_url is None:
        return MemoryAttempts(limits)
    from .redis_attempts import RedisAttempts  # noqa: PLC0415 - the client is 60 ms of start-up

    return RedisAttempts(redis_url.get_secret_value(), prefix=prefix, limits=limits, window_seconds=WINDOW_SECONDS)
