"""How much is served at once: what is too much is rejected at once, instead of waiting until its client has left.

A request counts until its response starts, against MAX_CONCURRENT_REQUESTS. What lasts counts against MAX_STREAMS:
websockets, responses without a declared length, and requests of routes that are declared as long polls. Health and
metrics are exempt.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Never

import structlog

from ..errors import Overloaded
from ..shapes.headers import BODYLESS_STATUSES
from .instrumentation import QUIET_ROUTES

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..context import Exchange

LOG_SECONDS = 10.0
"""So often is a limit named in the log while it rejects."""
NO_STREAM_STATUSES = BODYLESS_STATUSES | {205}

_log = structlog.get_logger("chassis.middleware.concurrency")


class ConcurrencyLimitMiddleware:
    """ASGI middleware; admits *max_requests* and *max_streams* at a time."""

    def __init__(self, app: ASGIApp, *, max_requests: int, max_streams: int) -> None:
        self.app = app
        self.streams = Places("MAX_STREAMS", "streams", max_streams)
        self.requests = Places("MAX_CONCURRENT_REQUESTS", "requests", max_requests, streams=self.streams)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand the request over with a place, which the instrumentation gives back when the request has ended."""
        kind = scope["type"]
        if kind == "http":
            if scope["path"] not in QUIET_ROUTES:
                self.requests.take(scope["exchange"])
        elif kind == "websocket":
            self.streams.take(scope["exchange"])
        return self.app(scope, receive, send)


class Places:
    """How many of a kind there may be, and are; an exchange has one in `Exchange.places`."""

    __slots__ = ("_kind", "_logged_at", "_most", "_setting", "_streams", "taken")

    def __init__(self, setting: str, kind: str, most: int, *, streams: Places | None = None) -> None:
        self._setting = setting
        self._kind = kind
        self._most = most
        self._streams = streams
        """What a request moves to that turns out to be a stream; None for streams."""
        self._logged_at = float("-inf")
        self.taken = 0

    def take(self, exchange: Exchange) -> None:
        """Give *exchange* a place here, instead of none; raises Overloaded if none is left."""
        if self.taken >= self._most:
            self._reject()
        self.taken += 1
        exchange.places = self

    def leave(self, exchange: Exchange) -> None:
        """Take the place back that *exchange* has here."""
        self.taken -= 1
        exchange.places = None

    def becomes_stream(self, exchange: Exchange) -> None:
        """Move *exchange* to the streams; raises Overloaded if they have no place, and then it keeps the one it has."""
        if self._streams is not None:
            self._streams.take(exchange)
            self.taken -= 1

    def response_starts(self, exchange: Exchange, start: Message) -> None:
        """Let *exchange* leave, unless its response *start* begins a stream."""
        if self._streams is None:
            return
        for name, _ in start.get("headers", ()):  # a generator would cost each request half a microsecond
            if name == b"content-length":
                self.leave(exchange)
                return
        if start["status"] in NO_STREAM_STATUSES:
            self.leave(exchange)
        else:
            self.becomes_stream(exchange)

    def _reject(self) -> Never:
        if monotonic() - self._logged_at > LOG_SECONDS:
            self._logged_at = monotonic()
            _log.warning("limit reached", setting=self._setting, limit=self._most, outcome="rejected with 503")
        raise Overloaded(f"The service serves {self._most} {self._kind} at a time, and has no place for another.")
