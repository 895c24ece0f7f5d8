"""How processes tell each other who is where: each counts its changes, and is asked for all of them if one is missed.

    chat-alive     every second: I am here, and my last change has this number
    chat-presence  a change, with its number
    chat-ask       to one process: tell everything
    chat-members   everything, in parts, with the number of the last change in it
    chat-gone      I am leaving

Redis keeps nothing of it, so nothing can outlive a process there. A process that says nothing for HOST_SECONDS is gone,
and its users with it; when it is heard again, it is asked for everything. This module reads no clock and sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .presence import Change, Members, Presence

ALIVE_SECONDS = 1.0
HOST_SECONDS = 5.0
ASK_SECONDS = 2.0
"""So long an answer may take until it is asked for again."""
PART = 500
"""Members in one message, so that no message is large: Redis cuts off a listener that falls behind by megabytes."""

Wire = dict[str, Any]


@dataclass(slots=True)
class _Host:
    heard_at: float
    number: int = -1
    """Of the last change that is known; -1 before all its members were received."""
    asked_at: float = float("-inf")
    parts: list[Wire] = field(default_factory=list)


class Gossip:
    """Keeps *presence* true of the other processes; *tell* hands a message to all of them, this one's own name is *me*.

    Messages of this process, and those that are not for it, are ignored.
    """

    def __init__(self, me: str, presence: Presence, tell: Callable[[Wire], None]) -> None:
        self._me = me
        self._presence = presence
        self._tell = tell
        self._hosts: dict[str, _Host] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._hosts)

    def alive(self) -> Wire:
        """What to tell every ALIVE_SECONDS."""
        return self._message("chat-alive", number=self._number)

    def gone(self) -> None:
        """Tell that this process is leaving."""
        self._tell(self._message("chat-gone"))

    def changed(self, room_id: str, user_id: str, username: str | None) -> None:
        """Tell that this process has the user in the room, or without a *username* has not."""
        self._number += 1
        change = {"number": self._number, "room": room_id, "user": user_id, "name": username}
        self._tell(self._message("chat-presence", **change))

    def hear(self, message: Mapping[str, Any], now: float) -> list[Change]:
        """What another process's *message* changes; raises LookupError, TypeError or ValueError for a strange one."""
        name, method = str(message["host_id"]), message["method"]
        if name == self._me:
            return []
        if method == "chat-gone":
            self._hosts.pop(name, None)
            return self._presence.replace_remote(name, {})
        host = self._hosts.setdefault(name, _Host(now))
        host.heard_at = now
        if method == "chat-ask":
            if message["of"] == self._me:
                self._tell_members()
            return []
        if method == "chat-members":
            return self._hear_part(name, host, message)
        number = int(message["number"])
        if method == "chat-presence" and number == host.number + 1 and host.number >= 0:
            host.number = number
            change = self._presence.set_remote(name, message["room"], message["user"], message["name"])
            return [change] if change else []
        if number != host.number and now - host.asked_at > ASK_SECONDS:
            host.asked_at = now
            self._tell(self._message("chat-ask", of=name))
        return []

    def expire(self, now: float) -> list[Change]:
        """What changes because processes have said nothing for HOST_SECONDS."""
        silent = [name for name, host in self._hosts.items() if now - host.heard_at > HOST_SECONDS]
        for name in silent:
            del self._hosts[name]
        return [change for name in silent for change in self._presence.replace_remote(name, {})]

    def _tell_members(self) -> None:
        members = list(self._presence.local())
        parts = [members[start : start + PART] for start in range(0, len(members), PART)] or [[]]
        for place, part in enumerate(parts):
            content = {"number": self._number, "part": place, "parts": len(parts), "members": part}
            self._tell(self._message("chat-members", **content))

    def _hear_part(self, name: str, host: _Host, message: Mapping[str, Any]) -> list[Change]:
        """Parts come one after the other; another number or order is of another answer, which is then waited for."""
        if message["part"] == 0:
            host.parts = []
        if message["part"] != len(host.parts) or (host.parts and host.parts[0]["number"] != message["number"]):
            host.parts = []
            return []
        host.parts.append(dict(message))
        if len(host.parts) < message["parts"]:
            return []
        members: Members = {}
        for part in host.parts:
            for room_id, user_id, username in part["members"]:
                members.setdefault(room_id, {})[user_id] = username
        host.number, host.parts = int(message["number"]), []
        return self._presence.replace_remote(name, members)

    def _message(self, method: str, **members: object) -> Wire:
        return {"method": method, "host_id": self._me, **members}
