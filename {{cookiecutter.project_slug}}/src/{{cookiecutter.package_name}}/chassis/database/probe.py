"""Whether the database takes writes, asked on a connection of its own: a busy pool is no reason to be taken out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import exc, text

from ..errors import DatabaseUnavailable
from ..settings.postgresql import PostgresqlAddress
from .engines import Limits, follow_file, sqlite_writer
from .failures import is_busy, reason_of
from .postgresql import postgresql

if TYPE_CHECKING:
    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncConnection

LEAST_FREE_BYTES = 1_048_576
"""SQLite writes into pages of its log that are there already, so that a small write succeeds on a full disk."""

_BUSY_SECONDS = 0.05


class Probe:
    """One connection, which is opened at the first question; PostgreSQL counts it beside those of the pool."""

    def __init__(self, url: URL | PostgresqlAddress, limits: Limits, *, application_name: str) -> None:
        self._file: Path | None = None
        if not isinstance(url, PostgresqlAddress):
            self._file = Path(url.database or "")
            self.engine = sqlite_writer(url, limits.single(_BUSY_SECONDS))
            follow_file(self.engine, url)
        else:
            single = limits.single(limits.pool_timeout_seconds)
            self.engine = postgresql(url, single, application_name=application_name, autocommit=True)

    async def ask(self) -> None:
        """Return when the database takes writes; raises DatabaseUnavailable, whose text is the reason."""
        try:
            if self._file is not None:
                await self._write(self._file)
            else:
                await self._ask_server()
        except (exc.SQLAlchemyError, OSError) as error:
            if not is_busy(error):  # the holder of the lock shows that it takes writes
                raise DatabaseUnavailable(reason_of(error)) from error

    async def _write(self, file: Path) -> None:
        """Write one page of the file, with what it holds already."""
        disk = os.statvfs(file.parent)
        free = disk.f_bfree if os.geteuid() == 0 else disk.f_bavail
        if disk.f_blocks and free * disk.f_frsize < LEAST_FREE_BYTES:
            raise DatabaseUnavailable(f"the disk of {file} is full")
        async with self.engine.begin() as connection:
            version = (await connection.execute(text("PRAGMA user_version"))).scalar_one()
            await connection.execute(text(f"PRAGMA user_version = {version}"))

    async def _ask_server(self) -> None:
        async with self.engine.connect() as connection:
            await self._reject_read_only(connection)

    async def _reject_read_only(self, connection: AsyncConnection) -> None:
        if (await connection.execute(text("SHOW transaction_read_only"))).scalar_one() == "on":
            await connection.invalidate()  # the next question may find another server at this address
            raise DatabaseUnavailable("the server is read-only")
