from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import Connection, bindparam, exc, literal, select, text

from acme_service.chassis.database import Database
from acme_service.chassis.database.liveness import IDLE_SECONDS
from acme_service.chassis.errors import DatabaseUnavailable

from tests.databases import HANG_UP

from ...databases import Proxy

pytestmark = pytest.mark.anyio

ONE = text("SELECT 1")
NUMBER = select(bindparam("number", type_=literal(1).type))
OWN_BACKEND = text("SELECT pg_terminate_backend(pg_backend_pid())")
INSERT = text("INSERT INTO items VALUES ('1', '0', 'a', '2026-01-01')")
LONG = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000000) SELECT count(*) FROM n",
    "postgresql": "SELECT count(*) FROM pg_sleep(20)",
}


@contextlib.asynccontextmanager
async def opened(url: str, **options: float) -> AsyncIterator[Database]:
    database = Database(url, **options)  # type: ignore[arg-type]
    await database.start()
    try:
        yield database
    finally:
        await database.close()


class Counted:
    """Executes *statements* for `Database.read`, and counts how often it was asked to."""

    def __init__(self, *statements: str) -> None:
        self._statements = statements
        self.calls = 0

    def __call__(self, connection: Connection) -> list[object]:
        self.calls += 1
        assert self.calls < 5, "a read goes on for ever"
        return [connection.execute(text(statement)).scalar_one() for statement in self._statements]


async def lose_unnoticed(proxy: Proxy, other: Database) -> None:
    """End every connection but that of *other*; the driver hears of it at the next moment that it listens."""
    proxy.freeze()
    await other.fetch_all(text(HANG_UP))
    await asyncio.sleep(0.1)
    proxy.thaw()


