"""How much is served at once: what is too much is rejected at once, instead of waiting until its client has left.

A request counts until its response starts, against MAX_CONCURRENT_REQUESTS. What lasts counts against MAX_STREAMS:
websockets, responses without a declared length, and requests of routes that are declared as long polls. Health and
metrics are exempt.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import structlog

from ..errors import Overloaded
from .instrumentation import QUIET_ROUTES

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG_SECONDS = 10.0
"""So often is a limit named in the log while it rejects."""
BODYLESS_STATUSES = frozenset({204, 205, 304})

_log = structlog.get_logger("chassis.middleware.concurrency")


class ConcurrencyLimitMiddleware:
    """ASGI middleware; admits *max_requests* and *max_streams* at a time."""

    def __init__(self, app: ASGIApp, *, max_requests: int, max_streams: int) -> None:
        self.app = app
        self.requests = _Places("MAX_CONCURRENT_REQUESTS", "requests", max_requests)
        self.streams = _Places("MAX_STREAMS", "streams", max_streams)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"} or scope["path"] in QUIET_ROUTES:
            await self.app(scope, receive, send)
            return
        ticket = Ticket(self.requests if scope["type"] == "http" else self.streams, self.streams)
        if scope["type"] == "http":
            scope["exchange"].ticket = ticket
        try:
            await self.app(scope, receive, send)
        finally:
            ticket.leave()


class _Places:
    """How many of a kind there may be, and are."""

    __slots__ = ("_kind", "_logged_at", "_most", "_setting", "taken")

    def __init__(self, setting: str, kind: str, most: int) -> None:
        self._setting = setting
        self._kind = kind
        self._most = most
        self._logged_at = float("-inf")
        self.taken = 0

    def take(self) -> None:
        """Raise Overloaded if none is left."""
        if self.taken >= self._most:
            if monotonic() - self._logged_at > LOG_SECONDS:
                self._logged_at = monotonic()
                _log.warning("limit reached", setting=self._setting, limit=self._most, outcome="rejected with 503")
            raise Overloaded(f"The service serves {self._most} {self._kind} at a time, and has no place for another.")
        self.taken += 1


class Ticket:
    """The place that one request has."""

    __slots__ = ("_places", "_streams")

    def __init__(self, places: _Places, streams: _Places) -> None:
        places.take()
        self._places: _Places | None = places
        self._streams = streams

    def leave(self) -> None:
        """Give the place to another."""
        if self._places is not None:
            self._places.taken -= 1
            self._places = None

    def becomes_stream(self) -> None:
        """Take a place among the streams instead; raises Overloaded, and then keeps the one it has."""
        if self._places is not self._streams:
            self._streams.take()
            self.leave()
            self._places = self._streams

    def response_starts(self, start: Message) -> None:
        """The response *start* leaves the place to others, or is a stream."""
        if self._places is None or self._places is self._streams:
            return
        for name, _ in start.get("headers", ()):  # a generator would cost each request half a microsecond
            if name == b"content-length":
                self.leave()
                return
        if start["status"] in BODYLESS_STATUSES:
            self.leave()
        else:
            self.becomes_stream()
