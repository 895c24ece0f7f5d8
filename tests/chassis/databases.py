"""The databases of a render's tests, with the schema of the sample; and a proxy in front of PostgreSQL.

The other fixtures are those of a project, in `tests/databases.py` of the render whose environment runs these tests.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from acme_service.chassis.database.migrations import Schema

from tests.databases import PostgreSQL, migrated_postgresql, migrated_sqlite

from .sample import SERVICE

SCHEMA = Schema(SERVICE.models, SERVICE.versions)
PORT = 5432


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_sqlite(tmp_path_factory.mktemp("sqlite"), SCHEMA)


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: PostgreSQL) -> Iterator[str]:
    with migrated_postgresql(postgresql_server, SCHEMA) as address:
        yield address


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

    def forget(self) -> None:
        """Of what is open now nothing passes any more; what is opened afterwards works."""
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._flowing.set()

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
        flowing = self._flowing  # that of the time when it was opened
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                self.round_trips += count
                await flowing.wait()
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
