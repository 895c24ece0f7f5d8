"""Who is in which room, in this process and in the others. It reads no clock and sends nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Members = dict[str, dict[str, str]]
"""By room, the name of each user."""


@dataclass(frozen=True, slots=True)
class Change:
    """A user who has come to a room, or has left it, as all processes together see it."""

    room_id: str
    user_id: str
    username: str
    present: bool


@dataclass(slots=True)
class _Member:
    """A user in a room, by the connections of this process."""

    username: str
    sids: set[str] = field(default_factory=set)


class Presence:
    """Users are in a room as long as one of their connections is, in whichever process."""

    def __init__(self) -> None:
        self._local: dict[str, dict[str, _Member]] = {}
        self._remote: dict[str, Members] = {}

    def join(self, room_id: str, user_id: str, username: str, sid: str) -> tuple[bool, Change | None]:
        """Whether it is the user's first connection here, and the change if the user was in no process."""
        members = self._local.setdefault(room_id, {})
        first = user_id not in members
        new = first and not self._is_remote(room_id, user_id)
        members.setdefault(user_id, _Member(username)).sids.add(sid)
        return first, Change(room_id, user_id, username, present=True) if new else None

    def leave(self, room_id: str, user_id: str, sid: str) -> tuple[bool, Change | None]:
        """Whether it was the user's last connection here, and the change if the user is in no other process."""
        members = self._local.get(room_id, {})
        member = members.get(user_id)
        if member is None or sid not in member.sids:
            return False, None
        member.sids.discard(sid)
        if member.sids:
            return False, None
        del members[user_id]
        if not members:
            del self._local[room_id]
        gone = not self._is_remote(room_id, user_id)
        return True, Change(room_id, user_id, member.username, present=False) if gone else None

    def has(self, room_id: str, user_id: str) -> bool:
        """Whether the user is in the room, in whichever process."""
        return self._is_local(room_id, user_id) or self._is_remote(room_id, user_id)

    def online(self, room_id: str) -> dict[str, str]:
        """The name of each user in the room."""
        found = {user_id: member.username for user_id, member in self._local.get(room_id, {}).items()}
        for rooms in self._remote.values():
            for user_id, username in rooms.get(room_id, {}).items():
                found.setdefault(user_id, username)
        return found

    def listeners(self, room_id: str) -> int:
        """How many connections of this process are in the room."""
        return sum(len(member.sids) for member in self._local.get(room_id, {}).values())

    def is_here(self, room_id: str) -> bool:
        """Whether a connection of this process is in the room."""
        return room_id in self._local

    def rooms(self) -> list[str]:
        """The rooms that a connection of this process is in."""
        return list(self._local)

    def local(self) -> Iterator[tuple[str, str, str]]:
        """Yield room, user and name of each member that this process has."""
        for room_id, members in self._local.items():
            for user_id, member in members.items():
                yield room_id, user_id, member.username

    def set_remote(self, host: str, room_id: str, user_id: str, username: str | None) -> Change | None:
        """Take note that *host* has the user in the room, or without a *username* has not; the change, if it is one."""
        known = self.has(room_id, user_id)
        rooms = self._remote.setdefault(host, {})
        if username is not None:
            rooms.setdefault(room_id, {})[user_id] = username
            return None if known else Change(room_id, user_id, username, present=True)
        former = rooms.get(room_id, {}).pop(user_id, None)
        if not rooms.get(room_id, True):
            del rooms[room_id]
        if former is None or self.has(room_id, user_id):
            return None
        return Change(room_id, user_id, former, present=False)

    def replace_remote(self, host: str, members: Mapping[str, Mapping[str, str]]) -> list[Change]:
        """Take *members* for all that *host* has; what changes by it."""
        before = self._remote.get(host, {})
        gone = [(room, user) for room, users in before.items() for user in users if user not in members.get(room, {})]
        changes = [self.set_remote(host, room, user, None) for room, user in gone]
        changes += [
            self.set_remote(host, room, user, name) for room, us in members.items() for user, name in us.items()
        ]
        if not self._remote.get(host):
            self._remote.pop(host, None)
        return [change for change in changes if change is not None]

    def _is_local(self, room_id: str, user_id: str) -> bool:
        return user_id in self._local.get(room_id, ())

    def _is_remote(self, room_id: str, user_id: str) -> bool:
        return any(user_id in rooms.get(room_id, ()) for rooms in self._remote.values())
