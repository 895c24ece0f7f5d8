"""Where a runner gets its next job from: the table itself, asked when something may be due."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

import structlog

from ..errors import DatabaseUnavailable
from .store import Claimed, JobStore

POLL_SECONDS = 1.0

_log = structlog.get_logger("chassis.jobs")


class Delivery:
    """A job that was claimed; a broker hears by the two methods how it goes on."""

    def __init__(self, claimed: Claimed) -> None:
        self.claimed = claimed

    async def in_progress(self) -> None:
        """The run still has its lease."""

    async def settled(self) -> None:
        """The row says what became of the run."""


class Source(Protocol):
    """Delivers jobs."""

    async def next(self) -> Delivery | None:
        """The next job; None after a while without one."""


class Wakeups:
    """Says that something may be due; all that wait hear of it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Return at the next `wake`, or after *seconds*."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()


class TableSource:
    """Claims from the table: at once after a `wake`, else each second."""

    def __init__(self, store: JobStore, names: Collection[str], wakeups: Wakeups) -> None:
        self._store = store
        self._names = names
        self._wakeups = wakeups
        self._lost = False
        self._busy = False
        """After a job there is probably another: it is claimed without a look."""

    async def next(self) -> Delivery | None:
        if (claimed := await self.claim()) is not None:
            return Delivery(claimed)
        await self._wakeups.wait(POLL_SECONDS)
        return None

    async def is_due(self, job_id: str) -> bool:
        """Whether *job_id* waits for a run; True also while the database is lost."""
        try:
            return await self._store.is_due(job_id)
        except DatabaseUnavailable:
            return True

    async def claim(self, job_id: str | None = None) -> Claimed | None:
        """The job that is due for longest, or *job_id*; None also while the database is lost, which is logged once."""
        names = sorted(self._names)
        try:
            found = self._busy or job_id is not None or await self._store.next_due_exists(names)
            claimed = await self._store.claim(names, job_id) if found else None
            self._busy = claimed is not None
        except DatabaseUnavailable as error:
            if not self._lost:
                _log.warning("jobs wait for the database", reason=str(error))
            self._lost = True
            return None
        self._lost = False
        return claimed
