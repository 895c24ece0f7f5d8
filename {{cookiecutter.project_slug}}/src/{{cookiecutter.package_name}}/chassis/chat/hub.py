"""What every part of a chat shares: who is connected, who is present, and what is sent to a room."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Protocol

import structlog

from .connections import Connection, Connections
from .messages import Rooms
from .metrics import ChatMetrics
from .presence import Change, Presence

PREFIX = "room:"
"""Before a room's id, so that no room is called as a socket is, which the library takes for that socket."""
MAX_LISTED = 500
"""How many users `online-users` names."""
MANY = 20
"""More changes than this at a time are sent as a new `online-users`: a process that dies takes thousands of users
along, and an event for each would fill what may wait for a client."""

_log = structlog.get_logger("chassis.chat")


class Emitter(Protocol):
    """The part of the Socket.IO server that sends."""

    async def emit(self, event: str, data: Any, **options: Any) -> None: ...

    async def enter_room(self, sid: str, room: str) -> None: ...

    async def leave_room(self, sid: str, room: str) -> None: ...


class Hub:
    """Puts connections into rooms and takes them out, and tells those who are there."""

    def __init__(
        self, emitter: Emitter, rooms: Rooms, connections: Connections, presence: Presence, metrics: ChatMetrics
    ) -> None:
        self._emitter = emitter
        self.rooms = rooms
        self.connections = connections
        self.presence = presence
        self.metrics = metrics
        self.on_presence: Callable[[str, str, str | None], None] = lambda _room_id, _user_id, _username: None
        """Called when a user comes to a room in this process, or without a name has left it here."""

    async def enter(self, connection: Connection, room_id: str) -> dict[str, int]:
        """Let *connection* into the room; the ids of last messages.

        They are asked for once it hears the room, so that no message falls between the two.
        """
        self.connections.enter(connection, room_id)
        await self._emitter.enter_room(connection.sid, PREFIX + room_id)
        try:
            last_ids = await self.rooms.last_ids([room_id])
        except BaseException:
            self.connections.leave(connection, room_id)
            await self._emitter.leave_room(connection.sid, PREFIX + room_id)
            raise
        first, change = self.presence.join(room_id, connection.user_id, connection.username, connection.sid)
        if first:
            self.on_presence(room_id, connection.user_id, connection.username)
        if change is not None:
            await self.tell([change], skip_sid=connection.sid)
        await self._emitter.emit("online-users", self._online(room_id), to=connection.sid, ignore_queue=True)
        _log.info("room joined", room=room_id, user=connection.user_id, client=connection.link.client)
        return dict(last_ids)

    async def leave(self, connection: Connection, room_id: str) -> None:
        """Take *connection* out of the room; raises Forbidden if it is not there."""
        self.connections.leave(connection, room_id)
        await self._emitter.leave_room(connection.sid, PREFIX + room_id)
        await self._left(connection, room_id)

    async def remove(self, connection: Connection) -> None:
        """Take *connection*, which has ended, out of everything; the library takes it out of its own rooms."""
        for room_id in list(connection.rooms):
            self.connections.leave(connection, room_id)
            await self._left(connection, room_id)
        self.connections.remove(connection)

    async def _left(self, connection: Connection, room_id: str) -> None:
        last, change = self.presence.leave(room_id, connection.user_id, connection.sid)
        if last:
            self.on_presence(room_id, connection.user_id, None)
        if change is not None:
            await self.tell([change], skip_sid=connection.sid)
        _log.info("room left", room=room_id, user=connection.user_id, client=connection.link.client)

    async def tell(self, changes: Iterable[Change], skip_sid: str | None = None) -> None:
        """Tell the rooms of this process who has come and gone; every process learns of it and tells its own."""
        by_room: dict[str, list[Change]] = defaultdict(list)
        for change in changes:
            by_room[change.room_id].append(change)
        for room_id, of_room in by_room.items():
            if self.presence.is_here(room_id):
                await self._tell_room(room_id, of_room, skip_sid)
                if len(by_room) > 1:
                    await asyncio.sleep(0)

    async def _tell_room(self, room_id: str, changes: list[Change], skip_sid: str | None) -> None:
        if len(changes) > MANY:
            await self.send("online-users", self._online(room_id), room_id, here=True)
            return
        for change in changes:
            if self.presence.has(room_id, change.user_id) != change.present:
                continue  # what has happened since is sent already
            event = "user-joined" if change.present else "user-left"
            data = {"roomId": room_id, "userId": change.user_id, "username": change.username}
            await self.send(event, data, room_id, here=True, skip_sid=skip_sid)

    async def tell_last_ids(self) -> None:
        """Tell each room the id of its last message, so that a client sees a gap without a further message."""
        if not (room_ids := self.presence.rooms()):
            return
        for room_id, last_id in (await self.rooms.last_ids(room_ids)).items():
            await self.send("last-message", {"roomId": room_id, "id": last_id}, room_id, here=True)
            await asyncio.sleep(0)  # there may be thousands of rooms

    async def send(
        self, event: str, data: dict[str, Any], room_id: str, *, here: bool = False, skip_sid: str | None = None
    ) -> None:
        """Send to all in the room, or to those who are *here*: connected to this process."""
        await self._emitter.emit(event, data, room=PREFIX + room_id, ignore_queue=here, skip_sid=skip_sid)

    def _online(self, room_id: str) -> dict[str, Any]:
        online = self.presence.online(room_id)
        listed = [{"userId": user_id, "username": name} for user_id, name in islice(online.items(), MAX_LISTED)]
        return {"roomId": room_id, "users": listed, "total": len(online)}
