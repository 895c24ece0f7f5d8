"""Requests in other protocols, which the parser reads as if they were HTTP, or for one (RFC 9110, section 7.8).

The former are RTSP (RFC 7826) and ICE (of Icecast).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

RTSP: Final = b" RTSP/"

FOREIGN_METHODS: Final = frozenset(
    {
        "ANNOUNCE",
        "DESCRIBE",
        "FLUSH",
        "GET_PARAMETER",
        "PAUSE",
        "PLAY",
        "RECORD",
        "REDIRECT",
        "SETUP",
        "SET_PARAMETER",
        "SOURCE",
        "TEARDOWN",
    }
)
"""The parser accepts these in no other protocol, but for SOURCE, which is no method of HTTP's either."""


def after_request_line(method: str, target: bytes, received: bytes) -> bytes:
    """What stands in *received* behind the first request line of this *method* and *target*: its protocol, and more."""
    return received.partition(b"%b %b" % (method.encode(), target))[2]


def asks_for_websocket(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the Upgrade among *headers* is to a websocket and nothing else (RFC 6455, section 4.2.1)."""
    return [value.lower() for name, value in headers if name == b"upgrade"] == [b"websocket"]
