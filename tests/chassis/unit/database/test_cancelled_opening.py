"""A connection of SQLite's that nobody waits for any more is closed, and not left to the garbage collector."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from acme_service.chassis.database import Database

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("writes", [True, False])
async def test_a_connection_whose_opening_is_cancelled_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, writes: bool
) -> None:
    opened, closed, connect = list[object](), list[object](), sqlite3.connect

    class Recorded(sqlite3.Connection):
        def close(self) -> None:
            closed.append(self)
            super().close()

    def slowly(*arguments: Any, **options: Any) -> sqlite3.Connection:
        time.sleep(0.1)
        connection: sqlite3.Connection = connect(*arguments, **{**options, "factory": Recorded})
        opened.append(connection)
        return connection

    database = Database(f"sqlite:///{tmp_path / 'some.db'}")
    await database.start()
    monkeypatch.setattr(sqlite3, "connect", slowly)

    async def use() -> None:
        if not writes:
            await database.fetch_value(text("SELECT 1"))
            return
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))

    task = asyncio.create_task(use())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    await database.close()

    assert task.cancelled()
    assert 1 == len(opened)
    assert opened == closed
