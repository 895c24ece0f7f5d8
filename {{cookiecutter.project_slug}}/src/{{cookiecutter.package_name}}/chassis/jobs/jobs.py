"""The jobs of a service: declared once, sent from anywhere, run in the background of this process or another."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel
from sqlalchemy import event

from ..context import request_id, trace_id
from ..errors import ConfigurationError
from ..shapes import new_id
from .declarations import AnyJob, Job, JobId
from .metrics import JobMetrics
from .runner import Runner
from .sources import TableSource, Wakeups
from .store import JobStore

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from ..service import Core
    from .columns import JobColumns

P = TypeVar("P", bound=BaseModel)

TIDY_SECONDS = 600.0
_WAKES = "wakes jobs"
"""In the `info` of a session whose commit wakes the runners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """The settings of the jobs, as plain values."""

    concurrency: int = 1
    """How many run in this process at a time."""
    lease_seconds: float = 30.0
    """After a worker is lost, its job runs again when this time is over."""
    keep_seconds: float = 86_400.0
    """How long done and cancelled jobs stay in the table."""


class Jobs:
    """The jobs of a service, in *table*."""

    def __init__(self, core: Core, table: type[JobColumns], options: JobOptions) -> None:
        self._core = core
        self._options = options
        self._jobs: dict[str, AnyJob] = {}
        self._wakeups = Wakeups()
        self.store = JobStore(core.database, table, lease_seconds=options.lease_seconds)
        self._metrics = JobMetrics(core.metrics)

    def add(self, *jobs: AnyJob) -> None:
        """Declare *jobs*, while the service is built. Raises ConfigurationError for a name that is taken."""
        for job in jobs:
            if job.name in self._jobs:
                raise ConfigurationError(f"two jobs are called {job.name!r}: rename one")
            self._jobs[job.name] = job

    async def send(
        self, job: Job[P], payload: P, *, session: AsyncSession | None = None, due: datetime | None = None
    ) -> JobId:
        """Store a job, to be run from *due* on, which has a time zone; at once without it.

        With *session* it is sent if and only if that transaction commits. Without one it opens a transaction of its
        own, and raises RuntimeError inside another one: that one could roll back, and the job would run all the same.

        Raises ConfigurationError for a job that was not added, and DatabaseUnavailable.
        """
        if self._jobs.get(job.name) is not job:
            raise ConfigurationError(f"the job {job.name!r} was not added: call Jobs.add with it in `build`")
        job_id = JobId(new_id())
        values = {
            "id": job_id,
            "name": job.name,
            "payload": payload.model_dump_json(),
            "request_id": request_id.get(),
            "trace_id": trace_id.get(),
            **({} if due is None else {"due_at": due}),
        }
        async with self._transaction(session, "send") as open_session:
            await self.store.insert(open_session, values)
            self._wake_at_commit(open_session)
        return job_id

    async def cancel(self, job_id: str, *, session: AsyncSession | None = None) -> bool:
        """Cancel a job that has not ended; a run of it can store nothing from then on, and ends a little later.

        False if it has ended already, or there is none. *session* is as in `send`.
        """
        async with self._transaction(session, "cancel") as open_session:
            return await self.store.cancel(open_session, job_id)

    async def work(self) -> None:
        """Run jobs until the process drains, and keep the table; a task for `Parts(tasks=...)`."""
        runner = Runner(
            self.store,
            self._jobs,
            lifecycle=self._core.lifecycle,
            metrics=self._metrics,
            reporter=self._core.reporter,
        )
        source = TableSource(self.store, self._jobs, self._wakeups)
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(helper) for helper in self._helpers()]
            await asyncio.wait([group.create_task(runner.work(source)) for _ in range(self._options.concurrency)])
            for helper in helpers:
                helper.cancel()

    def _helpers(self) -> Sequence[Coroutine[object, object, None]]:
        return [self._metrics.measure(self.store), self._tidy()]

    async def _tidy(self) -> None:
        await self._core.tasks.every(TIDY_SECONDS, lambda: self.store.tidy(self._options.keep_seconds))()

    def _transaction(self, session: AsyncSession | None, what: str) -> AbstractAsyncContextManager[AsyncSession]:
        if session is not None:
            return nullcontext(session)
        if self._core.database.in_transaction:
            raise RuntimeError(f"Jobs.{what} inside a transaction: pass its session, {what}(..., session=session)")
        return self._core.database.transaction()

    def _wake_at_commit(self, session: AsyncSession) -> None:
        if _WAKES in session.info:
            return
        session.info[_WAKES] = True
        event.listen(session.sync_session, "after_commit", lambda _session: self._wakeups.wake(), once=True)
