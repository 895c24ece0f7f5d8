"""A process's jobs over a real database: several of them stand for several processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

from pydantic import BaseModel, SecretStr
from sqlalchemy import select

from acme_service.chassis.background import BackgroundTasks
from acme_service.chassis.database import AnyRow, Database
from acme_service.chassis.jobs import Job, JobOptions, JobRun, Jobs
from acme_service.chassis.lifecycle import Lifecycle
from acme_service.chassis.metrics import Metrics
from acme_service.chassis.reports import ErrorReporter
from acme_service.chassis.service import Core
from acme_service.chassis.settings import SecretUrl
from acme_service.models.jobs import JobRow


class Note(BaseModel):
    text: str = "a"


def job(run: Callable[[JobRun[Note]], Awaitable[None]], **options: Any) -> Job[Note]:
    return Job(**{"name": "note", "payload": Note, "run": run, "retry_seconds": 0.01, **options})


class Workshop:
    """The jobs of one process."""

    def __init__(
        self, database: Database, *, url: str = "sqlite:///polled.db", broker: str = "", **options: Any
    ) -> None:
        """Without the *url* of PostgreSQL it polls, as behind PgBouncer."""
        self.lifecycle = Lifecycle()
        self.metrics = Metrics()
        self.reported: list[BaseException] = []
        reporter = ErrorReporter(lambda error, _context: self.reported.append(error))
        core = SimpleNamespace(
            database=database,
            lifecycle=self.lifecycle,
            metrics=self.metrics,
            reporter=reporter,
            tasks=BackgroundTasks(self.lifecycle, self.metrics.unhandled_exceptions, reporter),
            service=SimpleNamespace(name="acme"),
            settings=SimpleNamespace(
                server=SimpleNamespace(app_env="test"),
                database=SimpleNamespace(url=SecretStr(url), direct_url=None, connect_timeout_seconds=3.0),
            ),
        )
        self.jobs = Jobs(cast("Core", core), JobRow, JobOptions(url=SecretUrl(broker) if broker else None, **options))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[asyncio.Task[None]]:
        """It runs jobs in the block; at the end it is stopped as a shutdown's deadline does."""
        task = asyncio.create_task(self.jobs.work())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])


async def row(database: Database) -> AnyRow:
    """The only job."""
    found = await database.fetch_one(select(JobRow.__table__))
    assert found is not None
    return found


async def until_state(database: Database, state: str, *, seconds: float = 8.0) -> AnyRow:
    async with asyncio.timeout(seconds):
        while (found := await row(database)).state != state:
            await asyncio.sleep(0.01)
    return found
