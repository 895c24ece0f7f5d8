"""Runs Alembic over the service's own connections, one process at a time. Its configuration is built here, in code."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import DATETIME, Enum, TypeDecorator

from ...errors import ConfigurationError, StartupFailed
from ...settings.postgresql import PostgresqlAddress
from ..database import Database
from ..drift import metadata_of as _metadata_of
from ..engines import Limits, parse_url, sqlite_writer
from ..failures import reason_of
from ..postgresql import postgresql
from ..revisions import newest_revision
from . import MigrationFailed
from .canonical import rewrite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from sqlalchemy import URL, Connection, MetaData
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from . import Schema

LOCK_TIMEOUT_SECONDS = 60.0
"""How long to wait for another migration, or for a table that requests use."""

_LOCK_KEY = 0x6D6967726174
"""Any number that nothing else in the database locks; this one spells "migrat"."""

_LIMITS = Limits(pool_size=2, max_overflow=0, pool_timeout_seconds=LOCK_TIMEOUT_SECONDS, statement_timeout_seconds=0.0)

_log = structlog.get_logger("chassis.database.migrations.runner")


async def migrated(
    database_url: str, schema: Schema, revision: str = "head", *, lock_timeout_seconds: float | None = None
) -> None:
    """As `migrate`, for callers with an event loop."""
    try:
        newest_revision(schema.versions)
        started = perf_counter()
        before, after = await _moved(database_url, schema, revision, lock_timeout_seconds or LOCK_TIMEOUT_SECONDS)
    except MigrationFailed:
        raise
    except (Exception, SystemExit) as error:  # whatever a revision or a model raises
        raise MigrationFailed(failure_of(error, schema)) from error
    if before == after:
        _log.info("schema was current", revision=after)
    else:
        duration_ms = round((perf_counter() - started) * 1000, 1)
        _log.info("schema migrated", from_revision=before, to_revision=after, duration_ms=duration_ms)


async def _moved(database_url: str, schema: Schema, revision: str, lock_timeout_seconds: float) -> tuple[str, str]:
    url = parse_url(database_url)
    if isinstance(url, PostgresqlAddress) and url.pooled:
        raise MigrationFailed(
            "PgBouncer in transaction mode holds no lock: set DATABASE_DIRECT_URL to the address of the server itself"
        )
    database = Database(database_url, application_name="migrate")
    try:
        await database.start()
        await database.verify()
    finally:
        await database.close()
    engine = _engine(url, lock_timeout_seconds)
    try:
        async with _locked(engine) as connection:
            return await connection.run_sync(_run, schema, revision)
    finally:
        await engine.dispose()


def metadata_of(schema: Schema) -> MetaData:
    """Every table of the service."""
    return _metadata_of(schema.models)


def alembic_config(schema: Schema, **attributes: Any) -> Config:
    """Alembic's configuration; *attributes* reach `env.py`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("version_locations", str(schema.versions).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes.update(attributes)
    return config


def comparison(connection: Connection, schema: Schema) -> dict[str, Any]:
    """Alembic's options for a connection: how to compare, and how to write what it found."""
    return {
        "connection": connection,
        "target_metadata": metadata_of(schema),
        "compare_type": True,
        "compare_server_default": True,
        "render_as_batch": True,
        "render_item": _render_item,
        "transactional_ddl": True,
    }


def _engine(url: URL | PostgresqlAddress, lock_timeout_seconds: float) -> AsyncEngine:
    if not isinstance(url, PostgresqlAddress):
        # Foreign keys are off because a batch migration replaces tables; `_run` checks them at the end.
        return sqlite_writer(url, _LIMITS.single(lock_timeout_seconds), foreign_keys=False)
    return postgresql(
        url, _LIMITS, application_name="migrate", settings={"lock_timeout": str(round(lock_timeout_seconds * 1000))}
    )


@asynccontextmanager
async def _locked(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that no other migration shares time with.

    On SQLite the transaction itself is the lock. On PostgreSQL a second connection holds an advisory lock, because a
    revision may have to commit in between (`CREATE INDEX CONCURRENTLY`).
    """
    if engine.dialect.name == "sqlite":
        async with engine.begin() as connection:
            yield connection
        return
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as guard:
        await guard.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK_KEY})
        try:
            async with engine.begin() as connection:
                yield connection
        finally:
            await guard.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK_KEY})


def _run(connection: Connection, schema: Schema, revision: str) -> tuple[str, str]:
    """Move to *revision*; the revisions before and after."""
    config = alembic_config(schema, configure=comparison(connection, schema))
    before = _revision(connection)
    target = {"head": newest_revision(schema.versions), "base": ""}.get(revision, revision)
    if revision == "head" and before > target:
        _log.warning("schema is newer than this version of the service", revision=before, known=target)
    elif target > before:
        command.upgrade(config, target)
        if before:
            rewrite(connection, metadata_of(schema))
    elif target < before:
        command.downgrade(config, target or "base")
    if connection.dialect.name == "sqlite" and connection.execute(text("PRAGMA foreign_key_check")).first():
        raise MigrationFailed("A row would refer to another that does not exist.")
    return before, _revision(connection)


def _revision(connection: Connection) -> str:
    """The revision that the database has; empty for none."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def _render_item(kind: str, item: object, _context: object) -> str | bool:
    """A revision names SQLAlchemy's own types: ours may change after it was written, SQLite's are its own."""
    if kind == "type" and isinstance(item, Enum) and not item.native_enum:
        return "sa.String()"
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl!r}"
    if kind == "type" and isinstance(item, DATETIME):  # of a table to drop, which is compared on SQLite
        return "sa.DateTime(timezone=True)"
    return False


def failure_of(error: BaseException, schema: Schema) -> str:
    """What failed, and the line of the revision that it failed in, as one line."""
    if isinstance(error, ConfigurationError | StartupFailed):
        return str(error)
    if isinstance(error, CommandError):
        return f"Alembic rejected: {' '.join(str(error).split())}"
    reason = reason_of(error)
    if isinstance(error, DBAPIError) and ("lock timeout" in reason or "locked" in reason):
        return "Another migration, or a long transaction, holds the lock."
    if (place := _place(error.__traceback__, schema)) is None and isinstance(error, OSError | DBAPIError):
        return f"The database rejected: {reason}"
    what = reason if isinstance(error, DBAPIError) else f"{type(error).__name__}: {reason}"
    return f"{place}: {what}" if place else what


def _place(traceback: TracebackType | None, schema: Schema) -> str | None:
    """The file and line of the innermost frame that is of a revision."""
    place = None
    while traceback is not None:
        path = Path(traceback.tb_frame.f_code.co_filename)
        if path.parent == schema.versions:
            place = f"{path.name}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
