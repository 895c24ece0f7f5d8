"""A shared server without space: the service stays ready, since every replica has the same one, and says so."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

_log = structlog.get_logger("chassis.database.degradation")

_HAS_WRITTEN = text("SELECT txid_current_if_assigned() IS NOT NULL")


class Degradation:
    """Begins with the first write that the server has no space for; ends with one that is stored later.

    A small write may fit where a larger one does not: it ends no sooner than *least_seconds* after the last rejection.
    """

    def __init__(self, *, least_seconds: float = 10.0) -> None:
        self._least_seconds = least_seconds
        self._rejected_at: float | None = None

    def __bool__(self) -> bool:
        return self._rejected_at is not None

    def record_full_disk(self) -> None:
        """Record that the server has just rejected a write because its disk is full."""
        if self._rejected_at is None:
            _log.warning("database degraded", reason="the server's disk is full: writes fail, reads go on")
        self._rejected_at = monotonic()

    async def has_written(self, session: AsyncSession) -> bool:
        """Whether the transaction of *session* stores something; asked only while degraded."""
        return self._rejected_at is not None and bool(await session.scalar(_HAS_WRITTEN))

    def record_write(self) -> None:
        """Record that a transaction that wrote was committed."""
        if self._rejected_at is not None and monotonic() - self._rejected_at >= self._least_seconds:
            self._rejected_at = None
            _log.info("database no longer degraded")
