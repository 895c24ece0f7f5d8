"""The database as services use it: a path for reading, transactions for writing, one error when it is lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Row, exc, text
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import greenlet_spawn

from ..errors import DatabaseUnavailable, StartupFailed
from ..settings.postgresql import PostgresqlAddress
from ..settings.secrets import SecretUrl
from .degradation import Degradation
from .engines import (
    Limits,
    follow_file,
    is_sqlite,
    let_go,
    make_file,
    parse_url,
    sqlite_reader,
    sqlite_writer,
)
from .failures import DRIVER_ERRORS, is_busy, raise_if_transient, raise_unavailable, reason_of
from .liveness import hear_of_full_disk, is_lost
from .postgresql import postgresql, transactional
from .probe import Probe
from .timings import time_statements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from sqlalchemy import Connection, Engine, Executable

AnyRow = Row[*tuple[Any, ...]]
Result = TypeVar("Result")

_transaction: ContextVar[AsyncSession | None] = ContextVar("transaction", default=None)


class Database:
    """The connections to one database; *url* is `sqlite:` with a file, or `postgresql:`.

    With *pooled*, or `pgbouncer=true` in it, it leads to PgBouncer in transaction mode.

    SQLite has one connection for writing and a pool for reading; PostgreSQL has one pool for both.
    """

    def __init__(  # noqa: PLR0913 - one value for each setting
        self,
        url: str,
        *,
        application_name: str = "",
        pooled: bool = False,
        pool_size: int = 10,
        max_overflow: int = 10,
        pool_timeout_seconds: float = 3.0,
        statement_timeout_seconds: float = 10.0,
        connect_timeout_seconds: float = 3.0,
        pool_recycle_seconds: float = 1800.0,
        on_wait: Callable[[float], None] | None = None,
        on_statement: Callable[[float], None] | None = None,
    ) -> None:
        """*on_wait* gets the seconds that a caller waited for a connection, *on_statement* those of a statement."""
        self._on_wait = on_wait
        self._url = parse_url(url, pooled=pooled)
        self._address = SecretUrl(url).masked()
        limits = Limits(
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout_seconds=pool_timeout_seconds,
            statement_timeout_seconds=statement_timeout_seconds,
            connect_timeout_seconds=connect_timeout_seconds,
            recycle_seconds=pool_recycle_seconds,
        )
        self._degradation = Degradation()
        self._writer: AsyncEngine
        self._reader: AsyncEngine
        if not isinstance(self._url, PostgresqlAddress):
            self._writer = sqlite_writer(self._url, limits)
            self._reader = sqlite_reader(self._url, limits)
            for engine in (self._writer, self._reader):
                follow_file(engine, self._url)
        else:
            self._reader = postgresql(self._url, limits, application_name=application_name, autocommit=True)
            self._writer = transactional(self._reader)
            hear_of_full_disk(self._reader, self._degradation.record_full_disk)
        self._probe = Probe(self._url, limits, application_name=application_name)
        if on_statement is not None:
            for each in self.engines:
                time_statements(each, on_statement)

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._writer.dialect.name

    @property
    def engines(self) -> list[Engine]:
        """SQLAlchemy's engines, for what traces their statements; those that share a pool and events stand for one."""
        both = (self._reader.sync_engine, self._writer.sync_engine)
        return [engine for engine in both if not isinstance(engine, OptionEngine)]

    async def start(self) -> None:
        """Make the file of SQLite; nothing connects yet. Raises StartupFailed if it cannot be made."""
        if is_sqlite(self._url):
            try:
                make_file(Path(self._url.database or ""))
            except OSError as error:
                raise self._unusable(reason_of(error)) from error

    async def verify(self) -> None:
        """Raise StartupFailed, with the address and the driver's reason, unless the database can be used.

        That it is locked, or read-only during a failover, passes by itself: readiness tells of it.
        """
        sqlite = is_sqlite(self._url)
        try:
            encoding = await self.fetch_value(text("PRAGMA encoding" if sqlite else "SHOW server_encoding"))
            if sqlite:
                await self._try_to_write()
        except (DatabaseUnavailable, exc.SQLAlchemyError) as error:
            raise self._unusable(reason_of(error)) from error
        if encoding not in {"UTF8", "UTF-8"}:
            hint = "create one with the encoding UTF-8, and move what this one holds"
            raise self._unusable(f"its encoding is {encoding}, not UTF-8", hint=hint)

    async def _try_to_write(self) -> None:
        try:
            async with self._writer.begin():
                pass
        except exc.OperationalError as error:
            if not is_busy(error):
                raise

    def _unusable(self, reason: str, *, hint: str = "check DATABASE_URL, and that it is there") -> StartupFailed:
        return StartupFailed(f"{self._address}: {reason}", hint=hint)

    async def close(self) -> None:
        """Close every connection: without it, the threads of SQLite's would outlive the service."""
        for engine in (self._writer, self._reader, self._probe.engine):
            await engine.dispose()

    async def renew(self) -> None:
        """Let go of every connection after the process stood still; the next use opens another."""
        await let_go(self._writer, self._reader, self._probe.engine)

    async def probe(self) -> None:
        """Return when the database takes writes; raises DatabaseUnavailable with the reason, for readiness."""
        await self._probe.ask()

    @property
    def degraded(self) -> bool:
        """Whether a shared server has no space for writes; reads go on, so the service stays ready."""
        return bool(self._degradation)

    async def ping(self) -> None:
        """Return when the database responds; raises DatabaseUnavailable."""
        await self.fetch_value(text("PRAGMA schema_version" if is_sqlite(self._url) else "SELECT 1"))

    async def fetch_all(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[AnyRow]:
        """Every row that *statement* selects; raises as `read`."""
        return await self.read(lambda connection: connection.execute(statement, parameters).all())

    async def fetch_one(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> AnyRow | None:
        """The one row that *statement* selects, if there is one; raises as `read`, and MultipleResultsFound."""
        return await self.read(lambda connection: connection.execute(statement, parameters).one_or_none())

    async def fetch_value(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """The first column of the one row that *statement* selects, None if there is none; raises as `fetch_one`."""
        return await self.read(lambda connection: connection.execute(statement, parameters).scalar_one_or_none())

    async def read(self, function: Callable[[Connection], Result]) -> Result:
        """What *function* returns for a connection that it only reads from, without a transaction.

        If the connection turns out to be lost, *function* is called once more, with a fresh one. It runs on the event
        loop as in `AsyncConnection.run_sync`: the methods of the connection wait, everything else must not.

        Raises DatabaseUnavailable; other errors of the database pass unchanged.
        """
        # One greenlet for checkout, statements and checkin, where AsyncConnection starts one for each. A cancellation
        # arrives inside it, so that a connection amid a statement is closed before it is given back.
        reading = greenlet_spawn(self._read, function)
        return await (_cancelled_once(reading) if is_sqlite(self._url) else reading)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Everything done in the block is stored at its end, or, after any exception, nothing.

        Raises DatabaseUnavailable; other errors of the database, such as a broken constraint, pass unchanged.
        """
        outer = _transaction.get()
        async with AsyncSession(self._writer, expire_on_commit=False) as session:
            started = perf_counter()
            try:
                await session.connection()
            except Exception as error:  # noqa: BLE001 - it is raised again
                raise_unavailable(error)
            finally:
                self._waited(started)
            _transaction.set(session)
            try:
                yield session
                wrote = self._degradation and await self._degradation.has_written(session)
                await session.commit()
                if wrote:
                    self._degradation.record_write()
            except DRIVER_ERRORS as error:
                raise_if_transient(error)
                raise
            finally:
                _transaction.set(outer)

    @property
    def in_transaction(self) -> bool:
        """Whether the current task, or the one that started it, is inside a transaction; one of SQLite waits for it."""
        session = _transaction.get()
        return session is not None and session.in_transaction()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which PostgreSQL commits each statement; of SQLite, for reading. Raises DatabaseUnavailable.

        For what `read` cannot do, such as waiting for something else in between: nothing is tried again here.
        """
        connection, started = self._reader.connect(), perf_counter()
        try:
            await connection.start()
        except Exception as error:  # noqa: BLE001 - it is raised again
            raise_unavailable(error)
        finally:
            self._waited(started)
        try:
            yield connection
        except DRIVER_ERRORS as error:
            raise_if_transient(error)
            raise
        finally:
            # Shielded: a request that is cancelled twice must not take the connection with it.
            await asyncio.shield(connection.close())

    def _read(self, function: Callable[[Connection], Result], *, again: bool = True) -> Result:
        started = perf_counter()
        try:
            connection = self._reader.sync_engine.connect()
        except Exception as error:  # noqa: BLE001 - it is raised again
            raise_unavailable(error)
        finally:
            self._waited(started)
        try:
            with connection:
                return function(connection)
        except DRIVER_ERRORS as error:
            if again and is_lost(error):
                return self._read(function, again=False)
            raise_if_transient(error)
            raise

    def _waited(self, started: float) -> None:
        if self._on_wait is not None:
            self._on_wait(perf_counter() - started)

    def pool_state(self) -> dict[str, int]:
        """How many connections are checked out, idle, and open beyond the pool's size."""
        pools = [_pool(engine) for engine in self.engines]
        return {
            "checked_out": sum(pool.checkedout() for pool in pools),
            "idle": sum(pool.checkedin() for pool in pools),
            "overflow": sum(max(0, pool.overflow()) for pool in pools),
        }


async def _cancelled_once(reading: Coroutine[Any, Any, Result]) -> Result:
    """What *reading* returns; it hears of the first cancellation alone, and ends by itself after it.

    A second one, while SQLAlchemy closes the connection of SQLite, would leave a task that waits for an ended thread.
    """
    task = asyncio.get_running_loop().create_task(reading)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        raise


def _pool(engine: Engine) -> QueuePool:
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        raise TypeError(f"{type(pool).__name__} counts no connections")
    return pool
