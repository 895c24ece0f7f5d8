"""A job that another process sends begins at once where PostgreSQL can notify."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from pydantic import SecretStr

from acme_service.chassis.database import Database
from acme_service.chassis.jobs import JobRun
from acme_service.chassis.jobs.listening import direct_address
from acme_service.chassis.settings import DatabaseSettings

from .workshop import Note, Workshop, job

pytestmark = pytest.mark.anyio


async def latencies(database: Database, *, url: str, count: int) -> list[float]:
    """From the commit of one process until the run in another one."""
    loop, started = asyncio.get_running_loop(), asyncio.Queue[float]()

    async def run(_this: JobRun[Note]) -> None:
        started.put_nowait(loop.time())

    sender, worker, note = Workshop(database, url=url), Workshop(database, url=url), job(run)
    sender.jobs.add(note)
    worker.jobs.add(note)
    found = []
    async with worker.working():
        await asyncio.sleep(0.5)
        for _ in range(count):
            await asyncio.sleep(0.05)
            sent = loop.time()
            await sender.jobs.send(note, Note())
            found.append(await asyncio.wait_for(started.get(), 5) - sent)
    return sorted(found)


async def test_a_notification_starts_a_job_of_another_process_without_a_poll(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    try:
        found = await latencies(database, url=postgresql_url, count=15)
    finally:
        await database.close()

    assert found[7] < 0.2  # a poll would take half a second


async def test_without_notifications_the_table_is_polled_each_second(database: Database) -> None:
    found = await latencies(database, url="sqlite:///polled.db", count=3)

    assert found[-1] < 2.5


@pytest.mark.parametrize(
    ("url", "direct", "listens"),
    [
        ("sqlite:///./a.db", None, False),
        ("postgresql://db/a", None, True),
        ("postgresql://db/a?pgbouncer=true", None, False),
        ("postgresql://pooler/a", "postgresql://db/a", True),
    ],
)
def test_only_a_direct_address_is_listened_at(url: str, direct: str | None, *, listens: bool) -> None:
    settings = SimpleNamespace(url=SecretStr(url), direct_url=direct and SecretStr(direct))

    assert listens == (direct_address(cast("DatabaseSettings", settings)) is not None)
