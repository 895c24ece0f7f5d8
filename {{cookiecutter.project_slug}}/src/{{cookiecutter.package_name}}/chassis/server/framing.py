"""Where a response ends: at its length, with a last chunk, or with the connection (RFC 9112, section 6.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..shapes.headers import BODYLESS_STATUSES
from .fields import KNOWN_LINES, checked_line

NO_CONTENT: Final = 204
OWN_FIELDS: Final = frozenset({b"connection", b"keep-alive", b"transfer-encoding"})
"""Between the server and the next hop, and so none of the application's business."""


class Framing:
    """One response: `field_lines` is called first, and once; it decides how `body` frames what follows."""

    __slots__ = ("_bodyless", "_chunked", "_owed_bytes", "_status", "closes")

    def __init__(self, method: str, status: int) -> None:
        self._status = status
        self._bodyless = method == "HEAD" or status in BODYLESS_STATUSES
        self._chunked = True
        self._owed_bytes = -1
        """Of a declared length, what is still to come; -1 without one."""
        self.closes = False
        """The connection ends with the response: the application wants it, or nothing else would mark the end."""

    def field_lines(self, headers: Iterable[tuple[bytes, bytes]], http_version: str) -> list[bytes]:
        """*headers* as lines, with our own about the end; raises RuntimeError for one that could forge another."""
        lines: list[bytes] = []
        for name, value in headers:
            line = KNOWN_LINES.get((name, value))
            if line is None:
                line = checked_line(name, value)
                if self._is_ours(name.lower(), value):
                    continue
            lines.append(line)
        if self._bodyless:
            self._chunked = False
        elif self._chunked and http_version == "1.0":  # has no chunks
            self._chunked, self.closes = False, True
        elif self._chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        return lines

    def _is_ours(self, name: bytes, value: bytes) -> bool:
        """Take the application's word from a field about the end of the response; whether we write it ourselves."""
        if name == b"content-length":
            self._chunked, self._owed_bytes = False, int(value)
            return self._status == NO_CONTENT  # not even a length of 0 may stand there (RFC 9110, section 8.6)
        if name == b"connection":
            self.closes = self.closes or b"close" in value.lower()
        return name in OWN_FIELDS

    def body(self, body: bytes, *, more_body: bool) -> bytes:
        """*body* as it goes on the wire; raises RuntimeError when it is not as long as was declared."""
        if self._bodyless:
            return b""
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if more_body else chunk + b"0\r\n\r\n"
        if self._owed_bytes >= 0:
            self._owed_bytes -= len(body)
            if self._owed_bytes < 0:
                raise RuntimeError("the response is longer than its Content-Length")
            if self._owed_bytes and not more_body:
                raise RuntimeError("the response is shorter than its Content-Length")
        return body

    @property
    def shows_a_break(self) -> bool:
        """Whether the client can tell from an orderly end of the connection that the response is not whole."""
        return self._chunked or self._owed_bytes > 0
