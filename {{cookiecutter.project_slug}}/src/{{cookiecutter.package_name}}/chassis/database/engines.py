"""How each kind of database is connected to: its driver, its safety settings, its limits.

A driver is imported by the engine that uses it: a service on SQLite never loads asyncpg.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from .liveness import leave_lost_servers, ping_idle_connections

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

CONNECT_TIMEOUT_SECONDS = 3.0
RECYCLE_SECONDS = 1800
"""A pooled connection lives no longer, so that failovers and firewalls that forget are met early."""

CLIENT_GRACE_SECONDS = 1.0
"""How much later than the server the client gives up: it only has to when the server itself is frozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections, and how long to wait: for a free one, for a lock, for a result."""

    pool_size: int
    max_overflow: int
    pool_timeout_seconds: float
    statement_timeout_seconds: float
    """0 for no limit, as a migration needs."""

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


def is_sqlite(url: URL) -> bool:
    """Which of the two kinds of database *url* names; raises ValueError for a third."""
    backend = url.drivername.partition("+")[0]
    if backend not in {"sqlite", "postgresql"}:
        raise ValueError(f"a database of kind {backend!r} is not supported; use sqlite: or postgresql:")
    return backend == "sqlite"


def parse_url(text: str) -> URL:
    """The URL; its message on failure does not repeat the text, which may hold a password."""
    try:
        url = make_url(text.replace("postgres://", "postgresql://", 1))
    except ArgumentError:
        raise ValueError("the database's address is not a URL") from None
    if is_sqlite(url) and url.database in {None, "", ":memory:"}:
        raise ValueError("a database in memory cannot be shared by connections; give sqlite: a file")
    return url


def sqlite_writer(url: URL, limits: Limits, *, foreign_keys: bool = True) -> AsyncEngine:
    """One connection, for which writers queue here rather than at the file, each in `BEGIN IMMEDIATE`.

    SQLite's default, taking the write lock at the first write, lets two transactions read the same row and one of
    their updates vanish.
    """
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        connect_args={"isolation_level": None, "timeout": limits.pool_timeout_seconds},
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
        connect_args={"timeout": limits.pool_timeout_seconds},
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        hide_parameters=True,
        **limits.pool(),
    )
    _prepare_sqlite(engine, [*_SQLITE_PRAGMAS, "PRAGMA query_only = ON"])
    _limit_statements(engine, limits.statement_timeout_seconds)
    return engine


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


def postgresql(
    url: URL,
    limits: Limits,
    *,
    application_name: str,
    settings: dict[str, str] | None = None,
    autocommit: bool = False,
) -> AsyncEngine:
    """A pool of asyncpg connections, which the server lists as *application_name*; *settings* are of its session.

    With *autocommit* a statement stands alone, without a round trip for BEGIN and one for COMMIT: for reading.

    asyncpg itself reads the address, so that everything libpq accepts in one (`sslmode`, several hosts, a socket's
    folder) is accepted. The server ends a statement at its limit; a server too frozen to do so is left by the client.
    """
    import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 - only a service on PostgreSQL pays for its memory

    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    limit_seconds = limits.statement_timeout_seconds
    session = {
        "application_name": application_name,
        "statement_timeout": str(round(limit_seconds * 1000)),
        "idle_in_transaction_session_timeout": str(round(limit_seconds * 1000) * 2),
        **(settings or {}),
    }

    async def connect() -> Any:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=limit_seconds + CLIENT_GRACE_SECONDS if limit_seconds else None,
            server_settings=session,
        )

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        isolation_level="AUTOCOMMIT" if autocommit else None,
        pool_recycle=RECYCLE_SECONDS,
        skip_autocommit_rollback=True,
        hide_parameters=True,
        **limits.pool(),
    )
    ping_idle_connections(engine)
    leave_lost_servers(engine)
    return engine


def transactional(engine: AsyncEngine) -> AsyncEngine:
    """The pool of *engine*, which commits by itself, for transactions; the server's own isolation level applies.

    In this direction, because changing the level costs at each checkout, and reads are many and short.
    """
    writer = engine.execution_options()

    @event.listens_for(writer.sync_engine, "engine_connect")
    def leave_autocommit(connection: Connection) -> None:
        connection.execution_options(isolation_level=connection.default_isolation_level)

    return writer
