"""The part of the instrumentation that websockets take; no HTTP request comes through here.

In the scope's exchange, `status` is 101 once the websocket is accepted, and that of the response if its handshake is
rejected; `complete` says that nothing more can be sent.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from ..access import BEARER_SUBPROTOCOL
from ..context import Exchange, RequestIds, origin_of
from ..context import request_id as current_request_id
from ..context import trace_id as current_trace_id
from ..errors import ClientGone
from ..metrics import WebSocketSeries, route_of
from ..shapes import problem
from ..shapes.headers import completed
from ..shapes.websockets import POLICY_VIOLATION, close_message

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..metrics import RequestMetrics
    from ..shapes.problem import ProblemDetails
    from .instrumentation import AccessLine

SWITCHING_PROTOCOLS = 101
CLIENT_CLOSED_REQUEST = 499
"""The status that nginx gave to a client which left before its response; it stands only in logs and metrics."""


class WebSocketInstrumentation:
    """ASGI middleware: request id, access line and metrics of a websocket, and the headers of a rejected handshake."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: RequestMetrics,
        access_log: AccessLine,
        problems: ProblemDetails,
        ids: RequestIds,
    ) -> None:
        self.app = app
        self._metrics = metrics
        self._access_log = access_log
        self._problems = problems
        self._ids = ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = origin_of(scope["headers"])
        exchange = scope["exchange"] = Exchange(origin.request_id or self._ids.next(), perf_counter(), origin)
        current_request_id.set(exchange.request_id)
        current_trace_id.set(origin.trace_id)
        socket = _ObservedSocket(scope, receive, send, self._metrics, self._problems)
        try:
            await self.app(scope, socket.receive, socket.send)
        except Exception:  # of a layer outside `ErrorMiddleware`; the server logs it and responds
            if not exchange.status:
                exchange.outcome = exchange.outcome or problem.INTERNAL.status
            raise
        finally:
            if exchange.places is not None:
                exchange.places.leave(exchange)
            socket.end()
            self._record(scope, exchange, perf_counter() - exchange.started)

    def _record(self, scope: Scope, exchange: Exchange, seconds: float) -> None:
        """Write the access line; a rejected handshake counts as the GET request that it is."""
        route = route_of(scope)
        status = exchange.outcome or exchange.status or CLIENT_CLOSED_REQUEST
        if status != SWITCHING_PROTOCOLS:
            self._metrics.observe("GET", route, status, seconds)
        client = scope["client"]
        self._access_log.line(
            level="info",
            request_id=exchange.request_id,
            method="WEBSOCKET",
            path=scope["path"],
            route=route,
            status=status,
            duration_ms=seconds * 1000,
            client=client[0] if client else "",
        )


class _ObservedSocket:
    """The `receive` and `send` of one websocket."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        metrics: RequestMetrics,
        problems: ProblemDetails,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._metrics = metrics.websockets
        self._problems = problems
        self._exchange: Exchange = scope["exchange"]
        self._series: WebSocketSeries | None = None
        """Of its route, while it is open."""

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._exchange.complete = True
            self.end()
        elif self._series is not None:
            self._series.received += 1
        return message

    async def send(self, message: Message) -> None:
        """Send *message*; raises ClientGone if the client left."""
        kind = message["type"]
        if kind == "websocket.send":
            await self._pass_on(message)
            if self._series is not None:
                self._series.sent += 1
        elif kind == "websocket.accept":
            await self._accept(message)
        elif kind == "websocket.close":
            await self._close(message)
        elif self._exchange.status == SWITCHING_PROTOCOLS:
            # An exception handler of a mounted application writes responses, for which it is too late.
            await self._close(close_message(POLICY_VIOLATION))
        else:
            await self._respond(message)

    def end(self) -> None:
        """It is no longer open."""
        if self._series is not None:
            self._series.connections -= 1
            self._series = None

    async def _accept(self, message: Message) -> None:
        offered = self._scope.get("subprotocols", ())
        subprotocol = message.get("subprotocol")
        if subprotocol is None and len(offered) == 1 and offered[0].startswith(BEARER_SUBPROTOCOL):
            subprotocol = offered[0]  # a browser fails a handshake that selects none of those that it offered
        headers = [*message.get("headers", ()), (b"x-request-id", self._exchange.request_id.encode())]
        await self._pass_on({**message, "subprotocol": subprotocol, "headers": headers})
        self._exchange.status = SWITCHING_PROTOCOLS
        self._series = self._metrics.of(route_of(self._scope))
        self._series.connections += 1

    async def _close(self, message: Message) -> None:
        """Close; before the acceptance that is a 403, as the ASGI specification says."""
        if self._exchange.complete:
            return
        if not self._exchange.status and takes_responses(self._scope):
            body = self._problems.body(problem.FORBIDDEN, instance=self._exchange.request_id)
            headers = [(b"content-type", problem.CONTENT_TYPE), (b"content-length", str(len(body)).encode())]
            await self._respond({"type": "websocket.http.response.start", "status": 403, "headers": headers})
            await self._respond({"type": "websocket.http.response.body", "body": body})
            return
        self._exchange.status = self._exchange.status or problem.FORBIDDEN.status
        self._exchange.complete = True
        self.end()
        await self._pass_on(message)

    async def _respond(self, message: Message) -> None:
        """Pass on a part of the response that rejects the handshake, with the headers that every response has."""
        if message["type"] == "websocket.http.response.start":
            self._exchange.status = message["status"]
            scheme = "https" if self._scope["scheme"] == "wss" else "http"
            headers = completed(
                message["status"],
                message.get("headers", ()),
                self._exchange.request_id.encode(),
                scheme,
                self._exchange.headers,
            )
            message = {**message, "headers": headers}
        elif not message.get("more_body", False):
            self._exchange.complete = True
        await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError as error:  # so ASGI has it for a client that left
            self._exchange.complete = True
            raise ClientGone("the client closed the websocket") from error


def takes_responses(scope: Scope) -> bool:
    """Whether the server has the ASGI extension for the response to a rejected handshake; else it responds with 403."""
    return "websocket.http.response" in (scope.get("extensions") or {})
