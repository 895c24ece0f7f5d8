"""What every table shares: the metadata that migrations compare with, time-sortable ids, and times in UTC."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import DateTime, MetaData
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""A constraint without a name cannot be dropped by a migration."""


class Base(DeclarativeBase):
    """The parent of every table's class."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class UTCDateTime(TypeDecorator[datetime]):
    """A moment in UTC, aware in Python on every database; SQLite itself stores no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuses a time without a zone: nobody can say which moment it is."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(UTC)")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Adds the zone that SQLite dropped."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.replace(tzinfo=UTC)


ID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
"""The one spelling of an id; another one (upper case, braces) names nothing."""


class IdSource:
    """Makes UUIDs of version 7 (RFC 9562, section 5.7) that sort by time, also within a millisecond.

    The 12 bits after the version hold the fraction of the millisecond (section 6.2, method 3), and within one source
    every id is larger than the one before, even when the clock is set back.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._last_tick = 0

    def __call__(self) -> str:
        milliseconds, nanoseconds = divmod(self._clock(), 1_000_000)
        tick = max((milliseconds << 12) | (nanoseconds * 4096 // 1_000_000), self._last_tick + 1)
        self._last_tick = tick
        version_7 = ((tick >> 12) << 80) | (0x7 << 76) | ((tick & 0xFFF) << 64)
        variant = 0b10 << 62
        return str(uuid.UUID(int=version_7 | variant | secrets.randbits(62)))


new_id = IdSource()
