"""The table of keys: claim one inside the transaction of its effect, store its response there, find it again.

Because the row commits with the effect, a crash leaves both or neither. A request with the same key waits meanwhile for
that transaction: on PostgreSQL at the row, on SQLite before it can write at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import structlog
from sqlalchemy import bindparam, delete, func, select, text, update
from sqlalchemy.exc import DBAPIError

from ..database.failures import state_of
from ..errors import IdempotencyKeyInUse

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncSession

    from ..database import Database
    from .columns import IdempotencyColumns

LIFETIME = timedelta(hours=24)
WAIT_SECONDS = 1.0
MOST_ROWS = 1_000_000
"""What a day may leave in the table; above it, the oldest keys end early."""
_BATCH = 1000
_LOCK_NOT_AVAILABLE = "55P03"

_log = structlog.get_logger("chassis.idempotency.keys")


class EffectKey:
    """The key of a request, for the service that makes its effect; `NO_KEY` is that of a request without one.

    async with database.transaction() as session:
        await key.claim(session)  # first: a request with the same key waits here
        await session.execute(statement)
        await key.store(session, result)  # last
    """

    async def claim(self, session: AsyncSession) -> None:
        """Make the key this effect's own. Raises IdempotencyKeyInUse, and what the caller of the service expects."""

    async def store(self, session: AsyncSession, result: Any) -> None:
        """Keep the response that *result* makes, in the transaction of the effect."""


NO_KEY = EffectKey()


class AlreadyStored(Exception):
    """Another request had the same effect first, and its response is stored."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response as it was sent, and the fingerprint of the body that it responded to."""

    fingerprint: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def values(self) -> dict[str, Any]:
        """The columns of the response."""
        return {"status": self.status, "headers": json.dumps(self.headers), "body": self.body}


class IdempotencyKeys:
    """The keys in *table* of the last 24 hours; its methods raise DatabaseUnavailable."""

    def __init__(self, database: Database, table: type[IdempotencyColumns], *, most_rows: int = MOST_ROWS) -> None:
        self._database = database
        self._table = t = cast("Table", table.__table__)  # type: ignore[attr-defined] # its base gives it one
        self._most_rows = most_rows
        # Of the database in use alone: the other one's is a megabyte of modules.
        self._insert_into: Any = import_module(f"sqlalchemy.dialects.{database.kind}").insert
        found = select(t.c.fingerprint, t.c.status, t.c.headers, t.c.body)
        self._find = found.where(t.c.scope == bindparam("scope"), t.c.expires_at > bindparam("now"))
        self._count = select(func.count()).select_from(t)

    async def find(self, scope: str) -> StoredResponse | None:
        """The response that is stored for *scope*."""
        row = await self._database.fetch_one(self._find, {"scope": scope, "now": datetime.now(UTC)})
        if row is None:
            return None
        headers = [(name, value) for name, value in json.loads(row.headers)]
        return StoredResponse(row.fingerprint, row.status, headers, bytes(row.body))

    async def claim(self, session: AsyncSession, scope: str, fingerprint: str) -> None:
        """Insert the row of *scope*, or take over one that has expired.

        Raises AlreadyStored, and IdempotencyKeyInUse if another transaction holds it for longer than a second.
        """
        if self._database.kind != "postgresql":  # every transaction of SQLite that writes is alone
            await self._insert(session, scope, StoredResponse(fingerprint, 0, [], b""))
            return
        await session.execute(text(f"SET LOCAL lock_timeout = {round(WAIT_SECONDS * 1000)}"))
        try:
            await self._insert(session, scope, StoredResponse(fingerprint, 0, [], b""))
        except DBAPIError as error:
            if state_of(error) == _LOCK_NOT_AVAILABLE:
                raise IdempotencyKeyInUse from None
            raise
        await session.execute(text("SET LOCAL lock_timeout TO DEFAULT"))

    async def store(self, session: AsyncSession, scope: str, response: StoredResponse) -> None:
        """Write *response* into the row that `claim` has inserted."""
        await session.execute(update(self._table).where(self._table.c.scope == scope).values(response.values()))

    async def release(self, session: AsyncSession, scope: str) -> None:
        """Remove the row that `claim` has inserted: the response is none to keep."""
        await session.execute(delete(self._table).where(self._table.c.scope == scope))

    async def store_without_effect(self, scope: str, response: StoredResponse) -> None:
        """Store the response of an effect that was rejected and rolled back. Raises AlreadyStored."""
        async with self._database.transaction() as session:
            await self._insert(session, scope, response)

    async def tidy(self) -> None:
        """Delete what has expired, and the oldest above the most rows; a thousand rows in each transaction."""
        t = self._table
        while await self._delete(select(t.c.scope).where(t.c.expires_at <= datetime.now(UTC))) == _BATCH:
            pass
        excess = await self._database.fetch_value(self._count) - self._most_rows
        if excess > 0:
            _log.warning("idempotency keys ended early", rows=excess, most_rows=self._most_rows)
        while excess > 0 and (deleted := await self._delete(select(t.c.scope), min(excess, _BATCH))):
            excess -= deleted

    async def _delete(self, scopes: Any, most: int = _BATCH) -> int:
        t = self._table
        # In a WITH: PostgreSQL may run a subquery once for each row, and delete *most* rows each time. Nested, because
        # the driver of SQLite does not count what a statement deletes that begins with WITH.
        oldest = scopes.order_by(t.c.expires_at).limit(most).with_for_update(skip_locked=True)
        oldest = oldest.cte("oldest", nesting=True)
        async with self._database.transaction() as session:
            result = await session.execute(delete(t).where(t.c.scope.in_(select(oldest.c.scope))))
        return int(cast("Any", result).rowcount)

    async def _insert(self, session: AsyncSession, scope: str, response: StoredResponse) -> None:
        t, now = self._table, datetime.now(UTC)
        values = {"fingerprint": response.fingerprint, "expires_at": now + LIFETIME, **response.values()}
        insert: Any = self._insert_into(t).values(scope=scope, **values)
        inserted = insert.on_conflict_do_update(
            index_elements=[t.c.scope], set_=values, where=t.c.expires_at <= now
        ).returning(t.c.scope)
        if (await session.execute(inserted)).first() is None:
            raise AlreadyStored
