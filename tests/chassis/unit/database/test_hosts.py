"""Several hosts in one address, and options of the socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from time import perf_counter

import pytest
from sqlalchemy import make_url, text

from acme_service.chassis.database import Database
from acme_service.chassis.database.postgresql import Connector
from acme_service.chassis.errors import DatabaseUnavailable
from acme_service.chassis.settings.postgresql import parse_postgresql

from tests.databases import PostgreSQL

from ...databases import Proxy

pytestmark = pytest.mark.anyio


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and says nothing, as a host that is gone behind its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def value(database: Database, statement: str) -> object:
    return await database.fetch_value(text(statement))


async def test_a_host_that_is_silent_does_not_use_up_the_time_of_the_next(proxy: Proxy, silent_port: int) -> None:
    folder = make_url(proxy.address).query["host"]
    url = f"postgresql://postgres@/{make_url(proxy.address).database}?host=127.0.0.1:{silent_port},{folder}&connect_timeout=1"
    database = Database(url, connect_timeout_seconds=30)  # the address says otherwise
    try:
        started = perf_counter()
        assert 1 == await value(database, "SELECT 1")
        assert perf_counter() - started < 5
        started = perf_counter()
        await asyncio.gather(*(value(database, "SELECT 1") for _ in range(3)))
        assert perf_counter() - started < 1, "the host that was good is tried first"
    finally:
        await database.close()


async def test_of_several_hosts_the_one_that_takes_writes_is_taken(
    postgresql_server: PostgreSQL, postgresql_url: str
) -> None:
    """Both are the same server here: with sessions that are read-only, none of them fits."""
    url = make_url(postgresql_url)
    host = url.query.get("host") or url.host
    several = parse_postgresql(f"postgresql://postgres@/{url.database}?host={host},{host}")
    if url.password:
        pytest.skip("the server asks for a password")
    setting = f'ALTER DATABASE "{url.database}" {{}} default_transaction_read_only'
    connect = Connector(several, {"timeout": 3})
    await asyncio.to_thread(postgresql_server.execute, f"{setting.format('SET')} = on")
    try:
        with pytest.raises(Exception, match=r"read-write|target"):
            await connect()
    finally:
        await asyncio.to_thread(postgresql_server.execute, setting.format("RESET"))
    connection = await connect()
    await connection.close()


async def test_the_socket_is_kept_alive_as_the_address_says(proxy: Proxy) -> None:
    folder = make_url(proxy.address).query["host"]
    server = await asyncio.start_server(
        lambda reader, writer: relay(reader, writer, f"{folder}/.s.PGSQL.5432"), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    address = parse_postgresql(
        f"postgresql://postgres@127.0.0.1:{port}/{make_url(proxy.address).database}"
        "?sslmode=disable&keepalives_idle=31&keepalives_interval=7&keepalives_count=4&tcp_user_timeout=5000"
    )
    connection = await Connector(address, {"timeout": 3})()
    found = connection._transport.get_extra_info("socket")  # noqa: SLF001 - what is tested
    options = {
        name: found.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    }
    alive = found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    await connection.close()
    server.close()

    assert 1 == alive
    assert {"TCP_KEEPIDLE": 31, "TCP_KEEPINTVL": 7, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 5000} == options


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    there_reader, there_writer = await asyncio.open_unix_connection(path)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))


async def test_a_connection_takes_no_longer_than_its_limit(silent_port: int) -> None:
    database = Database(f"postgresql://postgres@127.0.0.1:{silent_port}/x", connect_timeout_seconds=0.3)
    started = perf_counter()
    with pytest.raises(DatabaseUnavailable):
        await database.ping()
    assert perf_counter() - started < 2.5, "the default is 3 s"


async def test_a_connection_is_replaced_at_its_age(postgresql_url: str) -> None:
    database = Database(postgresql_url, pool_size=1, max_overflow=0, pool_recycle_seconds=0.1)
    try:
        before = await value(database, "SELECT pg_backend_pid()")
        await asyncio.sleep(0.2)
        assert before != await value(database, "SELECT pg_backend_pid()")
    finally:
        await database.close()
