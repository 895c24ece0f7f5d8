"""Rows into a table: COPY on PostgreSQL, executemany on SQLite, and what becomes of those that are there already."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.exc import DBAPIError

from ..database.failures import raise_driver_error
from .errors import CsvRejected

if TYPE_CHECKING:
    from sqlalchemy import Dialect
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

_ROWS = "csv_import_rows"
_COPIED_AT_ONCE = 500
"""Rows that asyncpg encodes without a break for other requests: a millisecond."""
_VALUES_AT_ONCE = 900
"""In one statement of SQLite, of which older ones take 999."""


class OnConflict(StrEnum):
    """What is done with a record whose key is in the table already."""

    SKIP = "skip"
    UPDATE = "update"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of the rows of a batch; the three add up to their number."""

    inserted: int
    updated: int = 0
    skipped: int = 0


Forget = Callable[[Sequence[str]], Awaitable[None]]
"""Forgets what is cached of the rows with these ids."""


class TableSink:
    """Inserts into *table*, in which *key* is unique; `update` changes *changes* alone, of a row with another value.

    *touch* are the columns that an update sets too, to the record's own value, as `updated_at`.
    """

    def __init__(self, table: Table, *, key: str, changes: Sequence[str], touch: Sequence[str] = ()) -> None:
        self._table = table
        self._key = key
        self._changes = tuple(changes)
        self._present = select(table.c.id, table.c[key], *(table.c[name] for name in changes))
        written = (*changes, *touch)
        self._written = written
        # Prefixed, because SQLAlchemy keeps the names of columns for the values that it sets.
        self._update = (
            update(table)
            .where(table.c.id == bindparam("_id"))
            .values({table.c[name]: bindparam(f"_{name}") for name in written})
        )

    async def store(  # noqa: PLR0913 - one value for each thing that decides
        self,
        session: AsyncSession,
        columns: Sequence[str],
        rows: Sequence[tuple[Any, ...]],
        lines: Sequence[int],
        *,
        bound: Sequence[tuple[Any, ...]],
        on_conflict: OnConflict,
        forget: Forget,
    ) -> Stored:
        """Insert *rows*, of *columns*, from *lines* of the file; *forget* gets the ids of those that are updated.

        *bound* are the rows as `bound` returns them.

        Raises CsvRejected for the first row that is there already, if *on_conflict* is FAIL.
        """
        connection = await session.connection()
        insert = _copied if connection.dialect.name == "postgresql" else _executed
        inserted = await insert(connection, self._table, self._key, columns, bound)
        there = len(rows) - inserted
        if not there or on_conflict is OnConflict.SKIP:
            return Stored(inserted, skipped=there)
        change = await self._changed(session, columns, rows, lines, on_conflict)
        if change:
            await forget([values["_id"] for values in change])
            await connection.execute(self._update, change)
        return Stored(inserted, updated=len(change), skipped=there - len(change))

    async def preview(
        self,
        session: AsyncSession,
        columns: Sequence[str],
        rows: Sequence[tuple[Any, ...]],
        lines: Sequence[int],
        *,
        on_conflict: OnConflict,
    ) -> Stored:
        """What `store` would return, or raise, without a change of the table."""
        key = columns.index(self._key)
        there = len(await self._found(session, [row[key] for row in rows]))
        change = []
        if there and on_conflict is not OnConflict.SKIP:
            change = await self._changed(session, columns, rows, lines, on_conflict)
        return Stored(len(rows) - there, updated=len(change), skipped=there - len(change))

    async def _changed(
        self,
        session: AsyncSession,
        columns: Sequence[str],
        rows: Sequence[tuple[Any, ...]],
        lines: Sequence[int],
        on_conflict: OnConflict,
    ) -> list[dict[str, Any]]:
        """The values of each update; raises CsvRejected if there is a row to update and *on_conflict* is FAIL."""
        place = {name: columns.index(name) for name in ("id", self._key, *self._written)}
        present = await self._found(session, [row[place[self._key]] for row in rows])
        conflicts = {
            line: (row, before)
            for row, line in zip(rows, lines, strict=True)
            if (before := present.get(row[place[self._key]])) is not None and before.id != row[place["id"]]
        }
        if on_conflict is OnConflict.FAIL:
            line = min(conflicts, default=lines[0])
            raise CsvRejected(f"the {self._key} is taken: it was in the database before", line=line)
        return [
            {"_id": before.id, **{f"_{name}": row[place[name]] for name in self._written}}
            for row, before in conflicts.values()
            if any(getattr(before, name) != row[place[name]] for name in self._changes)
        ]

    def bound(
        self, dialect: Dialect, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> Sequence[tuple[Any, ...]]:
        """*rows* as the driver takes them; may be called in any thread.

        Each column's type converts its values, each of them once: many are the same.
        """
        if dialect.name == "postgresql":
            return rows
        fields: list[Sequence[Any]] = list(zip(*rows, strict=True))
        for index, name in enumerate(columns[: len(fields)]):
            convert = self._table.c[name].type.dialect_impl(dialect).bind_processor(dialect)
            if convert is not None:
                converted = {value: convert(value) for value in set(fields[index])}
                fields[index] = [converted[value] for value in fields[index]]
        return list(zip(*fields, strict=True))

    async def _found(self, session: AsyncSession, keys: list[Any]) -> dict[Any, Any]:
        """The rows that have one of *keys*, locked until *session* ends."""
        column = self._table.c[self._key]
        statement = self._present.where(column.in_(keys)).order_by(self._table.c.id).with_for_update()
        return {row[1]: row for row in await session.execute(statement)}


async def _copied(
    connection: AsyncConnection, table: Table, key: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> int:
    """By COPY into a temporary table, from which what is new is inserted.

    The table ends with the transaction, because PgBouncer gives each transaction another session.
    """
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(map(quote, columns))
    of_table = connection.dialect.identifier_preparer.format_table(table)
    select_none = f"SELECT {names} FROM {of_table} WITH NO DATA"  # noqa: S608 - names of our own, as below
    await connection.exec_driver_sql(f"CREATE TEMP TABLE {_ROWS} ON COMMIT DROP AS {select_none}")
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None  # noqa: S101 - it was used just now
    try:
        with raise_driver_error():
            for begin in range(0, len(rows), _COPIED_AT_ONCE):
                records = rows[begin : begin + _COPIED_AT_ONCE]
                await driver.copy_records_to_table(_ROWS, records=records, columns=columns)
    except DBAPIError as error:
        if error.connection_invalidated:  # SQLAlchemy, which was passed by, would try to roll back
            await connection.invalidate(error)
        raise
    insert = f"INSERT INTO {of_table} ({names}) SELECT {names} FROM {_ROWS}"  # noqa: S608
    return (await connection.exec_driver_sql(f"{insert} ON CONFLICT ({quote(key)}) DO NOTHING")).rowcount


async def _executed(
    connection: AsyncConnection, table: Table, key: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> int:
    """By executemany of the driver: SQLAlchemy's own would build a dict for each row.

    The driver takes the interpreter for each execution, so each inserts many rows.
    """
    preparer = connection.dialect.identifier_preparer
    names, places = ", ".join(map(preparer.quote, columns)), f"({', '.join('?' * len(columns))})"
    insert = f"INSERT INTO {preparer.format_table(table)} ({names}) VALUES "  # noqa: S608
    nothing = f" ON CONFLICT ({preparer.quote(key)}) DO NOTHING"
    together = max(1, _VALUES_AT_ONCE // len(columns))
    inserted = 0
    for count, values in _grouped(rows, together):
        statement = insert + ", ".join([places] * count) + nothing
        inserted += (await connection.exec_driver_sql(statement, values)).rowcount
    return inserted


def _grouped(rows: Sequence[tuple[Any, ...]], together: int) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """The values of *together* rows in each tuple, and of the rest in one more; each with the number of its rows."""
    whole = len(rows) - len(rows) % together
    for count, part in ((together, rows[:whole]), (len(rows) - whole, rows[whole:])):
        if part:
            yield count, [tuple(chain.from_iterable(part[at : at + count])) for at in range(0, len(part), count)]
