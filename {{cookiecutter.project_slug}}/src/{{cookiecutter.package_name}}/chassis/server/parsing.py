"""From bytes to requests: uvicorn's httptools protocol with limits on what it takes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..shapes import problem
from .bodies import check_coding, framing_of, parser_in_body
from .deadlines import Deadlines
from .foreign import FOREIGN_METHODS, ONLY_HTTP, RtspWatch, asks_for_websocket
from .rejection import OTHER_METHOD, Rejected, rejection_of
from .target import check_host, split_target

if TYPE_CHECKING:
    from uvicorn.config import Config

    from .state import ListenerState, Scope
    from .transfer import Transfer

ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
"""With 2.4 Starlette would no longer cancel a stream that has nothing to send when its client leaves."""

READ_FIELDS: Final = frozenset({b"host", b"expect", b"content-length", b"transfer-encoding"})
"""What the server itself reads of a head; one look-up spares every other field a comparison with each."""
BODY_FIELDS: Final = frozenset({b"content-length", b"transfer-encoding"})
WEBSOCKET_LINE_BYTES: Final = 8_160
"""For the target and each field of a handshake; the websockets library gives up a line above 8,192 bytes."""
LENGTH_DIGITS: Final = 19
"""So many fit into 64 bits, whatever they are. The parser takes any number of zeros; int() fails above 4,300 digits."""


class RequestReader(HttpToolsProtocol):
    """Calls `begin` for each request, in order, and `reject` for what is none; `Connection` says what follows."""

    def __init__(self, config: Config, server_state: ListenerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.state = server_state
        self.options = server_state.options
        self.deadlines = Deadlines(server_state.options)
        self.feeding: Transfer | None = None
        """Whose body is being received."""
        self.url = b""
        self.headers = []
        self.reading_head = True
        self.head_bytes = 0
        """Received of a head that is not complete, without the current piece."""
        self.piece_bytes = 0
        self.framing_bytes = 0
        """Received of a chunked body since its last byte, in pieces that hold nothing else."""
        self.trailer_bytes = 0
        self.advanced = False
        """The current piece completed a head or a body, or holds a part of a body."""
        self.hosts = 0
        self.coding = b""
        """The value of Transfer-Encoding."""
        self.upgrading = False
        """To a websocket."""
        self.hidden_body = b""
        """The head that makes a parser read the body of the request whose Upgrade is ignored."""
        self.rtsp = RtspWatch()

    def begin(self, scope: Scope, *, keep_alive: bool) -> Transfer:
        raise NotImplementedError

    def reject(self, rejected: Rejected) -> None:
        raise NotImplementedError

    @property
    def method(self) -> str:
        """The method of the request being read, once it is known to be one."""
        return self.parser.get_method().decode() if self.url else OTHER_METHOD

    def data_received(self, data: bytes) -> None:
        rest: bytes | None = data
        while rest:
            rest = self._feed(rest)

    def _feed(self, data: bytes) -> bytes | None:
        """Parse *data*; returns what is left of it after a request whose Upgrade is ignored."""
        self.piece_bytes = len(data)
        self.advanced = False
        fed_bytes = 0
        try:
            for part in self.rtsp.parts(data):
                self.parser.feed_data(part)
                fed_bytes += len(part)
        except httptools.HttpParserUpgrade as stopped:
            return self._read_on(data[fed_bytes + stopped.args[0] :])
        except Rejected as rejected:
            self.reject(rejected)
        except httptools.HttpParserError as error:
            self.reject(rejection_of(error, b"" if self.advanced else data))
        else:
            if not self.advanced:
                self._grow()
        return None

    def _read_on(self, rest: bytes) -> bytes | None:
        """Go on behind a head at which the parser stopped, because it asks for another protocol."""
        if self.upgrading:
            self.handle_websocket_upgrade()
            return None
        if self.hidden_body:
            framing, self.hidden_body = self.hidden_body, b""
            self.parser = parser_in_body(self, framing)
        return rest

    def _grow(self) -> None:
        """Count a piece that is all of one head, or all of what frames a body."""
        if self.reading_head:
            self.head_bytes += self.piece_bytes
        else:
            self.framing_bytes += self.piece_bytes
        if max(self.head_bytes, self.framing_bytes) > self.options.max_header_bytes:
            self.reject(self._head_too_large())

    # What the parser calls

    def on_message_begin(self) -> None:
        self.url = b""
        self.hosts = 0
        self.coding = b""
        self.expect_100_continue = False
        self.framing_bytes = self.trailer_bytes = 0
        self.deadlines.restart()

    def on_url(self, url: bytes) -> None:
        self.rtsp.in_target = bool(url)
        self.url += url
        if len(self.url) > self.options.max_target_bytes:
            raise Rejected(problem.URI_TOO_LONG, f"At most {self.options.max_target_bytes} bytes are accepted.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.reading_head:
            self._drop_trailer(name, value)
            return
        name = name.lower()
        if name in READ_FIELDS:
            self._read_field(name, value)
        self.headers.append((name, value))

    def _read_field(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self.hosts += 1
            check_host(value)
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"transfer-encoding":
            self.coding += b"," + value if self.coding else value
        elif len(value) > LENGTH_DIGITS:
            raise Rejected(problem.BAD_REQUEST, f"The Content-Length has more than {LENGTH_DIGITS} digits.")

    def on_headers_complete(self) -> None:
        parser = self.parser
        version: str = parser.get_http_version()
        options = self.options
        if (
            self.head_bytes + self.piece_bytes > options.max_header_bytes
            or len(self.headers) > options.max_header_fields
        ):
            self._check_size()
        if self.hosts != 1 or version != "1.1":
            self._check_host_and_version(version)
        method = parser.get_method().decode()
        if method in FOREIGN_METHODS:  # which the parser reads in RTSP and ICE, and does not tell
            raise Rejected(problem.NOT_IMPLEMENTED, ONLY_HTTP)
        if self.coding:
            check_coding(self.coding)
        self.reading_head = False
        self.advanced = True
        self.head_bytes = 0
        self.deadlines.restart()
        if parser.should_upgrade():
            self._check_upgrade(method)
        scope = self._new_scope(method, version)
        self.scope = scope  # type: ignore[assignment]
        if self.upgrading:
            return
        keep_alive: bool = parser.should_keep_alive() and version == "1.1"
        self.feeding = self.begin(scope, keep_alive=keep_alive)

    def _new_scope(self, method: str, version: str) -> Scope:
        raw_path, query = split_target(self.url, self.headers)
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": method,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
            "state": self.app_state.copy(),
        }

    def _drop_trailer(self, name: bytes, value: bytes) -> None:
        """Count a field that no proxy has checked as one of the head, and so must not pass for one.

        RFC 9110, section 6.5.1.
        """
        self.trailer_bytes += len(name) + len(value) + 4
        if self.trailer_bytes > self.options.max_header_bytes:
            raise self._head_too_large()

    def on_body(self, body: bytes) -> None:
        self.advanced = True
        self.framing_bytes = 0
        transfer = self.feeding
        if transfer is not None and not transfer.response_complete and transfer.feed(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if self.hidden_body:  # which the parser does not see
            return
        self.reading_head = True
        self.headers = []  # the scope has the others
        self.advanced = True
        self.deadlines.restart()
        if self.feeding is not None:
            self.feeding.feed_end()
            self.feeding = None

    # What is rejected

    def _head_too_large(self) -> Rejected:
        options = self.options
        limits = f"At most {options.max_header_bytes} bytes and {options.max_header_fields} fields are accepted."
        return Rejected(problem.HEADERS_TOO_LARGE, limits)

    def _check_size(self) -> None:
        """Count exactly; the caller's sum may hold bytes that are not of this head."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.options.max_header_bytes or len(self.headers) > self.options.max_header_fields:
            raise self._head_too_large()

    def _check_host_and_version(self, version: str) -> None:
        if version not in {"1.0", "1.1"}:
            raise Rejected(problem.SERVER_ERROR, ONLY_HTTP, status=HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        if self.hosts > 1 or (self.hosts == 0 and version == "1.1"):
            raise Rejected(problem.HOST_NOT_ALLOWED, "A request names exactly one Host.")
        if version != "1.1":  # in which neither is defined (RFC 9110, sections 7.8 and 10.1.1)
            self.expect_100_continue = False

    def _check_upgrade(self, method: str) -> None:
        """Find out whether it is for a websocket, and ignore any other one (RFC 9110, section 7.8)."""
        if method == "CONNECT":
            raise Rejected(problem.NOT_IMPLEMENTED, "This server is no proxy.")
        self.upgrading = self.parser.get_http_version() == "1.1" and asks_for_websocket(self.headers)
        if not self.upgrading:
            self.hidden_body = framing_of(self.headers)
            return
        if any(name in BODY_FIELDS and value != b"0" for name, value in self.headers):
            raise Rejected(problem.NOT_IMPLEMENTED, "A websocket's handshake has no body.")
        longest = max(len(self.url), *(len(name) + len(value) for name, value in self.headers))
        if longest > WEBSOCKET_LINE_BYTES:
            raise Rejected(
                problem.HEADERS_TOO_LARGE, f"A websocket's fields have at most {WEBSOCKET_LINE_BYTES} bytes."
            )
