"""Requests in other protocols, which the parser reads as if they were HTTP, or for one (RFC 9110, section 7.8).

The former are RTSP (RFC 7826) and ICE (of Icecast).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from ..shapes import problem
from .rejection import Rejected

ONLY_HTTP: Final = "This server speaks HTTP/1.1."

MOST_LOOKS: Final = 64
"""At what may begin RTSP in one piece, a microsecond or two each; a text about it may hold thousands."""

_RTSP: Final = b" RTSP/"
_BEGIN_OF_RTSP: Final = re.compile(rb"(?<! ) ++(?:(RTSP/)|(?:RTSP|RTS|RT|R)?\Z)")
_ENDS_IN_BEGIN: Final = (b" ", b" R", b" RT", b" RTS", b" RTSP")

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


class RtspWatch:
    """Finds RTSP behind the target of a request, wherever pieces of what is received end.

    The parser does not tell the protocol, but it calls back for the bytes of a target alone. So a piece is fed in
    parts: one ends where the protocol may begin, and its last byte is apart.
    """

    def __init__(self) -> None:
        self.in_target = False
        """Whether the last part was of a target: `on_url` sets it."""
        self._begun: bytes | None = None
        """What came behind a target in the pieces before, while it may be the begin of the protocol."""

    def parts(self, piece: bytes) -> Iterable[bytes]:
        """*piece* in the parts to feed, one by one; raises Rejected where the rest is of a request in RTSP."""
        if self._begun is None and piece.endswith(b"\n") and _RTSP not in piece:
            return (piece,)
        return self._parts(piece)

    def _parts(self, piece: bytes) -> Iterator[bytes]:
        begun, self._begun = self._begun, None
        if begun is not None and (match := _BEGIN_OF_RTSP.match(begun + piece)):
            self._begun = _begin_in(match)
            yield piece
            return
        start = 0
        for match in _begins(piece):
            yield from self._up_to(piece[start : match.start()])
            start = match.start()
            if self.in_target:
                self._begun = _begin_in(match)
        if piece.endswith((b"\n", *_ENDS_IN_BEGIN)):
            yield piece[start:]
            return
        yield from self._up_to(piece[start:])
        if self.in_target:
            self._begun = b""

    def _up_to(self, part: bytes) -> Iterator[bytes]:
        """Yield *part* with its last byte apart, and find out whether that is of a target."""
        if len(part) > 1:
            yield part[:-1]
        self.in_target = False
        yield part[-1:]


def _begin_in(match: re.Match[bytes]) -> bytes:
    """What of RTSP has come in *match*, which is behind a target; raises Rejected if it is all of it."""
    if match[1]:
        raise Rejected(problem.NOT_IMPLEMENTED, ONLY_HTTP)
    return b" " + match[0].lstrip()


def _begins(piece: bytes) -> Iterator[re.Match[bytes]]:
    """Yield where RTSP, or a part of it at the end, begins in *piece*; not at its begin, which `_begun` decides."""
    if _RTSP in piece or piece.endswith(_ENDS_IN_BEGIN):
        found = (match for match in _BEGIN_OF_RTSP.finditer(piece) if match.start())
        yield from islice(found, MOST_LOOKS)


def asks_for_websocket(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the Upgrade among *headers* is to a websocket and nothing else (RFC 6455, section 4.2.1)."""
    return [value.lower() for name, value in headers if name == b"upgrade"] == [b"websocket"]