async def insert(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(INSERT)


async def test_rows_a_row_and_a_value_are_fetched(database: Database) -> None:
    none = NUMBER.where(literal(1) == literal(2))

    assert [(7,)] == [tuple(row) for row in await database.fetch_all(NUMBER, {"number": 7})]
    assert (7,) == tuple(await database.fetch_one(NUMBER, {"number": 7}) or ())
    assert 7 == await database.fetch_value(NUMBER, {"number": 7})
    assert [] == await database.fetch_all(none, {"number": 7})
    assert await database.fetch_one(none, {"number": 7}) is None
    assert await database.fetch_value(none, {"number": 7}) is None


async def test_two_rows_are_not_one(database: Database) -> None:
    with pytest.raises(exc.MultipleResultsFound):
        await database.fetch_one(text("SELECT 1 UNION SELECT 2"))


async def test_a_read_is_one_round_trip(proxy: Proxy) -> None:
    async with opened(proxy.address) as database:
        await database.fetch_value(ONE)
        before = proxy.round_trips
        await database.fetch_value(ONE)

        assert 1 == proxy.round_trips - before


async def test_only_a_connection_that_was_idle_is_pinged(proxy: Proxy) -> None:
    async with opened(proxy.address) as database:
        await database.fetch_value(ONE)
        await asyncio.sleep(IDLE_SECONDS + 0.1)
        before = proxy.round_trips
        await database.fetch_value(ONE)

        assert 1 < proxy.round_trips - before


async def test_a_write_meets_no_connection_that_was_lost_while_idle(postgresql_url: str, proxy: Proxy) -> None:
    async with opened(proxy.address, pool_size=1) as database, opened(postgresql_url) as other:
        await database.ping()
        await asyncio.sleep(IDLE_SECONDS + 0.1)
        await lose_unnoticed(proxy, other)
        await insert(database)

        assert 1 == await other.fetch_value(text("SELECT count(*) FROM items"))


async def test_a_write_meets_no_connection_that_the_driver_knows_is_closed(postgresql_url: str) -> None:
    async with opened(postgresql_url, pool_size=1) as database, opened(postgresql_url) as other:
        await database.ping()
        await other.fetch_all(text(HANG_UP))
        await asyncio.sleep(0.1)
        await insert(database)


async def test_a_write_on_a_connection_that_was_just_lost_is_not_tried_again(postgresql_url: str, proxy: Proxy) -> None:
    async with opened(proxy.address, pool_size=1) as database, opened(postgresql_url) as other:
        await database.ping()
        await lose_unnoticed(proxy, other)
        with pytest.raises(DatabaseUnavailable):
            await insert(database)

        assert 0 == await other.fetch_value(text("SELECT count(*) FROM items"))


async def test_a_write_that_loses_its_connection_is_not_tried_again(postgresql_url: str) -> None:
    begun = 0

    async def write(database: Database) -> None:
        nonlocal begun
        async with database.transaction() as session:
            begun += 1
            await session.execute(OWN_BACKEND)

    async with opened(postgresql_url) as database:
        with pytest.raises(DatabaseUnavailable):
            await write(database)

    assert 1 == begun


@pytest.mark.parametrize("statements", [("SELECT 1",), ("SELECT 1", "SELECT 2")], ids=["one", "several"])
async def test_a_read_on_a_connection_that_was_just_lost_is_made_on_a_fresh_one(
    postgresql_url: str, proxy: Proxy, statements: tuple[str, ...]
) -> None:
    read = Counted(*statements)
    async with opened(proxy.address, pool_size=1) as database, opened(postgresql_url) as other:
        await database.ping()
        await lose_unnoticed(proxy, other)
        await database.read(read)

    assert 2 == read.calls


async def test_no_read_fails_when_every_pooled_connection_is_killed(postgresql_url: str) -> None:
    async def read(number: int) -> list[object]:
        return [await database.fetch_value(NUMBER, {"number": number}) for _ in range(50)]

    async with opened(postgresql_url, pool_size=5, max_overflow=0) as database, opened(postgresql_url) as other:
        for _ in range(5):
            await asyncio.gather(*(database.fetch_all(text("SELECT pg_sleep(0.1)")) for _ in range(5)))
            readers = [asyncio.create_task(read(number)) for number in range(10)]
            await asyncio.sleep(0.01)
            killed = await other.fetch_all(text(HANG_UP))
            results = await asyncio.gather(*readers)

            assert 5 == len(killed)
            assert [[number] * 50 for number in range(10)] == results


async def test_a_read_that_loses_its_second_connection_too_is_unavailable(postgresql_url: str) -> None:
    read = Counted(str(OWN_BACKEND))
    async with opened(postgresql_url) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.read(read)

    assert 2 == read.calls


async def test_a_read_that_takes_too_long_is_not_made_again(database_url: str) -> None:
    async with opened(database_url, statement_timeout_seconds=0.3) as database:
        read = Counted(LONG[database.kind])
        with pytest.raises(DatabaseUnavailable):
            await database.read(read)

    assert 1 == read.calls


async def test_a_read_from_a_frozen_server_is_not_made_again(proxy: Proxy) -> None:
    read = Counted("SELECT 1")
    async with opened(proxy.address, statement_timeout_seconds=0.2) as database:
        await database.ping()
        proxy.freeze()
        with pytest.raises(DatabaseUnavailable):
            await database.read(read)

    assert 1 == read.calls


async def test_a_wrong_read_is_not_made_again(database: Database) -> None:
    read = Counted("SELECT nothing FROM nowhere")
    with pytest.raises(exc.DBAPIError):
        await database.read(read)

    assert 1 == read.calls


def number_of(number: int) -> Callable[[Connection], list[int]]:
    """Reads *number* by two statements."""
    return lambda connection: [connection.execute(NUMBER, {"number": number}).scalar_one() for _ in range(2)]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_read_may_be_cancelled_at_any_moment(database_url: str, times: int) -> None:
    """Of one connection at most: whoever reads next would get the answer to the read before, or none."""
    async with opened(database_url, pool_size=1, max_overflow=0) as database:
        cancelled = 0
        for moment in range(60):
            task = asyncio.create_task(database.read(number_of(moment)))
            for _ in range(moment):
                await asyncio.sleep(0)
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            (result,) = await asyncio.gather(task, return_exceptions=True)
            cancelled += isinstance(result, asyncio.CancelledError)
            assert result == [moment] * 2 or isinstance(result, asyncio.CancelledError)

            assert [-moment] * 2 == await database.read(number_of(-moment))
            assert 0 == database.pool_state()["checked_out"]
        assert cancelled


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_cancelled_read_takes_no_connection_along(database_url: str, times: int) -> None:
    async with opened(database_url, pool_size=1, max_overflow=0) as database:
        task = asyncio.create_task(database.read(Counted(LONG[database.kind])))
        await asyncio.sleep(0.1)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

        assert 1 == await database.fetch_value(ONE)
        assert {"checked_out": 0, "idle": 1, "overflow": 0} == database.pool_state()


async def test_a_read_from_a_frozen_server_can_be_cancelled_twice(proxy: Proxy) -> None:
    """The first time it asks the server to end the statement, and would wait for it."""
    async with opened(proxy.address, pool_size=1, max_overflow=0) as database:
        await database.ping()
        proxy.freeze()
        task = asyncio.create_task(database.fetch_value(ONE))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.sleep(0.05)
        task.cancel()
        (result,) = await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 1)
        proxy.thaw()

        assert isinstance(result, asyncio.CancelledError)
        assert 1 == await database.fetch_value(ONE)
        assert 0 == database.pool_state()["checked_out"]
