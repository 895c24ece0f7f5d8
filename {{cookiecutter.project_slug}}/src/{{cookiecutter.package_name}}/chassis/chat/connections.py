"""The connections of this process: whose each is, where it is, and how many a user may have."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil

from ..access import Identity
from ..errors import Conflict, Forbidden, TooManyRequests
from .limits import ChatLimits, TokenBucket
from .link import Link

RETRY_SECONDS = 60
REFUSALS_SECONDS = 1.0
"""A connection's refusals are logged once in this time, with how many there were."""


@dataclass(slots=True)
class _User:
    messages: TokenBucket
    connections: int = 0
    rooms: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True, eq=False)
class Connection:
    """A client that has passed the connection handler."""

    sid: str
    link: Link
    identity: Identity | None = None
    """By its token; None in a chat that is open."""
    user_id: str = ""
    """Empty until the first room is joined, in a chat that is open."""
    username: str = ""
    rooms: set[str] = field(default_factory=set)
    refusals: int = 0
    """Since the last that was logged."""
    refusal_logged_at: float = float("-inf")

    def refused(self) -> int:
        """How many refusals to log now; 0 if the last line was just written."""
        self.refusals += 1
        now = time.monotonic()
        if now - self.refusal_logged_at < REFUSALS_SECONDS:
            return 0
        count, self.refusals, self.refusal_logged_at = self.refusals, 0, now
        return count


class Connections:
    """Every connection, by its sid."""

    def __init__(self, limits: ChatLimits) -> None:
        self._limits = limits
        self._by_sid: dict[str, Connection] = {}
        self._users: dict[str, _User] = {}

    def __len__(self) -> int:
        return len(self._by_sid)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._by_sid.values()))

    def get(self, sid: str) -> Connection | None:
        return self._by_sid.get(sid)

    def add(self, connection: Connection) -> None:
        self._by_sid[connection.sid] = connection

    def bind(self, connection: Connection, user_id: str, username: str) -> None:
        """Let *connection* be the user's from now on; raises TooManyRequests, and Forbidden if it was another's."""
        if connection.user_id:
            if connection.user_id != user_id:
                raise Forbidden("This connection belongs to another userId, which cannot be changed: open a new one.")
            return
        user = self._users.get(user_id)
        most = self._limits.connections_per_user
        if user is not None and user.connections >= most:
            raise TooManyRequests(f"A user may have {most} connections at a time.", retry_after_seconds=RETRY_SECONDS)
        if user is None:
            user = self._users[user_id] = _User(TokenBucket(self._limits.messages_per_second))
        user.connections += 1
        connection.user_id, connection.username = user_id, username

    def take_message(self, connection: Connection) -> None:
        """Count a message of the user's; raises TooManyRequests."""
        if wait := self._users[connection.user_id].messages.take():
            most = self._limits.messages_per_second
            raise TooManyRequests(f"A user may send {most:g} messages a second.", retry_after_seconds=ceil(wait))

    def enter(self, connection: Connection, room_id: str) -> None:
        """Let *connection* be in the room; raises Conflict if it is there, and TooManyRequests."""
        if room_id in connection.rooms:
            raise Conflict("This connection is in the room already.")
        rooms, most = self._users[connection.user_id].rooms, self._limits.rooms_per_user
        if room_id not in rooms and len(rooms) >= most:
            raise TooManyRequests(f"A user may be in {most} rooms at a time.", retry_after_seconds=RETRY_SECONDS)
        rooms[room_id] += 1
        connection.rooms.add(room_id)

    def leave(self, connection: Connection, room_id: str) -> None:
        """Let *connection* be in the room no longer; raises Forbidden if it is not."""
        require_in(connection, room_id)
        connection.rooms.discard(room_id)
        rooms = self._users[connection.user_id].rooms
        rooms[room_id] -= 1
        if not rooms[room_id]:
            del rooms[room_id]

    def remove(self, connection: Connection) -> None:
        """Forget *connection*, which is in no room any more."""
        if self._by_sid.pop(connection.sid, None) is None or not connection.user_id:
            return
        user = self._users[connection.user_id]
        user.connections -= 1
        if not user.connections:
            del self._users[connection.user_id]


def require_in(connection: Connection, room_id: str) -> None:
    """Raise Forbidden unless *connection* is in the room."""
    if room_id not in connection.rooms:
        raise Forbidden("This connection is not in the room: send join-room first.")
