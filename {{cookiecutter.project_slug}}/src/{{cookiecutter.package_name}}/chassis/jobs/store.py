"""The table of jobs: every change of a row is one statement, guarded by its lease token or by a lock."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import delete, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from .clock import Clock
from .declarations import JobId, State

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table, Update
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    from ..database import AnyRow, Database
    from .columns import JobColumns

MAX_ERROR_CHARACTERS = 2000
_BATCH = 1000
_PUBLISHED_AT_ONCE = 100
_LISTED = ("id", "name", "state", "attempt", "due_at", "created_at", "ended_at", "request_id", "error")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that this process has a lease on."""

    job_id: JobId
    name: str
    payload: str
    attempt: int
    token: str
    request_id: str
    trace_id: str
    held_until: float
    """By the clock of the event loop: not later than the lease's end by the clock of the database."""


class JobStore:
    """The rows of *table*; the lease of a run is *lease_seconds*. Its methods raise DatabaseUnavailable."""

    def __init__(self, database: Database, table: type[JobColumns], *, lease_seconds: float) -> None:
        self.database = database
        self.lease_seconds = lease_seconds
        self._table = cast("Table", table.__table__)  # type: ignore[attr-defined] # its base gives it one
        self._lease_end = Clock(lease_seconds)

    async def insert(self, session: AsyncSession, values: Mapping[str, Any], *, delay_seconds: float = 0.0) -> None:
        """Add a queued job to the transaction of *session*; its *values* name at least id, name and payload."""
        row = {"due_at": Clock(delay_seconds), "request_id": "", "trace_id": "", **values}
        statement = insert(self._table).values(state=State.QUEUED, attempt=0, created_at=Clock(), **row)
        await session.execute(statement)

    async def insert_once(self, values: Mapping[str, Any]) -> bool:
        """Add a queued job unless one has its unique key; False if one has."""
        try:
            async with self.database.transaction() as session:
                await self.insert(session, values)
        except IntegrityError:
            return False
        return True

    async def exists(self, unique_key: str) -> bool:
        """Whether a job has *unique_key*."""
        t = self._table
        return await self.database.fetch_value(select(t.c.id).where(t.c.unique_key == unique_key)) is not None

    async def claim(self, names: Sequence[str], job_id: str | None = None) -> Claimed | None:
        """Lease the job of *names* that is due for longest, or *job_id* if that is due; None if there is none.

        One whose lease is over was lost by its worker: it is claimed like one that waits.
        """
        t, token = self._table, secrets.token_hex(16)
        due = select(t.c.id).where(t.c.due_at <= Clock(), t.c.name.in_(names)).order_by(t.c.due_at).limit(1)
        if job_id is not None:
            due = due.where(t.c.id == job_id)
        # A scalar subquery, which PostgreSQL runs once; as the rows of an IN it might be run once for each row. The one
        # job that a message names is waited for: the relay may be marking it as published.
        chosen = due.with_for_update(skip_locked=job_id is None).scalar_subquery()
        values = {"state": State.RUNNING, "attempt": t.c.attempt + 1, "lease_token": token}
        claim = update(t).where(t.c.id == chosen).values(due_at=self._lease_end, published_at=None, **values)
        found = claim.returning(t.c.id, t.c.name, t.c.payload, t.c.attempt, t.c.request_id, t.c.trace_id)
        async with self._alone() as connection:
            held_until = asyncio.get_running_loop().time() + self.lease_seconds
            row = (await connection.execute(found)).one_or_none()
        if row is None:
            return None
        sent_by = {"request_id": row.request_id, "trace_id": row.trace_id}
        return Claimed(JobId(row.id), row.name, row.payload, row.attempt, token, held_until=held_until, **sent_by)

    async def next_due_exists(self, names: Sequence[str]) -> bool:
        """Whether a job of *names* is due: a read, which no writer of SQLite waits for."""
        t = self._table
        due = select(t.c.id).where(t.c.due_at <= Clock(), t.c.name.in_(names)).order_by(t.c.due_at).limit(1)
        return await self.database.fetch_value(due) is not None

    async def renew(self, claimed: Claimed) -> bool:
        """Move the end of the lease; False if it is lost."""
        return await self._change(self._held(claimed).values(due_at=self._lease_end))

    async def progress(self, session: AsyncSession, claimed: Claimed) -> bool:
        """As `renew`, in the transaction of *session*: and failures are counted from the first again."""
        statement = self._held(claimed).values(due_at=self._lease_end, attempt=1)
        return _rows(await session.execute(statement)) == 1

    async def end(self, claimed: Claimed, state: State, error: str | None = None) -> bool:
        """Make *state*, a final one, that of the job; False if the lease is lost."""
        values = {"state": state, "due_at": None, "lease_token": None, "ended_at": Clock()}
        return await self._change(self._held(claimed).values(error=_storable(error), **values))

    async def retry(self, claimed: Claimed, delay_seconds: float, error: str) -> bool:
        """Queue the job again after a failure; False if the lease is lost."""
        return await self._change(self._held(claimed).values(error=_storable(error), **_queued(delay_seconds)))

    async def give_back(self, claimed: Claimed) -> bool:
        """Queue the job again, as if this run had not been; False if the lease is lost."""
        return await self._change(self._held(claimed).values(attempt=self._table.c.attempt - 1, **_queued(0.0)))

    async def cancel(self, session: AsyncSession, job_id: str) -> bool:
        """Cancel *job_id* in the transaction of *session*; False if it has ended already, or never was."""
        t = self._table
        waiting = update(t).where(t.c.id == job_id, t.c.due_at.is_not(None))
        values = {"state": State.CANCELLED, "due_at": None, "lease_token": None, "ended_at": Clock()}
        return _rows(await session.execute(waiting.values(**values))) == 1

    async def send_again(self, session: AsyncSession, job_id: str | None) -> list[str]:
        """Queue the dead letter *job_id*, or all of them, with no failure counted; the ids."""
        t = self._table
        dead = update(t).where(t.c.state == State.FAILED)
        if job_id is not None:
            dead = dead.where(t.c.id == job_id)
        statement = dead.values(attempt=0, ended_at=None, error=None, **_queued(0.0)).returning(t.c.id)
        return [row.id for row in await session.execute(statement)]

    async def listing(self, state: str | None, limit: int) -> Sequence[AnyRow]:
        """The newest *limit* jobs, of *state* if it is given."""
        t = self._table
        newest = select(*(t.c[name] for name in _LISTED)).order_by(t.c.id.desc()).limit(limit)
        return await self.database.fetch_all(newest if state is None else newest.where(t.c.state == state))

    async def counts(self) -> dict[str, int]:
        """How many jobs are queued, running and failed."""
        t = self._table
        states = [State.QUEUED, State.RUNNING, State.FAILED]
        counted = select(t.c.state, func.count()).where(t.c.state.in_(states)).group_by(t.c.state)
        found = {str(state): count for state, count in await self.database.fetch_all(counted)}
        return {str(state): found.get(state, 0) for state in states}

    async def oldest_seconds(self) -> float:
        """For how long the queued job that is due for longest has waited; 0.0 if none is."""
        t = self._table
        oldest = select(func.min(t.c.due_at).label("due_at"), Clock().label("now"))
        row = await self.database.fetch_one(oldest.where(t.c.state == State.QUEUED))
        if row is None or row.due_at is None:
            return 0.0
        return max(0.0, float((row.now - row.due_at).total_seconds()))

    async def is_due(self, job_id: str) -> bool:
        """Whether *job_id* waits for a run, of whatever name it is."""
        t = self._table
        due = select(t.c.id).where(t.c.id == job_id, t.c.due_at <= Clock())
        return await self.database.fetch_value(due) is not None

    async def unpublished(self) -> Sequence[AnyRow]:
        """Id and due time of jobs that are due and not with the broker, the most urgent hundred."""
        t = self._table
        due = select(t.c.id, t.c.due_at).where(t.c.due_at <= Clock(), t.c.published_at.is_(None))
        return await self.database.fetch_all(due.order_by(t.c.due_at).limit(_PUBLISHED_AT_ONCE))

    async def mark_published(self, jobs: Sequence[AnyRow]) -> None:
        """Say that the broker has *jobs*, less those that were claimed meanwhile."""
        t = self._table
        same = tuple_(t.c.id, t.c.due_at).in_([(job.id, job.due_at) for job in jobs])
        await self._change(update(t).where(same).values(published_at=Clock()))

    async def tidy(self, keep_seconds: float) -> int:
        """Delete done and cancelled jobs that ended *keep_seconds* ago, a thousand in each transaction; how many."""
        deleted = 0
        while True:
            deleted += (count := await self._delete_some(keep_seconds))
            if count < _BATCH:
                return deleted

    async def _delete_some(self, keep_seconds: float) -> int:
        t = self._table
        ended = t.c.state.in_([State.DONE, State.CANCELLED])
        old = select(t.c.id).where(t.c.ended_at <= Clock(-keep_seconds), ended).order_by(t.c.ended_at).limit(_BATCH)
        chosen: ColumnElement[bool] = t.c.id.in_(old)
        if self.database.kind == "postgresql":  # it may run the rows of an IN once for each row
            chosen = t.c.id == func.any(func.array(old.with_for_update(skip_locked=True).scalar_subquery()))
        async with self.database.transaction() as session:
            return _rows(await session.execute(delete(t).where(chosen)))

    def _held(self, claimed: Claimed) -> Update:
        t = self._table
        return update(t).where(t.c.id == claimed.job_id, t.c.lease_token == claimed.token)

    async def _change(self, statement: Update) -> bool:
        async with self._alone() as connection:
            return _rows(await connection.execute(statement)) == 1

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[AsyncConnection | AsyncSession]:
        """For one statement: PostgreSQL commits it by itself, without the round trips of BEGIN and COMMIT."""
        if self.database.kind == "postgresql":
            async with self.database.reading() as connection:
                yield connection
        else:
            async with self.database.transaction() as session:
                yield session


def _queued(delay_seconds: float) -> dict[str, Any]:
    due = {"due_at": Clock(delay_seconds), "published_at": None}
    return {"state": State.QUEUED, "lease_token": None, **due}


def _storable(error: str | None) -> str | None:
    """Not too long, and without what a database refuses in a text: NUL, and halves of characters."""
    if error is None:
        return None
    text = error[:MAX_ERROR_CHARACTERS].encode("utf-8", "backslashreplace").decode()
    return text.replace("\x00", "\\x00")[:MAX_ERROR_CHARACTERS]


def _rows(result: Any) -> int:
    return int(result.rowcount)
