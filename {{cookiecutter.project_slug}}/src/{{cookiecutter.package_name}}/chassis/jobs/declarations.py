"""How a service declares a job, and what its function gets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, NewType, TypeVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

P = TypeVar("P", bound=BaseModel)
Work = Callable[["AsyncSession"], Awaitable[None]]

JobId = NewType("JobId", str)


class State(StrEnum):
    """What a row of the table of jobs may be; the last three are final, and `failed` is the dead letter."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class LeaseLost(Exception):
    """The run may store nothing any more: the job was cancelled, or another run has begun. It ends without a word."""


class NonRetryable(Exception):
    """Raised by a job whose next attempt would fail alike: it becomes a dead letter at once, without a stack."""


class Returned(Exception):
    """Raised by a job between two commits when its process drains: it is given back, for another process to go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[P]):
    """A kind of job. It runs at least once: its function stores with `JobRun.commit`, or can be repeated."""

    name: str
    payload: type[P]
    """What is sent, stored as JSON. Add only fields with defaults: rows of the last release wait in the table."""
    run: Callable[[JobRun[P]], Awaitable[None]]
    attempts: int = 5
    """How many runs may fail in a row without progress, before the job is a dead letter."""
    time_limit_seconds: float = 300.0
    """Of one run; one that takes longer has failed."""
    retry_seconds: float = 2.0
    """The longest wait before the second attempt; it doubles with each, and the real one is random below it."""
    most_retry_seconds: float = 300.0
    cron: str = ""
    """Five fields in UTC (crontab(5)); the payload is then made of its defaults. Empty for a job that is only sent."""


@dataclass(frozen=True, slots=True)
class JobRun(Generic[P]):
    """One run of a job, for its function."""

    job_id: JobId
    payload: P
    attempt: int
    """1 at first; it counts again from 1 after progress."""
    _commit: Callable[[Work], Awaitable[None]]

    async def commit(self, work: Work) -> None:
        """Store what *work* does in a transaction of its own, if this run still has the lease.

        That is progress: the next failure is again the first. Raises LeaseLost, after which nothing is stored, what
        *work* raises, and DatabaseUnavailable.
        """
        await self._commit(work)


AnyJob = Job[Any]
