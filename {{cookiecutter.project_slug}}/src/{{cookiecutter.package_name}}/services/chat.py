"""Rooms and their messages: who may join, and a number for each message in the order of the commits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import bindparam, exc, insert, select, tuple_, update

from ..chassis.chat import Message, NewMessage, Stored
from ..chassis.errors import Forbidden
from ..models.chat import ChatMessage, MessageOut, MessagePage, MessageQuery, Room

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncSession

    from ..chassis.database import AnyRow, Database

TRIES = 3
"""A transaction is repeated if a message in it turns out to be stored already, or a room to be made by another."""
MOST_ROOMS = 1000
"""In one query."""

_COLUMNS = tuple(getattr(ChatMessage, field.name) for field in fields(Message))
_OF_ROOM = select(*_COLUMNS).where(ChatMessage.room_id == bindparam("room_id")).limit(bindparam("limit"))
_SINCE = _OF_ROOM.where(ChatMessage.id > bindparam("message_id")).order_by(ChatMessage.id)
_NEWEST = _OF_ROOM.order_by(ChatMessage.id.desc())
_BEFORE = _NEWEST.where(ChatMessage.id < bindparam("message_id"))
_LAST_IDS = select(Room.id, Room.last).where(Room.id.in_(bindparam("room_ids", expanding=True)))
# Of the tables and not of their classes: the ORM's way to update costs more than the statement itself.
_ROOMS, _MESSAGES = cast("Table", Room.__table__), cast("Table", ChatMessage.__table__)
_ADVANCE = (
    update(_ROOMS)
    .where(_ROOMS.c.id == bindparam("room_id"))
    .values(last=_ROOMS.c.last + bindparam("count"))
    .returning(_ROOMS.c.last)
)

Key = tuple[str, str, str]


def may_join(user_id: str, room_id: str) -> bool:  # noqa: ARG001 - a rule of your own needs them
    """Who may be in which room, and read its messages. Everyone, until you say otherwise here."""
    return True


class ChatRooms:
    """Raises Forbidden and DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(self, user_id: str, room_id: str) -> None:
        """Raise Forbidden unless the user may be in the room."""
        if not may_join(user_id, room_id):
            raise Forbidden("This room is not open to you.")

    async def store(self, messages: Sequence[NewMessage]) -> Sequence[Stored]:
        """What became of each of *messages*, which are stored in one transaction.

        That one was sent before is found out when its key is refused, because it is rare: then all is looked up first.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return await self._store(messages, look_up=attempt > 1)
            except exc.IntegrityError:
                if attempt == TRIES:
                    raise
        raise AssertionError  # the last attempt returns or raises

    async def since(self, room_id: str, message_id: int, limit: int) -> Sequence[Message]:
        """The first *limit* messages after *message_id*."""
        return await self._messages(_SINCE, room_id=room_id, message_id=message_id, limit=limit)

    async def newest(self, room_id: str, limit: int) -> Sequence[Message]:
        """The last *limit* messages, the oldest of them first."""
        return (await self._messages(_NEWEST, room_id=room_id, limit=limit))[::-1]

    async def page(self, room_id: str, query: MessageQuery) -> MessagePage:
        """The messages before the query's cursor, the newest first."""
        asked: dict[str, Any] = {"room_id": room_id, "limit": query.limit + 1}  # one more tells whether more follow
        if query.cursor:
            found = await self._messages(_BEFORE, message_id=int(query.cursor), **asked)
        else:
            found = await self._messages(_NEWEST, **asked)
        shown, more = found[: query.limit], len(found) > query.limit
        items = [MessageOut.model_validate(message) for message in shown]
        return MessagePage(items=items, next_cursor=str(shown[-1].id) if more else None)

    async def last_ids(self, room_ids: Sequence[str]) -> Mapping[str, int]:
        """The id of the last message of each room that has one."""
        found: dict[str, int] = {}
        for start in range(0, len(room_ids), MOST_ROOMS):
            rows = await self._database.fetch_all(_LAST_IDS, {"room_ids": list(room_ids[start : start + MOST_ROOMS])})
            found |= {row.id: row.last for row in rows}
        return found

    async def _messages(self, statement: Any, **values: Any) -> list[Message]:
        return [_message(row) for row in await self._database.fetch_all(statement, values)]

    async def _store(self, messages: Sequence[NewMessage], *, look_up: bool) -> Sequence[Stored]:
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)  # as clients see it
        keys = [_key(each) or ("", "", str(place)) for place, each in enumerate(messages)]
        async with self._database.transaction() as session:
            found = await _known(session, keys) if look_up else {}
            new = {key: each for key, each in zip(keys, messages, strict=True) if key not in found}
            next_ids = await _next_ids(session, Counter(each.room_id for each in new.values()))
            for key, each in new.items():
                found[key] = Message(id=next_ids[each.room_id], sent_at=now, **asdict(each))
                next_ids[each.room_id] += 1
            if new:
                rows = [asdict(found[key]) for key in new]
                await session.execute(insert(_MESSAGES), rows)
        return [Stored(found[key], again=new.pop(key, None) is None) for key in keys]


async def _known(session: AsyncSession, keys: Sequence[Key]) -> dict[Key, Message]:
    columns = tuple_(ChatMessage.room_id, ChatMessage.user_id, ChatMessage.client_message_id)
    rows = (await session.execute(select(*_COLUMNS).where(columns.in_(keys)))).all()
    return {(row.room_id, row.user_id, row.client_message_id): _message(row) for row in rows}


async def _next_ids(session: AsyncSession, counts: Mapping[str, int]) -> dict[str, int]:
    """The first of the next ids of each room; its row is locked until the transaction ends.

    In the order of the rooms' ids, so that two processes do not wait for each other.
    """
    found: dict[str, int] = {}
    for room_id, count in sorted(counts.items()):
        last = (await session.execute(_ADVANCE, {"room_id": room_id, "count": count})).scalar_one_or_none()
        if last is None:
            await session.execute(insert(_ROOMS).values(id=room_id, last=count))
        found[room_id] = (last or count) - count + 1
    return found


def _key(message: NewMessage) -> Key | None:
    """What is unique about a message that its client has named."""
    named = message.client_message_id
    return None if named is None else (message.room_id, message.user_id, named)


def _message(row: AnyRow) -> Message:
    return Message(*row)
