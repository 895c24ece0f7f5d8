"""What stands before the Engine.IO server: which clients it accepts, over which transport, and what the library reads.

Everything that the library would answer with a traceback, or keep without a bound, is rejected here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import structlog

from ..errors import ContentTooLarge, Forbidden, MalformedRequest, NotFound, ServiceError, Unavailable
from ..shapes.origins import OriginList
from .link import Link, Message, Receive, Scope, Send
from .packets import Malformed, require_frame

LINK = "chat.link"
"""Under which a scope has the link of its session."""
MAX_PACKETS = 16
"""In one request of long polling; the library's own limit."""
SEPARATOR = "\x1e"

_log = structlog.get_logger("security")


class Gate:
    """An ASGI application around *serve*, that of the Engine.IO server.

    *link_of* knows the sessions, *new_link* makes one for a handshake, and raises if there is no place for it.
    *draining* says whether the process is about to stop; *close* ends a session. Origins are checked for both
    transports, besides the layer that checks those of every websocket: the service may be put together without it.
    """

    def __init__(  # noqa: PLR0913 - all named
        self,
        serve: Callable[[Scope, Receive, Send], Awaitable[object]],
        *,
        link_of: Callable[[str], Link | None],
        new_link: Callable[[str], Awaitable[Link]],
        draining: Callable[[], bool],
        origins: Iterable[str],
        polling: bool,
        packet_bytes: int,
        close: Callable[[Link], Awaitable[None]],
        on_refused: Callable[[str], None],
    ) -> None:
        self._serve = serve
        self._link_of = link_of
        self._new_link = new_link
        self._draining = draining
        self._origins = OriginList(origins)
        self._polling = polling
        self._packet_bytes = packet_bytes
        self._close = close
        self._on_refused = on_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            query = _query(scope)
            link = await self._admit(scope, query)
            polls = scope["type"] == "http" and scope["method"] == "GET" and "sid" in query
            if polls and link.polled:
                await self._close(link)
                raise MalformedRequest("Another request polls this session, which is closed now: connect again.")
            if scope["type"] == "http" and scope["method"] == "POST":
                scope, receive = await self._polled(scope, receive, link)
                if "sid" in query:
                    self._session(query)  # it may have ended while the body came
        except ServiceError as error:
            self._on_refused(error.problem.slug)
            raise
        if scope["type"] == "websocket":
            receive = link.over(receive)
        link.polled = link.polled or polls
        try:
            await self._serve({**scope, LINK: link}, receive, send)
        finally:
            link.polled = link.polled and not polls

    async def _admit(self, scope: Scope, query: dict[str, list[str]]) -> Link:
        """The link of the session, a new one for a handshake."""
        if scope["path"].removeprefix(scope.get("root_path", "")) not in {"", "/"}:
            raise NotFound("Nothing is below this path.")
        client = scope["client"][0] if scope.get("client") else ""
        if rejection := self._origins.rejection(scope):
            _log.warning("access denied", user="", client=client, outcome="rejected", reason=rejection)
            raise Forbidden(rejection)
        transport = query.get("transport", [""])
        if transport != ["websocket" if scope["type"] == "websocket" else "polling"]:
            raise MalformedRequest("The query needs one `transport`, which fits the request: websocket, or polling.")
        if scope["type"] == "http" and not self._polling:
            raise MalformedRequest('This service takes websockets alone: give the client transports: ["websocket"].')
        if query.get("EIO") != ["4"]:
            raise MalformedRequest(
                "The query needs EIO=4: this is Socket.IO protocol 5, which clients speak from 3.0 on."
            )
        if "j" in query:
            raise MalformedRequest("JSONP is not served: every page could read what it returns.")
        if "sid" in query:
            return self._session(query)
        if self._draining():
            raise Unavailable("The service is stopping, and takes no new sessions: connect again.")
        return await self._new_link(client)

    def _session(self, query: dict[str, list[str]]) -> Link:
        """The link of the session that *query* names; the library fails in the middle for one that has ended."""
        if (link := self._link_of(query["sid"][0])) is None:
            raise MalformedRequest(
                "This process has no session of this sid: connect again. Over polling, all requests of a client have to"
                " come to the process that it connected to."
            )
        return link

    async def _polled(self, scope: Scope, receive: Receive, link: Link) -> tuple[Scope, Receive]:
        """The request of a client's packets, whose body is read and checked."""
        body = await self._body(receive)
        try:
            packets = body.decode().split(SEPARATOR)
            for packet in packets:
                require_frame(packet)
        except (Malformed, UnicodeDecodeError):
            raise MalformedRequest("The body holds something else than packets of Engine.IO in text.") from None
        if len(packets) > MAX_PACKETS:
            raise MalformedRequest(f"The body holds more than {MAX_PACKETS} packets.")
        for _ in packets:
            await link.throttle()
        headers = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        return {**scope, "headers": headers}, _replayed(body, receive)

    async def _body(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._packet_bytes:
                raise ContentTooLarge(f"The body is larger than the {self._packet_bytes} bytes that are accepted.")
            if not message.get("more_body", False):
                return bytes(body)


def _query(scope: Scope) -> dict[str, list[str]]:
    try:
        return parse_qs(scope["query_string"].decode("ascii"), max_num_fields=20)
    except ValueError:
        raise MalformedRequest("The query has more than 20 parameters, or is not ASCII.") from None


def _replayed(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Any:
        return first.pop() if first else await receive()

    return receive_again
