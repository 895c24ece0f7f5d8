"""The events of clients: each is checked, done, and acknowledged with what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

from ..access import Identities, Identity
from ..errors import ContentTooLarge, Forbidden, NotFound
from .batches import Batches
from .connections import Connection, require_in
from .hub import Hub
from .messages import NewMessage, Stored, rfc3339
from .payloads import Authenticate, History, InRoom, JoinRoom, SendMessage, Typing, missing, read

Arguments = tuple[Any, ...]
Handler = Callable[[Connection, Arguments], Awaitable[dict[str, Any]]]


class Events:
    """What each event does; *message_kinds* are the values of `messageType`.

    Handlers return the members of the acknowledgement besides `ok`, and raise a `ServiceError` to refuse.
    """

    def __init__(
        self, hub: Hub, *, identities: Identities | None, message_bytes: int, message_kinds: Sequence[str]
    ) -> None:
        self._hub = hub
        self._identities = identities
        self._message_bytes = message_bytes
        self._message_kinds = tuple(message_kinds)
        self._batches = Batches(self._store)
        self._handlers: Mapping[str, Handler] = {
            "join-room": self._join,
            "leave-room": self._leave,
            "send-message": self._send,
            "typing": self._type,
            "history": self._history,
            "authenticate": self._authenticate,
        }

    async def store(self) -> None:
        """Store what is sent, and broadcast it; for ever."""
        await self._batches.run()

    def known(self, event: str) -> bool:
        """Whether there is such an event."""
        return event in self._handlers

    async def handle(self, event: str, connection: Connection, arguments: Arguments) -> dict[str, Any]:
        """The members of the acknowledgement; raises a `ServiceError` for what is refused."""
        handler = self._handlers.get(event)
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            raise NotFound(f"There is no event {event[:64]!r}; there are {known}.")
        return await handler(connection, arguments)

    async def identify(self, token: object, client: str) -> Identity | None:
        """Who presents *token*; None in a chat that is open. Raises Unauthenticated and Invalid."""
        if self._identities is None:
            return None
        given = read(Authenticate, (token if isinstance(token, dict) else {},))
        return await self._identities.identify(given.token, client)

    async def _join(self, connection: Connection, arguments: Arguments) -> dict[str, Any]:
        wish = read(JoinRoom, arguments)
        user_id, username = self._user_of(connection, wish)
        await self._hub.rooms.admit(user_id, wish.room_id)
        self._hub.connections.bind(connection, user_id, username)
        last_ids = await self._hub.enter(connection, wish.room_id)
        return {"roomId": wish.room_id, "userId": user_id, "lastMessageId": last_ids.get(wish.room_id, 0)}

    def _user_of(self, connection: Connection, wish: JoinRoom) -> tuple[str, str]:
        """The user of *connection*, which its first join decides."""
        if not connection.user_id:
            if wish.user_id is None or wish.username is None:
                raise missing(
                    *(["userId"] if wish.user_id is None else []), *(["username"] if wish.username is None else [])
                )
            return wish.user_id, wish.username
        if wish.user_id not in {None, connection.user_id}:
            raise Forbidden("This connection belongs to another userId, which cannot be changed: open a new one.")
        return connection.user_id, connection.username

    async def _leave(self, connection: Connection, arguments: Arguments) -> dict[str, Any]:
        wish = read(InRoom, arguments)
        await self._hub.leave(connection, wish.room_id)
        return {"roomId": wish.room_id}

    async def _send(self, connection: Connection, arguments: Arguments) -> dict[str, Any]:
        started = perf_counter()
        self._require_size(arguments)
        wish = read(SendMessage, arguments)
        if wish.message_type not in self._message_kinds:
            raise NotFound(
                f"There is no messageType {wish.message_type!r}; there are {', '.join(self._message_kinds)}."
            )
        require_in(connection, wish.room_id)
        self._hub.connections.take_message(connection)
        new = NewMessage(
            room_id=wish.room_id,
            user_id=connection.user_id,
            username=connection.username,
            content=wish.message,
            kind=wish.message_type,
            client_message_id=wish.client_message_id,
        )
        stored = await self._batches.add(new)
        self._hub.metrics.broadcast.observe(perf_counter() - started)
        message = stored.message
        return {
            "roomId": message.room_id,
            "id": message.id,
            "timestamp": rfc3339(message.sent_at),
            "again": stored.again,
        }

    def _require_size(self, arguments: Arguments) -> None:
        message = arguments[0].get("message") if arguments and isinstance(arguments[0], dict) else None
        if isinstance(message, str) and len(message.encode()) > self._message_bytes:
            raise ContentTooLarge(f"The message is larger than the {self._message_bytes} bytes that are accepted.")

    async def _store(self, messages: Sequence[NewMessage]) -> Sequence[Stored]:
        """Store *messages* and broadcast them in the order of their ids, before anyone learns that they are stored."""
        stored = await self._hub.rooms.store(messages)
        counts = self._hub.metrics.messages
        for each in stored:
            if not each.again:
                counts["in"] += 1
                counts["out"] += self._hub.presence.listeners(each.message.room_id)
                await self._hub.send("new-message", each.message.on_the_wire(), each.message.room_id)
        return stored

    async def _type(self, connection: Connection, arguments: Arguments) -> dict[str, Any]:
        wish = read(Typing, arguments)
        require_in(connection, wish.room_id)
        data = {
            "roomId": wish.room_id,
            "userId": connection.user_id,
            "username": connection.username,
            "typing": wish.typing,
        }
        await self._hub.send("typing", data, wish.room_id, skip_sid=connection.sid)
        return {}

    async def _history(self, connection: Connection, arguments: Arguments) -> dict[str, Any]:
        wish = read(History, arguments)
        require_in(connection, wish.room_id)
        rooms = self._hub.rooms
        if wish.since is None:
            found = await rooms.newest(wish.room_id, wish.limit)
        else:
            found = await rooms.since(wish.room_id, wish.since, wish.limit)
        return {
            "roomId": wish.room_id,
            "messages": [message.on_the_wire() for message in found],
            "more": len(found) == wish.limit and wish.since is not None,
        }

    async def _authenticate(self, connection: Connection, arguments: Arguments) -> dict[str, Any]:
        wish = read(Authenticate, arguments)
        if self._identities is None:
            raise Forbidden("This chat is open: it takes no tokens.")
        identity = await self._identities.identify(wish.token, connection.link.client)
        if identity.user_id != connection.user_id:
            raise Forbidden("The token is of another user: open a new connection with it.")
        connection.identity = identity
        return {"userId": identity.user_id, "expiresAt": int(identity.expires_at)}
