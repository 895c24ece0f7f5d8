"""Conversations: a message and its completion are stored together, and old ones make room."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ..errors import NotFound
from ..shapes import new_id
from .provider import Message

if TYPE_CHECKING:
    from sqlalchemy import CursorResult, Table
    from sqlalchemy.ext.asyncio import AsyncSession

    from ..database import Database
    from .tables import AssistantTables

BATCH = 100


class Conversations:
    """Conversations of at most *max_messages*, kept for *keep_days* after the last of them.

    *user_id* is empty for an anonymous caller. Raises NotFound and DatabaseUnavailable.
    """

    def __init__(self, database: Database, tables: AssistantTables, *, max_messages: int, keep_days: float) -> None:
        self._database = database
        self._conversations = cast("Table", tables.conversations.__table__)  # type: ignore[attr-defined]
        self._messages = cast("Table", tables.messages.__table__)  # type: ignore[attr-defined]
        self._max_messages = max_messages
        self._kept = timedelta(days=keep_days)

    async def messages(self, conversation_id: str, user_id: str) -> Sequence[Message]:
        """The newest messages, the oldest of them first."""
        c, m = self._conversations.c, self._messages.c
        own = select(c.id).where(*self._own(conversation_id, user_id))
        newest = select(m.role, m.content).where(m.conversation_id == conversation_id)
        newest = newest.order_by(m.number.desc()).limit(self._max_messages)
        if await self._database.fetch_value(own) is None:
            raise _not_found()
        return [Message(row.role, row.content) for row in reversed(await self._database.fetch_all(newest))]

    async def add(self, conversation_id: str | None, user_id: str, messages: Sequence[Message]) -> str:
        """Store *messages*, all or none; the conversation's id, a new one without *conversation_id*."""
        try:
            async with self._database.transaction() as session:
                return await self._add(session, conversation_id, user_id, messages)
        except IntegrityError:  # the user was deleted meanwhile
            raise _not_found() from None

    async def _add(
        self, session: AsyncSession, conversation_id: str | None, user_id: str, messages: Sequence[Message]
    ) -> str:
        now = datetime.now(UTC)
        if conversation_id is None:
            conversation_id, last = new_id(), len(messages)
            row = {"id": conversation_id, "user_id": user_id or None, "last_number": last, "changed_at": now}
            await session.execute(insert(self._conversations).values(row))
        else:
            last = await self._advance(session, conversation_id, user_id, len(messages), now)
        rows = [
            {
                "conversation_id": conversation_id,
                "number": number,
                "role": message.role,
                "content": message.content,
                "created_at": now,
            }
            for number, message in enumerate(messages, last - len(messages) + 1)
        ]
        await session.execute(insert(self._messages), rows)
        m = self._messages.c
        old = delete(self._messages).where(m.conversation_id == conversation_id, m.number <= last - self._max_messages)
        await session.execute(old)
        return conversation_id

    async def remove(self, conversation_id: str, user_id: str) -> None:
        """Delete the conversation with its messages."""
        async with self._database.transaction() as session:
            gone = delete(self._conversations).where(*self._own(conversation_id, user_id))
            result = cast("CursorResult[Any]", await session.execute(gone))
            if not result.rowcount:
                raise _not_found()

    async def tidy(self) -> None:
        """Delete those that have had no message for long; a few in each transaction, with all their messages."""
        c = self._conversations.c
        while True:
            oldest = select(c.id).where(c.changed_at < datetime.now(UTC) - self._kept).order_by(c.changed_at)
            ids = [row.id for row in await self._database.fetch_all(oldest.limit(BATCH))]
            if ids:
                async with self._database.transaction() as session:
                    await session.execute(delete(self._conversations).where(c.id.in_(ids)))
            if len(ids) < BATCH:
                return

    async def _advance(
        self, session: AsyncSession, conversation_id: str, user_id: str, count: int, now: datetime
    ) -> int:
        """Number *count* messages more, in a row that is locked until the transaction ends; the last number."""
        c = self._conversations.c
        own = update(self._conversations).where(*self._own(conversation_id, user_id))
        advanced = own.values(last_number=c.last_number + count, changed_at=now).returning(c.last_number)
        last: int | None = (await session.execute(advanced)).scalar_one_or_none()
        if last is None:
            raise _not_found()
        return last

    def _own(self, conversation_id: str, user_id: str) -> tuple[ColumnElement[bool], ...]:
        c = self._conversations.c
        return c.id == conversation_id, c.user_id == user_id if user_id else c.user_id.is_(None)


def _not_found() -> NotFound:
    return NotFound("You have no conversation with this id.")
