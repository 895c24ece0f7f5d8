"""Packets of clients, read strictly: what is malformed, binary or reserved never reaches the library's handlers.

Engine.IO carries text frames of one digit and its data, Socket.IO packets in those that begin with 4 (protocols 4 and
5 of socket.io/docs).
"""

from __future__ import annotations

from typing import Any

import orjson
from socketio.packet import ACK, BINARY_ACK, BINARY_EVENT, CONNECT, DISCONNECT, EVENT, Packet

FRAME_KINDS = frozenset("123456")
"""CLOSE, PING, PONG, MESSAGE, UPGRADE and NOOP; a client sends no OPEN."""
MESSAGE_KINDS = frozenset("0123456")
RESERVED = frozenset({"connect", "disconnect", "connect_error", "*", "__disconnect_final"})
"""Events that the library handles by their names alone, from any client."""
UNKNOWN = "unknown:"


class Malformed(Exception):
    """A packet that no client of the protocol sends; the message says why."""

    def __init__(self, reason: str, acknowledgement: int | None = None) -> None:
        super().__init__(reason)
        self.acknowledgement = acknowledgement
        """The id under which the client of an event waits for one."""


class Binary(Malformed):
    """An event with attachments, which are not read."""


class Json:
    """The interface of `json` over orjson, which is ten times as fast and rejects what is nested too deeply."""

    @staticmethod
    def dumps(value: object, **_: object) -> str:
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: object) -> Any:
        return orjson.loads(text)


class StrictPacket(Packet):  # type: ignore[misc] # the library ships no types
    """Socket.IO's packet; decoding raises Malformed, and nothing else."""

    json = Json

    def decode(self, encoded_packet: Any) -> int:
        if not isinstance(encoded_packet, str) or encoded_packet[:1] not in MESSAGE_KINDS:
            raise Malformed("no packet of Socket.IO")
        try:
            super().decode(encoded_packet)
        except (ValueError, LookupError, TypeError) as error:
            raise Malformed("cannot be parsed", self.id if self.packet_type == EVENT else None) from error
        if self.packet_type in {BINARY_EVENT, BINARY_ACK}:
            raise Binary("holds binary data", self.id if self.packet_type == BINARY_EVENT else None)
        if self.packet_type == EVENT:
            self._require_event()
        elif self.packet_type == ACK:
            if not isinstance(self.data, list) or self.id is None:
                raise Malformed("an acknowledgement without a list or an id")
        elif self.packet_type not in {CONNECT, DISCONNECT}:
            raise Malformed("a packet that only a server sends")
        return 0

    def _require_event(self) -> None:
        if not isinstance(self.data, list) or not self.data or not isinstance(self.data[0], str):
            raise Malformed("an event without a name", self.id)
        if self.data[0] in RESERVED:
            self.data[0] = f"{UNKNOWN}{self.data[0]}"


def require_frame(text: str | None) -> None:
    """Raise Malformed for a text frame that the library would stumble over."""
    if not text or text[0] not in FRAME_KINDS:
        raise Malformed("no packet of Engine.IO")
    if text[0] == "4" and text[1:2] not in MESSAGE_KINDS:
        raise Malformed("no packet of Socket.IO")
