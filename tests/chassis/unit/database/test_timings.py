"""What is measured of statements, and of the wait for a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from acme_service.chassis.database import Database
from acme_service.chassis.errors import DatabaseUnavailable

pytestmark = pytest.mark.anyio


class Measured:
    """A database, the waits for its connections, and its statements, in seconds."""

    def __init__(self, url: str) -> None:
        self.waits: list[float] = []
        self.statements: list[float] = []
        self.database = Database(
            url,
            pool_size=1,
            max_overflow=0,
            pool_timeout_seconds=0.2,
            on_wait=self.waits.append,
            on_statement=self.statements.append,
        )


@pytest.fixture
async def measured(database_url: str) -> AsyncIterator[Measured]:
    measured = Measured(database_url)
    await measured.database.start()
    yield measured
    await measured.database.close()


async def test_each_statement_is_measured_once_on_each_way(measured: Measured) -> None:
    await measured.database.fetch_value(text("SELECT 1"))
    first = len(measured.statements)
    await measured.database.fetch_value(text("SELECT 1"))
    async with measured.database.reading() as connection:
        await connection.execute(text("SELECT 1"))
    read = len(measured.statements)
    async with measured.database.transaction() as session:
        await session.execute(text("SELECT 1"))

    assert first + 2 == read
    assert len(measured.statements) > read
    assert 4 == len(measured.waits)


async def test_a_statement_that_fails_is_measured_too(measured: Measured) -> None:
    await measured.database.fetch_value(text("SELECT 1"))
    before = len(measured.statements)
    with pytest.raises(DBAPIError):
        await measured.database.fetch_value(text("SELECT no_such_column FROM nowhere"))

    assert before + 1 == len(measured.statements)


async def test_the_wait_for_a_connection_is_measured_also_in_vain(measured: Measured) -> None:
    async with measured.database.reading() as connection:
        await connection.execute(text("SELECT 1"))
        with pytest.raises(DatabaseUnavailable):
            await measured.database.fetch_value(text("SELECT 1"))
        waiting = asyncio.ensure_future(measured.database.fetch_value(text("SELECT 1")))
        await asyncio.sleep(0.05)
    await waiting

    assert measured.waits[1] >= 0.2
    assert 0.03 < measured.waits[2] < 0.2
