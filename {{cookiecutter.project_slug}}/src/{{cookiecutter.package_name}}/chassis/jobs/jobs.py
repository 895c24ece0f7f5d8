"""The jobs of a service: declared once, sent from anywhere, run in the background of this process or another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import event, func, select

from ..context import request_id, trace_id
from ..errors import ConfigurationError
from ..shapes import new_id
from .cron import Cron, parse
from .declarations import AnyJob, Job, JobId
from .listening import direct_address, listen
from .metrics import JobMetrics
from .runner import Runner
from .sources import Source, TableSource, Wakeups
from .store import JobStore

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from ..service import Core
    from ..settings import SecretUrl
    from .broker import Broker
    from .columns import JobColumns

P = TypeVar("P", bound=BaseModel)

TIDY_SECONDS = 600.0
CRON_SECONDS = 5.0
CRON_CATCH_UP = timedelta(minutes=30)
"""How late a scheduled job is still sent; less than the least time for which done jobs are kept."""
_WAKES = "wakes jobs"
"""In the `info` of a session whose commit wakes the runners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """The settings of the jobs, as plain values."""

    concurrency: int = 1
    """How many run in this process at a time."""
    lease_seconds: float = 30.0
    """After a worker is lost, its job runs again when this time is over."""
    url: SecretUrl | None = None
    """Of NATS, which carries the ids to workers; without it they ask the table."""
    keep_seconds: float = 86_400.0
    """How long done and cancelled jobs stay in the table."""


class Jobs:
    """The jobs of a service, in *table*."""

    def __init__(self, core: Core, table: type[JobColumns], options: JobOptions) -> None:
        self._core = core
        self._options = options
        self._jobs: dict[str, AnyJob] = {}
        self._crons: dict[str, Cron] = {}
        self._channel = f"{core.service.name}:jobs"
        self._listens_at = direct_address(core.settings.database)
        self._wakeups = Wakeups()
        self.store = JobStore(core.database, table, lease_seconds=options.lease_seconds)
        self._to_relay = Wakeups()
        self._broker: Broker | None = None
        if options.url is not None:
            from .broker import Broker  # noqa: PLC0415 - the client is loaded where it is used

            name = f"{core.service.name}-{core.settings.server.app_env}-jobs"
            self._broker = Broker(options.url.get_secret_value(), name, ack_wait_seconds=options.lease_seconds)
        broker = self._broker
        degraded = None if broker is None else lambda: not broker.connected
        self._metrics = JobMetrics(core.metrics, degraded=degraded)

    def add(self, *jobs: AnyJob) -> None:
        """Declare *jobs*, while the service is built. Raises ConfigurationError for a name that is taken."""
        for job in jobs:
            if job.name in self._jobs:
                raise ConfigurationError(f"two jobs are called {job.name!r}: rename one")
            if job.cron:
                self._crons[job.name] = parse(job.cron)
                _require_defaults(job)
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
            await self._wake_at_commit(open_session)
        return job_id

    async def cancel(self, job_id: str, *, session: AsyncSession | None = None) -> bool:
        """Cancel a job that has not ended; a run of it can store nothing from then on, and ends a little later.

        False if it has ended already, or there is none. *session* is as in `send`.
        """
        async with self._transaction(session, "cancel") as open_session:
            return await self.store.cancel(open_session, job_id)

    async def send_again(self, job_id: str | None) -> list[str]:
        """Send the dead letter *job_id* again, or all of them, with all of their attempts; the ids."""
        async with self._transaction(None, "send_again") as session:
            sent = await self.store.send_again(session, job_id)
            await self._wake_at_commit(session)
        return sent

    async def work(self) -> None:
        """Run jobs until the process drains, and keep the table; a task for `Parts(tasks=...)`."""
        runner = Runner(
            self.store,
            self._jobs,
            lifecycle=self._core.lifecycle,
            metrics=self._metrics,
            reporter=self._core.reporter,
        )
        source = self._source()
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(helper) for helper in self._helpers()]
            await asyncio.wait([group.create_task(runner.work(source)) for _ in range(self._options.concurrency)])
            for helper in helpers:
                helper.cancel()

    def _source(self) -> Source:
        table = TableSource(self.store, self._jobs, self._wakeups)
        if self._broker is None:
            return table
        from .broker import BrokerSource  # noqa: PLC0415 - as above

        return BrokerSource(self._broker, table)

    def _wake(self) -> None:
        self._wakeups.wake()
        self._to_relay.wake()

    def _helpers(self) -> Sequence[Coroutine[object, object, None]]:
        helpers = [self._metrics.measure(self.store), self._tidy()]
        if self._broker is not None:
            helpers.append(self._relay())
        if self._crons:
            helpers.append(self._core.tasks.every(CRON_SECONDS, self._send_what_cron_says)())
        if self._listens_at is not None and self._broker is None:
            seconds = self._core.settings.database.connect_timeout_seconds
            helpers.append(listen(self._listens_at, self._channel, self._wakeups, timeout_seconds=seconds))
        return helpers

    def relaying(self) -> Mapping[str, Callable[[], Coroutine[object, object, None]]]:
        """Tasks for `Parts(tasks=...)` of a process that sends jobs, and runs none: they take them to the broker."""
        return {} if self._broker is None else {"jobs relay": self._relay}

    async def _relay(self) -> None:
        from .broker import relay  # noqa: PLC0415 - as above

        if self._broker is not None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._broker.run())
                group.create_task(relay(self.store, self._broker, self._to_relay))

    async def _send_what_cron_says(self) -> None:
        """Send each scheduled job whose time has come, once for all processes; also one that was missed lately."""
        for name, cron in self._crons.items():
            if (due := cron.latest(datetime.now(UTC), CRON_CATCH_UP)) is None:
                continue
            key = f"{name} {due:%Y-%m-%dT%H:%MZ}"
            payload = self._jobs[name].payload().model_dump_json()
            values = {"id": new_id(), "name": name, "payload": payload, "unique_key": key}
            if not await self.store.exists(key) and await self.store.insert_once(values):
                self._wake()

    async def _tidy(self) -> None:
        await self._core.tasks.every(TIDY_SECONDS, lambda: self.store.tidy(self._options.keep_seconds))()

    def _transaction(self, session: AsyncSession | None, what: str) -> AbstractAsyncContextManager[AsyncSession]:
        if session is not None:
            return nullcontext(session)
        if self._core.database.in_transaction:
            raise RuntimeError(f"Jobs.{what} inside a transaction: pass its session, {what}(..., session=session)")
        return self._core.database.transaction()

    async def _wake_at_commit(self, session: AsyncSession) -> None:
        """Wake the runners of this process, and on PostgreSQL those of others, once however much is sent."""
        if _WAKES in session.info:
            return
        session.info[_WAKES] = True
        if self._listens_at is not None:
            await session.execute(select(func.pg_notify(self._channel, "")))
        event.listen(session.sync_session, "after_commit", lambda _session: self._wake(), once=True)


def _require_defaults(job: AnyJob) -> None:
    try:
        job.payload()
    except ValidationError as error:
        fields = ", ".join(str(each["loc"][0]) for each in error.errors())
        raise ConfigurationError(
            f"the job {job.name!r} has a schedule, and no default in {job.payload.__name__} for: {fields}"
        ) from None
