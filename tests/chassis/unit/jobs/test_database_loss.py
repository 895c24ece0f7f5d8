"""The database is lost while a job runs, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from acme_service.chassis.database import Database
from acme_service.chassis.jobs import Job, JobRun
from acme_service.models.jobs import JobRow

from ...databases import Proxy
from .workshop import Note, Workshop, job, row, until_state

pytestmark = pytest.mark.anyio


@pytest.fixture
async def behind(proxy: Proxy) -> AsyncIterator[Database]:
    """As the worker sees it."""
    database = Database(proxy.address, pool_timeout_seconds=1.0)
    yield database
    await database.close()


@pytest.fixture
async def direct(postgresql_url: str) -> AsyncIterator[Database]:
    database = Database(postgresql_url)
    yield database
    await database.close()


async def test_a_job_that_ends_while_the_database_is_lost_runs_once(
    proxy: Proxy, behind: Database, direct: Database
) -> None:
    runs: list[int] = []
    started, go_on = asyncio.Event(), asyncio.Event()

    async def run(this: JobRun[Note]) -> None:
        runs.append(this.attempt)
        started.set()
        await go_on.wait()

    worker, note = Workshop(behind), job(run)
    worker.jobs.add(note)
    async with worker.working():
        await worker.jobs.send(note, Note())
        await asyncio.wait_for(started.wait(), 5)
        await proxy.cut()
        go_on.set()
        await asyncio.sleep(1)
        await proxy.start()
        await until_state(direct, "done")

    assert [1] == runs


async def test_a_commit_that_the_database_lost_is_tried_again_by_the_next_attempt(
    proxy: Proxy, behind: Database, direct: Database
) -> None:
    attempts: list[int] = []

    async def run(this: JobRun[Note]) -> None:
        attempts.append(this.attempt)
        if this.attempt == 1:
            await proxy.cut()

        async def work(session: AsyncSession) -> None:
            await session.execute(update(JobRow).values(trace_id="stored"))

        try:
            await this.commit(work)
        finally:
            if this.attempt == 1:
                await proxy.start()

    worker, note = Workshop(behind), job(run)
    worker.jobs.add(note)
    async with worker.working() as task:
        await worker.jobs.send(note, Note())
        assert "stored" == (await until_state(direct, "done")).trace_id
        assert not task.done()

    assert [1, 2] == attempts


async def test_a_worker_waits_for_a_database_that_is_lost(proxy: Proxy, behind: Database, direct: Database) -> None:
    async def run(_this: JobRun[Note]) -> None:
        """Succeeds."""

    worker, sender, note = Workshop(behind), Workshop(direct), job(run)
    worker.jobs.add(note)
    sender.jobs.add(note)
    async with worker.working() as task:
        await asyncio.sleep(0.2)
        await proxy.cut()
        await sender.jobs.send(note, Note())
        await asyncio.sleep(2.5)
        assert "queued" == (await row(direct)).state
        assert not task.done()
        await proxy.start()
        await until_state(direct, "done")


async def test_a_lease_is_counted_from_before_its_claim_waited(direct: Database) -> None:
    async def run(_this: JobRun[Note]) -> None:
        """Succeeds."""

    sender, note = Workshop(direct), job(run)
    sender.jobs.add(note)
    job_id, store, loop = await sender.jobs.send(note, Note()), sender.jobs.store, asyncio.get_running_loop()
    async with direct.transaction() as session:
        await session.execute(select(JobRow.id).with_for_update())
        claiming = loop.create_task(store.claim(["note"], job_id))
        await asyncio.sleep(0.5)
        released = loop.time()
    claimed = await claiming

    assert claimed is not None
    assert claimed.held_until < released + store.lease_seconds


async def test_a_worker_that_cannot_renew_its_lease_ends_the_run_before_another_one_begins(
    proxy: Proxy, behind: Database, direct: Database
) -> None:
    running: set[str] = set()
    most = 0
    ended: list[str] = []
    seconds: list[float] = []

    def of(name: str) -> Job[Note]:
        async def run(_this: JobRun[Note]) -> None:
            nonlocal most
            running.add(name)
            started = asyncio.get_running_loop().time()
            most = max(most, len(running))
            try:
                await asyncio.sleep(6 if name == "cut off" else 0.1)
            finally:
                running.discard(name)
                ended.append(name)
                seconds.append(asyncio.get_running_loop().time() - started)

        return job(run)

    note, same = of("cut off"), of("other")
    first, second = (Workshop(database, lease_seconds=3.0) for database in (behind, direct))
    first.jobs.add(note)
    second.jobs.add(same)
    async with first.working():
        await first.jobs.send(note, Note())
        async with asyncio.timeout(5):
            while not running:
                await asyncio.sleep(0.01)
        async with second.working():
            await proxy.cut()
            await until_state(direct, "done")
            await proxy.start()

    assert 1 == most
    assert ["cut off", "other"] == ended
    assert seconds[0] < 2.7  # when two renewals have failed, and one more would come too late
