"""Schedules of jobs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel
from sqlalchemy import select

from acme_service.chassis.database import Database
from acme_service.chassis.errors import ConfigurationError
from acme_service.chassis.jobs import Job, JobRun
from acme_service.chassis.jobs.cron import parse
from acme_service.models.jobs import JobRow

from .workshop import Note, Workshop, job

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("expression", "now", "latest"),
    [
        ("* * * * *", "2026-11-27 10:20:59", "2026-11-27 10:20"),
        ("*/15 * * * *", "2026-11-27 10:20:00", "2026-11-27 10:15"),
        ("5/20 * * * *", "2026-11-27 10:20:00", "2026-11-27 10:05"),
        ("0 3 * * *", "2026-11-27 02:59:59", "2026-11-26 03:00"),
        ("@hourly", "2026-11-27 10:20:00", "2026-11-27 10:00"),
        ("30 8-9,12 * * *", "2026-11-27 12:29:00", "2026-11-27 09:30"),
        ("0 0 * * 5", "2026-11-27 10:20:00", "2026-11-27 00:00"),  # a Friday
        ("0 0 * * 7", "2026-11-29 10:20:00", "2026-11-29 00:00"),  # a Sunday
        ("0 0 13 * 5", "2026-11-27 10:20:00", "2026-11-27 00:00"),  # either kind of day
        ("0 0 13 * *", "2026-11-27 10:20:00", None),
        ("0 0 27 2 *", "2026-11-27 10:20:00", None),
    ],
)
def test_a_schedule_names_minutes_as_crontab_does(expression: str, now: str, latest: str | None) -> None:
    found = parse(expression).latest(datetime.fromisoformat(f"{now}+00:00"), DAY)

    assert latest == (found and f"{found:%Y-%m-%d %H:%M}")


@pytest.mark.parametrize("expression", ["", "* * * *", "60 * * * *", "*/0 * * * *", "9-8 * * * *", "x * * * *", "@now"])
def test_a_schedule_that_is_none_is_refused_with_its_text(expression: str) -> None:
    with pytest.raises(ConfigurationError, match="is not one of cron") as refused:
        parse(expression)

    assert repr(expression) in str(refused.value)


class Addressed(BaseModel):
    email: str


async def run(_this: JobRun[Note]) -> None:
    """Succeeds."""


async def test_a_scheduled_payload_needs_defaults(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="no default in Addressed for: email"):
        Workshop(database).jobs.add(Job(name="mail", payload=Addressed, run=run, cron="@daily"))


async def test_two_processes_send_a_scheduled_job_once(database: Database) -> None:
    workshops = [Workshop(database) for _ in range(2)]
    for each in workshops:
        each.jobs.add(job(run, cron="* * * * *"))
    before = datetime.now(UTC)
    async with workshops[0].working(), workshops[1].working():
        await asyncio.sleep(0.5)
        rows = await database.fetch_all(select(JobRow.unique_key))

    after = datetime.now(UTC)
    assert {row.unique_key for row in rows} <= {f"note {at:%Y-%m-%dT%H:%MZ}" for at in (before, after)}
    assert 1 <= len(rows) <= 2
