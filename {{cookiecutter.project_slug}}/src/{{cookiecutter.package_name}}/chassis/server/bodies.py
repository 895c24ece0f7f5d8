"""How the body of a request is framed (RFC 9112, section 6.3), as far as the parser leaves it to us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httptools

from ..shapes import problem
from .rejection import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable

_CHUNKED: Final = b"chunked"
_KNOWN_HEAD: Final = b"POST / HTTP/1.1\r\n%b: %b\r\n\r\n"


def check_coding(value: bytes) -> None:
    """Raise Rejected for a Transfer-Encoding other than chunked alone.

    The parser takes others before it, and all of them in a request with an Upgrade: who reads such a body knows only
    roughly where it ends. What is decoded after chunks that are not the last coding has no end at all, which is 400.
    """
    codings = [coding.strip(b" \t").lower() for coding in value.split(b",")]
    if codings == [_CHUNKED]:
        return
    if _CHUNKED in codings[:-1] or not all(codings):
        raise Rejected(problem.BAD_REQUEST, "The Transfer-Encoding must be chunked, once.")
    raise Rejected(problem.NOT_IMPLEMENTED, "The only transfer coding that this server knows is chunked.")


def framing_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The smallest head with a body framed as that of *headers*, which the parser accepted; empty without a body."""
    for name, value in headers:
        if name == b"transfer-encoding":
            return _KNOWN_HEAD % (name, _CHUNKED)
        if name == b"content-length" and int(value):
            return _KNOWN_HEAD % (name, value)
    return b""


def parser_in_body(connection: Any, head: bytes) -> httptools.HttpRequestParser:
    """A parser that has read *head*, calls *connection* for what follows, and reads all further requests as well."""
    parser = httptools.HttpRequestParser(_AfterHead(connection))
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    parser.feed_data(head)
    return parser


class _AfterHead:
    """The callbacks of *connection*, without those for the first head, which it has had from another parser."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._in_known_head = True
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete

    def on_message_begin(self) -> None:
        if not self._in_known_head:
            self._connection.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._in_known_head:
            self._connection.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_known_head:
            self._connection.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._in_known_head:
            self._in_known_head = False
        else:
            self._connection.on_headers_complete()
