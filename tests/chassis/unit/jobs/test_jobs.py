"""What a job promises: sent with its transaction, run under a lease, tried again, and never stored by two."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from acme_service.chassis.context import request_id, trace_id
from acme_service.chassis.database import Database
from acme_service.chassis.errors import ConfigurationError
from acme_service.chassis.jobs import JobRun, LeaseLost, NonRetryable
from acme_service.chassis.lifecycle import Phase
from acme_service.models.jobs import JobRow

from .workshop import Note, Workshop, job, row, until_state

pytestmark = pytest.mark.anyio


@contextmanager
def in_request() -> Iterator[None]:
    tokens = request_id.set("r-1"), trace_id.set("t-1")
    yield
    request_id.reset(tokens[0])
    trace_id.reset(tokens[1])


async def do_nothing(_run: JobRun[Note]) -> None:
    """Succeeds."""


async def count(database: Database) -> int:
    return int(await database.fetch_value(select(func.count()).select_from(JobRow)))


async def test_a_job_is_sent_if_and_only_if_the_transaction_commits(database: Database) -> None:
    jobs, note = Workshop(database).jobs, job(do_nothing)
    jobs.add(note)
    with suppress(ZeroDivisionError):
        async with database.transaction() as session:
            await jobs.send(note, Note(), session=session)
            raise ZeroDivisionError
    assert 0 == await count(database)

    async with database.transaction() as session:
        sent = await jobs.send(note, Note(text="b"), session=session)

    stored = await row(database)
    assert (sent, "note", '{"text":"b"}', "queued", 0) == (
        stored.id,
        stored.name,
        stored.payload,
        stored.state,
        stored.attempt,
    )


async def test_sending_inside_a_transaction_without_its_session_is_refused_at_once(database: Database) -> None:
    jobs, note = Workshop(database).jobs, job(do_nothing)
    jobs.add(note)

    async with asyncio.timeout(1):  # on SQLite it would wait for itself
        async with database.transaction():
            with pytest.raises(RuntimeError, match=r"pass its session, send\(\.\.\., session=session\)"):
                await jobs.send(note, Note())
    await jobs.send(note, Note())

    assert 1 == await count(database)


async def test_a_job_that_was_not_added_is_refused(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="'note' was not added"):
        await Workshop(database).jobs.send(job(do_nothing), Note())


async def test_two_jobs_of_one_name_are_refused(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="two jobs are called 'note'"):
        Workshop(database).jobs.add(job(do_nothing), job(do_nothing))


async def test_a_job_runs_at_once_with_what_was_sent_and_whose_request_it_was(database: Database) -> None:
    seen: list[tuple[str, int, str, str]] = []

    async def run(this: JobRun[Note]) -> None:
        seen.append((this.payload.text, this.attempt, request_id.get(), trace_id.get()))

    workshop, note = Workshop(database), job(run)
    workshop.jobs.add(note)
    async with workshop.working():
        await asyncio.sleep(0.2)
        started = asyncio.get_running_loop().time()
        with in_request():
            await workshop.jobs.send(note, Note(text="b"))
        done = await until_state(database, "done")

    assert [("b", 1, "r-1", "t-1")] == seen
    assert asyncio.get_running_loop().time() - started < 0.5  # a poll would take a second
    assert done.due_at is None
    assert done.ended_at is not None


async def test_a_job_waits_until_it_is_due(database: Database) -> None:
    workshop, note = Workshop(database), job(do_nothing)
    workshop.jobs.add(note)
    async with workshop.working():
        await workshop.jobs.send(note, Note(), due=datetime.now(UTC) + timedelta(seconds=1.5))
        await asyncio.sleep(1.2)
        assert "queued" == (await row(database)).state
        await until_state(database, "done")


async def test_a_failing_job_is_tried_again_and_is_then_a_dead_letter(database: Database) -> None:
    attempts: list[int] = []

    async def run(this: JobRun[Note]) -> None:
        attempts.append(this.attempt)
        raise ValueError("no such thing")

    workshop, note = Workshop(database), job(run, attempts=3)
    workshop.jobs.add(note)
    async with workshop.working():
        await workshop.jobs.send(note, Note())
        dead = await until_state(database, "failed")
        async with asyncio.timeout(5):  # what the row says is reported a little later
            while len(workshop.reported) < 3:
                await asyncio.sleep(0.01)

    assert [1, 2, 3] == attempts
    assert "ValueError: no such thing" == dead.error
    assert 3 == len(workshop.reported)


async def test_a_dead_letter_that_is_sent_again_has_all_its_attempts(database: Database) -> None:
    broken = True

    async def run(_this: JobRun[Note]) -> None:
        if broken:
            raise NonRetryable("the file is gone")

    workshop, note = Workshop(database), job(run)
    workshop.jobs.add(note)
    async with workshop.working():
        sent = await workshop.jobs.send(note, Note())
        dead = await until_state(database, "failed")
        assert ("the file is gone", 1) == (dead.error, dead.attempt)
        assert [] == workshop.reported
        broken = False
        assert [sent] == await workshop.jobs.send_again(None)
        assert 1 == (await until_state(database, "done")).attempt


async def test_a_run_that_takes_too_long_has_failed(database: Database) -> None:
    async def run(_this: JobRun[Note]) -> None:
        await asyncio.sleep(60)

    workshop, note = Workshop(database), job(run, time_limit_seconds=0.1, attempts=1)
    workshop.jobs.add(note)
    async with workshop.working():
        await workshop.jobs.send(note, Note())
        assert "it took longer than 0.1 s" == (await until_state(database, "failed")).error


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, TimeoutError])
async def test_nothing_that_a_job_raises_ends_its_runner(database: Database, error: type[BaseException]) -> None:
    async def run(_this: JobRun[Note]) -> None:
        raise error

    workshop, note = Workshop(database), job(run, attempts=2)
    workshop.jobs.add(note)
    async with workshop.working() as task:
        await workshop.jobs.send(note, Note())
        assert (await until_state(database, "failed")).error.startswith(error.__name__)
        assert not task.done()


@pytest.mark.parametrize("text", ["a\x00b", "a\udc80b", "a" * 3000], ids=["nul", "half", "long"])
async def test_an_error_that_the_database_cannot_hold_is_written_otherwise(database: Database, text: str) -> None:
    async def run(_this: JobRun[Note]) -> None:
        raise ValueError(text)

    workshop, note = Workshop(database), job(run, attempts=1)
    workshop.jobs.add(note)
    async with workshop.working() as task:
        await workshop.jobs.send(note, Note())
        dead = await until_state(database, "failed", seconds=4)
        assert not task.done()

    assert {"a\x00b": "ValueError: a\\x00b", "a\udc80b": "ValueError: a\\udc80b"}.get(text, dead.error) == dead.error
    assert len(dead.error) <= 2000


async def test_a_payload_of_another_release_is_a_dead_letter_that_names_what_is_wrong(database: Database) -> None:
    workshop, note = Workshop(database), job(do_nothing)
    workshop.jobs.add(note)
    await workshop.jobs.send(note, Note())
    async with database.transaction() as session:
        await session.execute(update(JobRow).values(payload='{"text": ["secret"]}'))
    async with workshop.working():
        dead = await until_state(database, "failed")

    assert "the payload is not one of this release; rejected: text" == dead.error


async def test_a_job_that_this_release_does_not_know_is_left_to_another(database: Database) -> None:
    newer, note = Workshop(database), job(do_nothing)
    newer.jobs.add(note)
    await newer.jobs.send(note, Note())
    async with Workshop(database).working():
        await asyncio.sleep(0.5)

    assert "queued" == (await row(database)).state


async def test_a_lease_is_renewed_so_that_a_long_job_runs_once(database: Database) -> None:
    runs: list[str] = []

    async def run(this: JobRun[Note]) -> None:
        runs.append(this.job_id)
        await asyncio.sleep(2.5)

    workshops = [Workshop(database, lease_seconds=1.0) for _ in range(2)]
    note = job(run)
    for each in workshops:
        each.jobs.add(note)
    async with workshops[0].working(), workshops[1].working():
        await workshops[0].jobs.send(note, Note())
        await until_state(database, "done")

    assert 1 == len(runs)


async def test_a_run_whose_lease_another_one_took_stores_nothing(database: Database) -> None:
    """As a process that was paused for longer than its lease, and goes on."""
    refused = asyncio.Event()

    async def run(this: JobRun[Note]) -> None:
        await asyncio.sleep(0.1)
        async with database.transaction() as session:
            await session.execute(update(JobRow).values(lease_token="another"))

        async def work(session: object) -> None:
            await session.execute(update(JobRow).values(trace_id="stored"))  # type: ignore[attr-defined]

        with pytest.raises(LeaseLost):
            await this.commit(work)
        refused.set()
        raise LeaseLost

    workshop, note = Workshop(database), job(run)
    workshop.jobs.add(note)
    async with workshop.working():
        await workshop.jobs.send(note, Note())
        await asyncio.wait_for(refused.wait(), 5)
        await asyncio.sleep(0.1)

    stored = await row(database)
    assert ("another", "", "running", None) == (stored.lease_token, stored.trace_id, stored.state, stored.error)
    assert [] == workshop.reported


async def test_progress_counts_failures_from_the_first_again(database: Database) -> None:
    attempts: list[int] = []

    async def run(this: JobRun[Note]) -> None:
        attempts.append(this.attempt)
        if len(attempts) < 5:
            if len(attempts) == 2:
                await this.commit(lambda _session: asyncio.sleep(0))
            raise ValueError

    workshop, note = Workshop(database), job(run, attempts=3)
    workshop.jobs.add(note)
    async with workshop.working():
        await workshop.jobs.send(note, Note())
        await until_state(database, "failed")

    assert [1, 2, 2, 3] == attempts


async def test_a_job_whose_worker_is_lost_each_time_is_a_dead_letter_in_the_end(database: Database) -> None:
    workshop, note = Workshop(database), job(do_nothing, attempts=2)
    workshop.jobs.add(note)
    await workshop.jobs.send(note, Note())
    async with database.transaction() as session:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await session.execute(update(JobRow).values(state="running", attempt=2, due_at=past, lease_token="dead"))
    async with workshop.working():
        dead = await until_state(database, "failed")

    assert "the worker was lost in each of 2 attempts" == dead.error


async def test_a_cancelled_job_ends_and_can_store_nothing(database: Database) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def run(_this: JobRun[Note]) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    workshop, note = Workshop(database, lease_seconds=0.6), job(run)
    workshop.jobs.add(note)
    async with workshop.working():
        sent = await workshop.jobs.send(note, Note())
        await asyncio.wait_for(started.wait(), 5)
        assert await workshop.jobs.cancel(sent)
        await asyncio.wait_for(ended.wait(), 2)
        assert not await workshop.jobs.cancel(sent)

    assert "cancelled" == (await row(database)).state


async def test_a_job_that_is_cut_off_by_the_end_of_the_process_is_given_back(database: Database) -> None:
    started = asyncio.Event()

    async def run(_this: JobRun[Note]) -> None:
        started.set()
        await asyncio.sleep(60)

    workshop, note = Workshop(database), job(run)
    workshop.jobs.add(note)
    async with workshop.working():
        await workshop.jobs.send(note, Note())
        await asyncio.wait_for(started.wait(), 5)

    given_back = await row(database)
    assert ("queued", 0, None, None) == (
        given_back.state,
        given_back.attempt,
        given_back.lease_token,
        given_back.error,
    )


async def test_a_draining_process_finishes_its_job_and_begins_none(database: Database) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def run(_this: JobRun[Note]) -> None:
        started.set()
        await go_on.wait()

    workshop, note = Workshop(database), job(run)
    workshop.jobs.add(note)
    async with workshop.working() as task:
        first = await workshop.jobs.send(note, Note())
        await workshop.jobs.send(note, Note())
        await asyncio.wait_for(started.wait(), 5)
        workshop.lifecycle.advance(Phase.DRAINING)
        finished = asyncio.create_task(workshop.lifecycle.wait_until_finished())
        await asyncio.sleep(0.1)
        assert not finished.done()
        go_on.set()
        await asyncio.wait_for(finished, 2)
        await asyncio.wait_for(task, 2)

    states = await database.fetch_all(select(JobRow.id, JobRow.state).order_by(JobRow.id))
    assert [("done", True), ("queued", False)] == [(each.state, each.id == first) for each in states]


async def test_tidying_deletes_what_was_done_a_while_ago_and_no_dead_letter(database: Database) -> None:
    workshop, note = Workshop(database), job(do_nothing)
    workshop.jobs.add(note)
    states = ["done", "cancelled", "failed", "queued"]
    async with database.transaction() as session:
        for state in states * 300:
            await workshop.jobs.send(note, Note(text=state), session=session)
    async with database.transaction() as session:
        long_ago = datetime.now(UTC) - timedelta(hours=2)
        for state in states:
            old = update(JobRow).where(JobRow.payload == Note(text=state).model_dump_json())
            await session.execute(old.values(state=state, ended_at=long_ago if state != "queued" else None))

    assert 0 == await workshop.jobs.store.tidy(3 * 3600)
    assert 600 == await workshop.jobs.store.tidy(3600)
    assert 600 == await count(database)
