"""Whether a task is inside a transaction."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from acme_service.chassis.database import Database

pytestmark = pytest.mark.anyio


async def test_a_task_is_in_a_transaction_until_that_ends_however_it_ends(database: Database) -> None:
    assert not database.in_transaction
    async with database.transaction():
        assert database.in_transaction
    assert not database.in_transaction
    with suppress(ZeroDivisionError):
        async with database.transaction():
            raise ZeroDivisionError
    assert not database.in_transaction


async def test_the_end_of_an_inner_transaction_is_not_that_of_the_outer_one(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    async with database.transaction():
        async with database.transaction():
            pass
        assert database.in_transaction
    await database.close()


async def test_a_task_that_was_started_in_a_transaction_is_in_it_while_it_is_open(database: Database) -> None:
    ended = asyncio.Event()

    async def ask() -> tuple[bool, bool]:
        inside = database.in_transaction
        await ended.wait()
        return inside, database.in_transaction

    async with database.transaction():
        task = asyncio.create_task(ask())
        await asyncio.sleep(0)
    ended.set()

    assert (True, False) == await task
