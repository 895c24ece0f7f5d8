"""A transaction that is cancelled at any moment leaves nothing: no row, and no lock that keeps others from writing."""

from __future__ import annotations

import asyncio
import gc

import pytest
from sqlalchemy import text

from acme_service.chassis.database import Database

pytestmark = pytest.mark.anyio

TRIES = 600
RETURNING = text(
    "INSERT INTO counts VALUES ('x', 1) ON CONFLICT (name) DO UPDATE SET count = count + 1 RETURNING count"
)


async def test_a_cancelled_returning_leaves_no_lock_behind(sqlite_url: str) -> None:
    """Without the garbage collector, which would find the cursor that holds one, sooner or later."""
    database = Database(sqlite_url, pool_timeout_seconds=2)
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE counts (name TEXT UNIQUE, count INTEGER)"))

    async def count() -> int:
        async with database.transaction() as session:
            return int((await session.execute(RETURNING)).scalar_one())

    gc.disable()
    try:
        counted = await count()
        for number in range(TRIES):
            task = asyncio.create_task(count())
            await asyncio.sleep(0.0004 + number % 100 * 0.00001)
            task.cancel()
            await asyncio.wait([task])
            was, counted = counted, await count()
            assert counted - was in {1, 2}
    finally:
        gc.enable()
        await database.close()
