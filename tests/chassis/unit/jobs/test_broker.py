"""Jobs that a real NATS JetStream carries, and what becomes of them while it is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import nats
import pytest
from sqlalchemy import select, update

from acme_service.chassis.database import Database
from acme_service.chassis.jobs import Job, JobRun
from acme_service.models.jobs import JobRow

from ...nats_server import NatsServer
from .workshop import Note, Workshop, job, row, until_state

pytestmark = pytest.mark.anyio
STREAM = "acme-test-jobs"


def workshop(database: Database, server: NatsServer, *jobs: Job[Note], **options: Any) -> Workshop:
    made = Workshop(database, broker=server.url, **options)
    made.jobs.add(*jobs)
    return made


async def do_nothing(_run: JobRun[Note]) -> None:
    """Succeeds."""


def degraded(made: Workshop) -> float | None:
    return made.metrics.reading("jobs_degraded")


async def until_degraded(made: Workshop, value: float, *, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while degraded(made) != value:
            await asyncio.sleep(0.02)


async def messages(server: NatsServer) -> int:
    client = await nats.connect(server.url)
    try:
        return (await client.jetstream().stream_info(STREAM)).state.messages
    finally:
        await client.close()


async def until_no_message(server: NatsServer) -> None:
    async with asyncio.timeout(5):
        while await messages(server):
            await asyncio.sleep(0.05)


async def test_two_workers_share_jobs_and_each_runs_one_at_a_time(database: Database, nats_server: NatsServer) -> None:
    running = {1: 0, 2: 0}
    runs: list[tuple[int, str]] = []

    def of(worker: int) -> Job[Note]:
        async def run(this: JobRun[Note]) -> None:
            running[worker] += 1
            assert 1 == running[worker]
            runs.append((worker, this.payload.text))
            await asyncio.sleep(0.1)
            running[worker] -= 1

        return job(run)

    first, second = of(1), of(2)
    workers = [workshop(database, nats_server, first), workshop(database, nats_server, second)]
    async with workers[0].working(), workers[1].working():
        await until_degraded(workers[0], 0.0)
        await until_degraded(workers[1], 0.0)
        async with database.transaction() as session:
            for number in range(20):
                await workers[0].jobs.send(first, Note(text=str(number)), session=session)
        async with asyncio.timeout(10):
            while await database.fetch_all(select(JobRow.id).where(JobRow.state != "done")):
                await asyncio.sleep(0.05)
        await until_no_message(nats_server)

    assert sorted(map(str, range(20))) == sorted(text for _, text in runs)
    assert {1, 2} == {worker for worker, _ in runs}


async def test_while_the_broker_is_lost_jobs_run_all_the_same(database: Database, nats_server: NatsServer) -> None:
    note = job(do_nothing)
    worker = workshop(database, nats_server, note)
    async with worker.working():
        await until_degraded(worker, 0.0)
        nats_server.kill()
        await until_degraded(worker, 1.0)
        await worker.jobs.send(note, Note())
        await until_state(database, "done", seconds=4)
        nats_server.start()
        await until_degraded(worker, 0.0)
        await worker.jobs.send(note, Note())
        async with asyncio.timeout(10):
            while await database.fetch_all(select(JobRow.id).where(JobRow.state != "done")):
                await asyncio.sleep(0.05)


async def test_a_broker_that_stops_responding_ends_no_worker(database: Database, nats_server: NatsServer) -> None:
    note = job(do_nothing)
    worker = workshop(database, nats_server, note)
    async with worker.working() as task:
        await until_degraded(worker, 0.0)
        nats_server.pause()
        await worker.jobs.send(note, Note())
        await until_state(database, "done", seconds=12)
        await until_degraded(worker, 1.0, seconds=20)
        assert not task.done()


async def test_a_job_amid_whose_run_the_broker_is_lost_runs_once(database: Database, nats_server: NatsServer) -> None:
    runs: list[int] = []
    started = asyncio.Event()

    async def run(this: JobRun[Note]) -> None:
        runs.append(this.attempt)
        started.set()
        await asyncio.sleep(2.5)

    note = job(run)
    worker = workshop(database, nats_server, note, lease_seconds=1.0)
    async with worker.working():
        await until_degraded(worker, 0.0)
        await worker.jobs.send(note, Note())
        await asyncio.wait_for(started.wait(), 5)
        nats_server.kill()
        await asyncio.sleep(0.5)
        nats_server.start()
        await until_state(database, "done")
        await until_degraded(worker, 0.0)
        await until_no_message(nats_server)

    assert [1] == runs


async def test_a_stream_that_lost_its_messages_loses_no_job(database: Database, nats_server: NatsServer) -> None:
    note = job(do_nothing)
    worker = workshop(database, nats_server, note)
    async with worker.working():
        await until_degraded(worker, 0.0)
        async with database.transaction() as session:
            await worker.jobs.send(note, Note(), session=session)
            await session.execute(update(JobRow).values(published_at=JobRow.created_at))
        await until_state(database, "done", seconds=9)


async def test_a_message_that_names_no_job_is_removed(database: Database, nats_server: NatsServer) -> None:
    worker = workshop(database, nats_server, job(do_nothing))
    async with worker.working() as task:
        await until_degraded(worker, 0.0)
        client = await nats.connect(nats_server.url)
        for data in (b"\xff", b"a\x00b", b"unknown", b""):
            await client.jetstream().publish(STREAM, data)
        await client.close()
        await until_no_message(nats_server)
        assert not task.done()


async def test_a_long_job_keeps_its_message_so_that_no_other_worker_gets_it(
    database: Database, nats_server: NatsServer
) -> None:
    runs: list[int] = []

    async def run(this: JobRun[Note]) -> None:
        runs.append(this.attempt)
        await asyncio.sleep(3.2)

    note = job(run)
    workers = [workshop(database, nats_server, note, lease_seconds=1.0) for _ in range(2)]
    async with workers[0].working(), workers[1].working():
        await until_degraded(workers[0], 0.0)
        await workers[0].jobs.send(note, Note())
        await until_state(database, "done")
        client = await nats.connect(nats_server.url)
        consumer = await client.jetstream().consumer_info(STREAM, "workers")
        await client.close()

    assert [1] == runs
    assert 0 == consumer.num_redelivered
    assert 1 == consumer.delivered.consumer_seq


async def test_a_job_of_a_newer_release_goes_to_a_worker_that_knows_it(
    database: Database, nats_server: NatsServer
) -> None:
    note = job(do_nothing)
    old, new = workshop(database, nats_server), workshop(database, nats_server, note)
    async with old.working():
        await until_degraded(old, 0.0)
        await new.jobs.send(note, Note())
        await asyncio.sleep(1.5)
        assert "queued" == (await row(database)).state
        assert 1 == await messages(nats_server)
        async with new.working():
            await until_state(database, "done", seconds=12)


async def test_the_settings_of_a_stream_that_is_there_are_left_alone(
    database: Database, nats_server: NatsServer
) -> None:
    client = await nats.connect(nats_server.url)
    stream = client.jetstream()
    await stream.add_stream(name=STREAM, subjects=[STREAM], retention="workqueue", max_msgs=1000)
    worker = workshop(database, nats_server)
    async with worker.working():
        await until_degraded(worker, 0.0)
        info = await stream.stream_info(STREAM)
    await client.close()

    assert 1000 == info.config.max_msgs
