"""What a chat says, and what it needs of the service that keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message that a user sends."""

    room_id: str
    user_id: str
    username: str
    content: str
    kind: str
    client_message_id: str | None = None
    """Chosen by the client: a second message of the user with it, in the same room, is the first one sent again."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is stored."""

    room_id: str
    id: int
    """Counts the room's messages from 1, in the order in which they were stored, without a gap."""
    user_id: str
    username: str
    content: str
    kind: str
    sent_at: datetime
    client_message_id: str | None = None

    def on_the_wire(self) -> dict[str, Any]:
        """The members of the event `new-message`."""
        members: dict[str, Any] = {
            "roomId": self.room_id,
            "id": self.id,
            "content": self.content,
            "userId": self.user_id,
            "username": self.username,
            "timestamp": rfc3339(self.sent_at),
            "type": self.kind,
        }
        if self.client_message_id is not None:
            members["clientMessageId"] = self.client_message_id
        return members


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a new message."""

    message: Message
    again: bool = False
    """Whether it had been stored before."""


class Rooms(Protocol):
    """Keeps messages, and decides who may join which room; every method may raise a `ServiceError`."""

    async def admit(self, user_id: str, room_id: str) -> None:
        """Raise Forbidden, or NotFound, unless the user may be in the room."""

    async def store(self, messages: Sequence[NewMessage]) -> Sequence[Stored]:
        """Store all of *messages* in one transaction, or none; what became of each, in their order."""

    async def since(self, room_id: str, message_id: int, limit: int) -> Sequence[Message]:
        """The first *limit* messages after *message_id*."""

    async def newest(self, room_id: str, limit: int) -> Sequence[Message]:
        """The last *limit* messages, the oldest of them first."""

    async def last_ids(self, room_ids: Sequence[str]) -> Mapping[str, int]:
        """The id of the last message of each room that has one."""


def rfc3339(moment: datetime) -> str:
    """*moment* in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
