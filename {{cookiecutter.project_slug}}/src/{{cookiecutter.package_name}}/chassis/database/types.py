"""What every table shares: names of constraints, times in UTC, the database's clock, enumerations by values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from sqlalchemy import DateTime
from sqlalchemy import Enum as EnumType
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
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


def _stored(enumeration: type[Enum]) -> list[str]:
    values = [member.value for member in enumeration]
    return values if all(isinstance(value, str) for value in values) else [member.name for member in enumeration]


TYPE_ANNOTATION_MAP: dict[Any, Any] = {
    Enum: EnumType(Enum, native_enum=False, length=None, values_callable=_stored, validate_strings=True)
}
"""For `Base`: a column `Mapped[SomeStrEnum]` is a text that holds the member's value, on every database.

A type of PostgreSQL's own would stay behind when its table is dropped, and a new member would have to be added to it.
"""


class UTCDateTime(TypeDecorator[datetime]):
    """A moment in UTC, aware in Python on every database; SQLite itself stores no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Rejects a time without a zone: it does not say which moment it is."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(UTC)")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """None where the driver gives aware times: on PostgreSQL no function is called for each of them."""
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Adds the zone that SQLite dropped."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.replace(tzinfo=UTC)


class DatabaseNow(FunctionElement[datetime]):
    """The moment at which the database executes the statement; processes on several machines have clocks of their own.

    On PostgreSQL it goes on within a transaction, which may have waited for a lock. To the millisecond on SQLite.
    """

    type = UTCDateTime()
    inherit_cache = True


@compiles(DatabaseNow, "postgresql")
def _now_postgresql(_element: DatabaseNow, _compiler: object, **_options: object) -> str:
    return "clock_timestamp()"


@compiles(DatabaseNow, "sqlite")
def _now_sqlite(_element: DatabaseNow, _compiler: object, **_options: object) -> str:
    """As SQLAlchemy stores a time, with six digits after the point."""
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
