"""Errors that say something about the server: that it ends, takes no writes, is full, or met two requests at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import anyio
import pytest
from sqlalchemy import make_url, text
from structlog.testing import capture_logs

from acme_service.chassis.database import Database
from acme_service.chassis.database import degradation as degradation_module
from acme_service.chassis.errors import DatabaseUnavailable

from tests.databases import PostgreSQL

pytestmark = pytest.mark.anyio

RAISE = "DO $$ BEGIN RAISE EXCEPTION 'as it is told' USING ERRCODE = '{}'; END $$"
INSERT = "INSERT INTO items VALUES ('1', '0', 'a', '2026-01-01')"
WHO = text("SELECT pg_backend_pid()")


@asynccontextmanager
async def opened(url: str, **options: float) -> AsyncIterator[Database]:
    database = Database(url, **options)  # type: ignore[arg-type]
    await database.start()
    try:
        yield database
    finally:
        await database.close()


async def write(database: Database, *statements: str) -> None:
    async with database.transaction() as session:
        for statement in statements:
            await session.execute(text(statement))


async def rejected(database: Database, *statements: str) -> DatabaseUnavailable:
    with pytest.raises(DatabaseUnavailable) as raised:
        await write(database, *statements)
    assert 1 == raised.value.retry_after_seconds
    return raised.value


class Switch:
    """A database whose new sessions are read-only, as those on a server that a failover left behind."""

    def __init__(self, server: PostgreSQL) -> None:
        self._server = server
        self.url = server.create()
        self._name = make_url(self.url).database

    def set(self, value: str) -> None:
        self._server.execute(f'ALTER DATABASE "{self._name}" SET default_transaction_read_only = {value}')

    def drop(self) -> None:
        self._server.drop(self.url)


@pytest.fixture
def switch(postgresql_server: PostgreSQL) -> Iterator[Switch]:
    made = Switch(postgresql_server)
    made.set("on")
    yield made
    made.drop()


CREATE = "CREATE TABLE IF NOT EXISTS one (id TEXT)"


async def test_a_server_that_takes_no_writes_is_left_with_all_connections(switch: Switch) -> None:
    async with opened(switch.url, pool_size=5) as database:
        await asyncio.gather(*(database.fetch_all(text("SELECT pg_sleep(0.1)")) for _ in range(5)))
        await asyncio.sleep(1.1)
        await asyncio.to_thread(switch.set, "off")
        assert "read-only" in (await rejected(database, CREATE)).detail

        await asyncio.gather(*(write(database, CREATE if n == 0 else "SELECT txid_current()") for n in range(5)))


async def test_a_fresh_connection_to_such_a_server_is_replaced_alone(switch: Switch) -> None:
    async with opened(switch.url, pool_size=2) as database:
        await database.ping()
        async with database.reading() as connection:
            reader = (await connection.execute(WHO)).scalar_one()
            await rejected(database, CREATE)
        async with database.reading() as one, database.reading() as other:
            assert reader in {(await each.execute(WHO)).scalar_one() for each in (one, other)}


@pytest.mark.parametrize("state", ["57P01", "57P02", "57P03", "57P04", "57P05"])
async def test_a_server_that_ends_is_unavailable_and_its_connection_is_replaced(
    postgresql_url: str, state: str
) -> None:
    async with opened(postgresql_url, pool_size=1, max_overflow=0) as database:
        before = await database.fetch_value(WHO)
        await rejected(database, RAISE.format(state))

        assert before != await database.fetch_value(WHO)


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_conflict_of_two_requests_is_unavailable_and_not_tried_again(postgresql_url: str, state: str) -> None:
    async with opened(postgresql_url, pool_size=1, max_overflow=0) as database:
        before = await database.fetch_value(WHO)
        error = await rejected(database, INSERT, RAISE.format(state))

        assert "same time" in error.detail
        assert before == await database.fetch_value(WHO)
        assert 0 == await database.fetch_value(text("SELECT count(*) FROM items"))


async def test_a_deadlock_costs_one_of_both(postgresql_url: str) -> None:
    async with opened(postgresql_url) as database:
        await write(database, INSERT, INSERT.replace("'1'", "'2'").replace("'a'", "'b'"))
        barrier = asyncio.Barrier(2)

        async def lock(first: str, second: str) -> None:
            async with database.transaction() as session:
                for number in (first, second):
                    await session.execute(text(f"UPDATE items SET name = 'x' WHERE id = '{number}'"))  # noqa: S608
                    if number == first:
                        await barrier.wait()

        results = await asyncio.gather(lock("1", "2"), lock("2", "1"), return_exceptions=True)

    assert [DatabaseUnavailable] == [type(each) for each in results if each is not None]


async def test_a_full_disk_of_the_server_is_told_until_a_write_is_stored(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(degradation_module, "monotonic", lambda: now)
    async with opened(postgresql_url) as database:
        with capture_logs() as lines:
            for _ in range(2):
                assert "no space" in (await rejected(database, RAISE.format("53100"))).detail
            assert database.degraded
            await database.probe()
            now = 20.0
            await write(database, "SELECT 1")
            assert database.degraded, "nothing was written"
            await write(database, INSERT)
            assert not database.degraded
            await rejected(database, RAISE.format("53100"))
            await write(database, INSERT.replace("'1'", "'2'").replace("'a'", "'b'"))
            assert database.degraded, "a small write may fit where others do not"

    assert ["database degraded", "database no longer degraded", "database degraded"] == [
        line["event"] for line in lines
    ]


# Readiness asks on a connection of its own.


async def test_a_busy_pool_and_a_busy_writer_take_writes(database_url: str) -> None:
    async with opened(database_url, pool_size=1, max_overflow=0, pool_timeout_seconds=0.1) as database:
        async with database.transaction() as session, database.reading() if database.kind == "sqlite" else nothing():
            await session.execute(text(INSERT))
            await database.probe()
        await database.probe()


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


async def test_the_question_changes_nothing(database: Database) -> None:
    await database.probe()
    await database.probe()

    if database.kind == "sqlite":
        assert 0 == await database.fetch_value(text("PRAGMA user_version"))


async def test_a_read_only_server_takes_no_writes_until_another_one_is_there(switch: Switch) -> None:
    async with opened(switch.url) as database:
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable, match="the server is read-only"):
                await database.probe()
        await asyncio.to_thread(switch.set, "off")
        await database.probe()


async def test_a_read_only_file_takes_no_writes(sqlite_url: str) -> None:
    """The format of its header is one that this SQLite may read, and not write (sqlite.org/fileformat.html, 1.3.3)."""
    path = anyio.Path(make_url(sqlite_url).database or "")
    content = await path.read_bytes()
    await path.write_bytes(content[:18] + b"\3" + content[19:])
    async with opened(sqlite_url) as database:
        with pytest.raises(DatabaseUnavailable, match="readonly"):
            await database.probe()


@pytest.mark.parametrize(("blocks", "free", "full"), [(1000, 10, "full"), (1000, 600, ""), (0, 0, "")])
async def test_a_disk_without_space_takes_no_writes(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, blocks: int, free: int, full: str
) -> None:
    disk = SimpleNamespace(f_blocks=blocks, f_bfree=free, f_bavail=free, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    async with opened(sqlite_url) as database:
        if full:
            with pytest.raises(DatabaseUnavailable, match=r"the disk of .*test.db is full"):
                await database.probe()
        else:
            await database.probe()


async def test_a_missing_file_takes_no_writes_and_is_not_made(sqlite_url: str) -> None:
    path = anyio.Path(make_url(sqlite_url).database or "")
    async with opened(sqlite_url) as database:
        await path.unlink()
        with pytest.raises(DatabaseUnavailable):
            await database.probe()

    assert not await path.exists()
