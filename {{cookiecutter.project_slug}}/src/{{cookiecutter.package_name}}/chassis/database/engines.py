"""The limits of a database's connections, and how SQLite is connected to: its safety settings."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, TypeGuard

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from ..settings.postgresql import PostgresqlAddress, parse_postgresql
from .whole_cursors import WholeConnection

LET_GO_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections, and how long to wait: for a free one, for a lock, for a result."""

    pool_size: int
    max_overflow: int
    pool_timeout_seconds: float
    statement_timeout_seconds: float
    """0 for no limit, as a migration needs."""
    connect_timeout_seconds: float = 3.0
    recycle_seconds: float = 1800.0
    """A pooled connection to a server lives no longer, so that firewalls that forget are met early."""

    def single(self, pool_timeout_seconds: float) -> Limits:
        """The same for one connection, which waits so long for a lock of SQLite's."""
        return replace(self, pool_size=1, max_overflow=0, pool_timeout_seconds=pool_timeout_seconds)

    def pool(self) -> dict[str, Any]:
        """As `create_engine` names them."""
        return {
            "pool_size": self.pool_size,
            "max_overflow": self.max_overflow,
            "pool_timeout": self.pool_timeout_seconds,
        }


def is_sqlite(url: URL | PostgresqlAddress) -> TypeGuard[URL]:
    """Which of the two kinds of database *url* names."""
    return isinstance(url, URL)


def parse_url(text: str, *, pooled: bool = False) -> URL | PostgresqlAddress:
    """The address; no message on failure repeats the text, which may hold a password.

    With *pooled*, that of PostgreSQL leads to PgBouncer in transaction mode. Raises ValueError.
    """
    scheme, separator, _ = text.partition(":")
    if not separator:
        raise ValueError("the database's address is not a URL")
    kind = scheme.partition("+")[0]
    if kind in {"postgresql", "postgres"}:
        address = parse_postgresql(text)
        address.pooled = address.pooled or pooled
        return address
    if kind != "sqlite":
        raise ValueError(f"a database of kind {kind!r} is not supported; use sqlite: or postgresql:")
    try:
        url = make_url(text)
    except ArgumentError:
        raise ValueError("the database's address is not a URL") from None
    if url.database in {None, "", ":memory:"}:
        raise ValueError("a database in memory cannot be shared by connections; give sqlite: a file")
    return url


def sqlite_writer(url: URL, limits: Limits, *, foreign_keys: bool = True) -> AsyncEngine:
    """One connection, for which writers queue here rather than at the file, each in `BEGIN IMMEDIATE`.

    SQLite's default, taking the write lock at the first write, lets two transactions read the same row and one of
    their updates vanish.
    """
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        connect_args={"isolation_level": None, "timeout": limits.pool_timeout_seconds, **_OPENED_WHOLE},
        pool_size=1,
        max_overflow=0,
        pool_timeout=limits.pool_timeout_seconds,
        hide_parameters=True,
    )
    _prepare_sqlite(engine, [*_SQLITE_PRAGMAS, f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}"])
    _limit_statements(engine, limits.statement_timeout_seconds)

    @event.listens_for(engine.sync_engine, "begin")
    def begin_immediate(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def sqlite_reader(url: URL, limits: Limits) -> AsyncEngine:
    """Connections that cannot write and hold no transaction: readers never wait for the writer, nor it for them."""
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        connect_args={"timeout": limits.pool_timeout_seconds, **_OPENED_WHOLE},
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        hide_parameters=True,
        **limits.pool(),
    )
    _prepare_sqlite(engine, [*_SQLITE_PRAGMAS, "PRAGMA query_only = ON"])
    _limit_statements(engine, limits.statement_timeout_seconds)
    return engine


def make_file(path: Path) -> None:
    """Make an empty file, which to SQLite is an empty database, and its folder; leave a file that is there alone.

    Only its owner may read it; SQLite gives the files beside it the same mode.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.touch(0o600)


async def let_go(*engines: AsyncEngine) -> None:
    """Close the connections of *engines*, which open others when they are used again.

    The server of a dead connection says nothing, and the driver would wait for that: it is left to itself then.
    """
    for engine in engines:
        try:
            async with asyncio.timeout(LET_GO_SECONDS):
                await engine.dispose()
        except TimeoutError:
            await engine.dispose(close=False)


def follow_file(engine: AsyncEngine, url: URL) -> None:
    """Let no connection be used once its file was deleted or replaced, and none be opened while there is no file.

    SQLite itself goes on in a deleted file, and what it stores there is gone at the next start. Asking costs 2 us and
    never waits: the write-ahead log needs a local disk.
    """
    path = Path(url.database or "")

    @event.listens_for(engine.sync_engine, "do_connect")
    def reject_to_make_it(*_arguments: object) -> None:
        path.stat()

    @event.listens_for(engine.sync_engine, "connect")
    def remember(_connection: object, record: Any) -> None:
        record.info["file"] = _identity(path)

    @event.listens_for(engine.sync_engine, "checkout")
    def compare(_connection: object, record: Any, _proxy: object) -> None:
        if record.info["file"] != _identity(path):
            raise DisconnectionError("the database's file is another one")


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file lies at *path*, whatever its content."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


async def _opened(*arguments: Any, **options: Any) -> Any:
    """A connection of SQLite's driver; one whose opening is cancelled is closed, where the driver would forget it."""
    import aiosqlite  # noqa: PLC0415 - a service on PostgreSQL never loads it

    connection = aiosqlite.connect(*arguments, **{"factory": WholeConnection, **options})
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does for those that it opens
    opening = asyncio.ensure_future(connection)  # noqa: TID251 - it ends within this call
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await (await opening).close()
        raise


_OPENED_WHOLE: dict[str, Any] = {"async_creator_fn": _opened}
"""For `connect_args`."""

_PROGRESS_HANDLER_OPCODES = 100_000

_SQLITE_PRAGMAS = ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA temp_store = MEMORY"]
"""FULL, because with NORMAL a loss of power takes the last commits along (sqlite.org/pragma.html)."""


def _prepare_sqlite(engine: AsyncEngine, pragmas: list[str]) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()


class _Deadline:
    """When the statement that a connection runs must end; SQLite asks from its own thread."""

    def __init__(self) -> None:
        self.at = inf

    def is_over(self) -> int:
        return monotonic() > self.at


def _limit_statements(engine: AsyncEngine, seconds: float) -> None:
    """SQLite has no statement timeout and hears of no cancellation: it asks every few milliseconds whether to go on."""

    @event.listens_for(engine.sync_engine, "connect")
    def watch(connection: Any, record: Any) -> None:
        deadline = record.info["deadline"] = _Deadline()
        connection.run_async(lambda driver: driver.set_progress_handler(deadline.is_over, _PROGRESS_HANDLER_OPCODES))

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def begin(connection: Any, *_statement: object) -> None:
        connection.info["deadline"].at = monotonic() + (seconds or inf)

    @event.listens_for(engine.sync_engine, "invalidate")
    def abandon(_connection: object, record: Any, _error: object) -> None:
        # Its request was cancelled: closing waits for the statement, and the one who cancelled waits for that.
        record.info["deadline"].at = 0.0
