"""Runs one job after the other: claims it, keeps its lease, and settles what became of it."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError

from ..context import request_id, trace_id
from ..errors import DatabaseUnavailable
from ..lifecycle import Phase
from .declarations import AnyJob, JobRun, LeaseLost, NonRetryable, Returned, State, Work

if TYPE_CHECKING:
    from ..lifecycle import Lifecycle
    from ..reports import ErrorReporter
    from .metrics import JobMetrics
    from .sources import Delivery, Source
    from .store import Claimed, JobStore

SETTLE_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0)
"""How long to wait, each time, for a database that is lost at the end of a run."""

_log = structlog.get_logger("chassis.jobs")


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a run: the name of its metric, and the text that the row keeps."""

    name: str
    error: str | None = None
    cause: BaseException | None = None


DONE, LOST, RETURNED = _Outcome("done"), _Outcome("lost"), _Outcome("returned")


class Runner:
    """Runs jobs of one process; each call of `work` runs one at a time."""

    def __init__(
        self,
        store: JobStore,
        jobs: Mapping[str, AnyJob],
        *,
        lifecycle: Lifecycle,
        metrics: JobMetrics,
        reporter: ErrorReporter,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._reporter = reporter

    async def work(self, source: Source) -> None:
        """Run what *source* delivers, until the process drains.

        Cancelled amid a job, it gives the job back, and another process may run it at once.
        """
        while self._lifecycle.phase < Phase.DRAINING:
            if (delivery := await source.next()) is not None:
                with self._lifecycle.unfinished():
                    await self._deliver(delivery)

    async def _deliver(self, delivery: Delivery) -> None:
        loop, claimed = asyncio.get_running_loop(), delivery.claimed
        context = contextvars.copy_context()
        context.run(request_id.set, claimed.request_id)
        context.run(trace_id.set, claimed.trace_id)
        running = loop.create_task(self._run(claimed), name=f"job {claimed.name}", context=context)
        keeping = loop.create_task(self._keep(delivery, running), name=f"lease of {claimed.job_id}")
        started = perf_counter()
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:  # the deadline of the shutdown is over
            running.cancel()
            await asyncio.wait([running])
            await loop.create_task(self._settle(claimed, _of(running, RETURNED), started), context=context)
            raise
        else:
            await loop.create_task(self._settle(claimed, _of(running, LOST), started), context=context)
        finally:
            keeping.cancel()
        await delivery.settled()

    async def _keep(self, delivery: Delivery, running: asyncio.Task[_Outcome]) -> None:
        """Renew the lease every third of it; a run that has lost it, or is about to, is cancelled.

        It could store nothing anyway. But what it does outside of the database should end before another run begins.
        """
        loop, lease_seconds = asyncio.get_running_loop(), self._store.lease_seconds
        ends = delivery.claimed.held_until
        while True:
            await asyncio.sleep(lease_seconds / 3)
            asked = loop.time()
            try:
                async with asyncio.timeout_at(ends):
                    held = await self._store.renew(delivery.claimed)
                ends = asked + lease_seconds
            except TimeoutError:
                held = False
            except DatabaseUnavailable:
                held = loop.time() + lease_seconds / 3 < ends  # another attempt would come in time
            if not held:
                running.cancel()
                return
            await delivery.in_progress()

    async def _run(self, claimed: Claimed) -> _Outcome:
        job = self._jobs[claimed.name]
        _log.info("job started", job=job.name, job_id=claimed.job_id, attempt=claimed.attempt)
        if claimed.attempt > job.attempts:
            return _Outcome("failed", f"the worker was lost in each of {job.attempts} attempts")
        try:
            payload = job.payload.model_validate_json(claimed.payload)
        except ValidationError as error:
            places = ", ".join(".".join(map(str, each["loc"])) or "the whole" for each in error.errors())
            return _Outcome("failed", f"the payload is not one of this release; rejected: {places}")
        run = JobRun(claimed.job_id, payload, claimed.attempt, self._commits(claimed))
        return await self._outcome(job, claimed, run)

    async def _outcome(self, job: AnyJob, claimed: Claimed, run: JobRun[Any]) -> _Outcome:
        try:
            async with asyncio.timeout(job.time_limit_seconds) as limit:
                await job.run(run)
        except LeaseLost:
            return LOST
        except Returned:
            return RETURNED
        except NonRetryable as error:
            return _Outcome("failed", str(error) or "the job gave up")
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            return self._failure(job, claimed, "CancelledError: what it waited for was cancelled", error)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - a job must not end the process
            text = f"{type(error).__name__}: {error}"
            if limit.expired():
                text = f"it took longer than {job.time_limit_seconds:g} s"
            return self._failure(job, claimed, text, error)
        return DONE

    def _failure(self, job: AnyJob, claimed: Claimed, text: str, cause: BaseException) -> _Outcome:
        return _Outcome("retried" if claimed.attempt < job.attempts else "failed", text, cause)

    def _commits(self, claimed: Claimed) -> Callable[[Work], Awaitable[None]]:
        async def commit(work: Work) -> None:
            async with self._store.database.transaction() as session:
                await work(session)
                if not await self._store.progress(session, claimed):
                    raise LeaseLost

        return commit

    async def _settle(self, claimed: Claimed, outcome: _Outcome, started: float) -> None:
        """Store *outcome* and tell of it; without the database, the end of the lease will start the job again."""
        seconds = perf_counter() - started
        delay = self._retry_delay(claimed)
        for wait in (*SETTLE_SECONDS, None):
            try:
                held = await self._store_outcome(claimed, outcome, delay)
            except DatabaseUnavailable:
                if wait is not None:
                    await asyncio.sleep(wait)
                    continue
                held = False
            break
        outcome = outcome if held else LOST
        self._metrics.ended(claimed.name, outcome.name, seconds)
        fields = {"job": claimed.name, "job_id": claimed.job_id, "attempt": claimed.attempt}
        fields["duration_ms"] = round(seconds * 1000, 1)
        if outcome.error is None:
            _log.info(f"job {outcome.name}", **fields)
            return
        if outcome.name == "retried":
            fields["retry_seconds"] = round(delay, 1)
        log = _log.error if outcome.name == "failed" else _log.warning
        log(f"job {outcome.name}", error=outcome.error, exc_info=outcome.cause, **fields)
        if outcome.cause is not None:
            request = {"transaction": claimed.name, "request_id": claimed.request_id}
            self._reporter.report(outcome.cause, where="job", **request)

    async def _store_outcome(self, claimed: Claimed, outcome: _Outcome, delay: float) -> bool:
        if outcome is LOST:
            return False
        if outcome is RETURNED:
            return await self._store.give_back(claimed)
        if outcome.name == "retried":
            return await self._store.retry(claimed, delay, outcome.error or "")
        return await self._store.end(claimed, State(outcome.name), outcome.error)

    def _retry_delay(self, claimed: Claimed) -> float:
        """Full jitter: any wait up to the bound, which doubles with each attempt."""
        job = self._jobs[claimed.name]
        bound: float = min(job.most_retry_seconds, job.retry_seconds * 2.0 ** (claimed.attempt - 1))
        return bound * random.random()  # noqa: S311 - no secret


def _of(running: asyncio.Task[_Outcome], cancelled: _Outcome) -> _Outcome:
    return cancelled if running.cancelled() else running.result()
