"""Cursors of SQLite that are never left amid a statement that writes."""

from __future__ import annotations

import sqlite3
from collections import deque
from typing import Any, Self


class WholeCursor(sqlite3.Cursor):
    """Reads all rows of a statement inside a transaction as soon as it is executed, in the same step of the thread.

    One with RETURNING that was not read to its end would hold its lock, also after its connection was closed, until the
    garbage collector finds the cursor: a request that is cancelled there would keep all others from writing.
    """

    _read: deque[Any] | None = None
    """The rows; None where they are read as they are asked for."""

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        self._read = None
        super().execute(sql, parameters)
        if self.description is not None and self.connection.in_transaction:
            self._read = deque(super().fetchall())
        return self

    def fetchone(self) -> Any:
        if self._read is None:
            return super().fetchone()
        return self._read.popleft() if self._read else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        count = self.arraysize if size is None else size
        if self._read is None:
            return super().fetchmany(count)
        return [self._read.popleft() for _ in range(min(count, len(self._read)))]

    def fetchall(self) -> list[Any]:
        if self._read is None:
            return super().fetchall()
        rows, self._read = list(self._read), deque()
        return rows


class WholeConnection(sqlite3.Connection):
    """One whose cursors are whole."""

    def cursor(self, factory: Any = WholeCursor) -> Any:
        return super().cursor(factory)
