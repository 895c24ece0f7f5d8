"""The outermost middleware: who the request is, and what became of it.

It gives the request its id, puts the headers that every answer carries, counts and times the request, writes its
access line, and turns an error that some library answered as text into problem details. One wrapper around
`send` does all of it, because each further wrapper costs every request.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from ..context import Exchange, RequestIds, given_request_id
from ..context import request_id as current_request_id
from ..errors import ClientGone
from ..metrics import route_of
from ..shapes.headers import SECURITY_HEADERS, TRANSPORT_SECURITY
from ..shapes.operations import LIVE_PATH, METRICS_PATH, READY_PATH
from ..shapes.problem import CONTENT_TYPE, INTERNAL, ProblemDetails, type_for_status
from .websockets import WebSocketInstrumentation

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..metrics import RequestMetrics

CLIENT_CLOSED_REQUEST = 499
"""The status that nginx gave to a client which left before its answer; it stands only in logs and metrics."""

QUIET_ROUTES = frozenset({LIVE_PATH, READY_PATH, METRICS_PATH})
"""Asked every few seconds by machines: counted like all others, logged at debug."""

_SECURITY_NAMES = frozenset(name for name, _ in SECURITY_HEADERS)


class AccessLine(Protocol):
    """What writes the access line; the logging configuration provides it."""

    def line(  # noqa: PLR0913 - one parameter for each field of the line
        self,
        *,
        level: str,
        request_id: str,
        method: str,
        path: str,
        route: str,
        status: int,
        duration_ms: float,
        client: str,
    ) -> None: ...


class InstrumentationMiddleware:
    """ASGI middleware; see the module's docstring."""

    def __init__(
        self, app: ASGIApp, *, metrics: RequestMetrics, access_log: AccessLine, problems: ProblemDetails
    ) -> None:
        self.app = app
        self._metrics = metrics
        self._access_log = access_log
        self._problems = problems
        self._ids = RequestIds()
        self._websockets = WebSocketInstrumentation(
            app, metrics=metrics, access_log=access_log, problems=problems, ids=self._ids, completed=_completed
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await (self._websockets if scope["type"] == "websocket" else self.app)(scope, receive, send)
            return
        identifier = given_request_id(scope["headers"]) or self._ids.next()
        exchange = scope["exchange"] = Exchange(identifier, perf_counter())
        current_request_id.set(exchange.request_id)
        self._metrics.in_progress += 1
        try:
            await self.app(scope, receive, _observed(exchange, scope, send, self._problems))
        except ClientGone:
            raise
        except Exception:  # of a layer outside `ErrorMiddleware`; the server logs and answers it
            if not exchange.complete:
                exchange.outcome = exchange.outcome or INTERNAL.status
            raise
        finally:
            self._metrics.in_progress -= 1
            self._record(scope, exchange, perf_counter() - exchange.started)

    def _record(self, scope: Scope, exchange: Exchange, seconds: float) -> None:
        route = route_of(scope)
        status = exchange.outcome or (exchange.status if exchange.complete else CLIENT_CLOSED_REQUEST)
        self._metrics.observe(scope["method"], route, status, seconds)
        client = scope["client"]
        self._access_log.line(
            level="debug" if route in QUIET_ROUTES else "info",
            request_id=exchange.request_id,
            method=scope["method"],
            path=scope["path"],
            route=route,
            status=status,
            duration_ms=seconds * 1000,
            client=client[0] if client else "",
        )


def _observed(exchange: Exchange, scope: Scope, send: Send, problems: ProblemDetails) -> Send:
    """*send*, which notes the status, adds the headers of every answer, and replaces errors written as text."""
    replacement: bytes | None = None

    async def send_observed(message: Message) -> None:
        nonlocal replacement
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            exchange.status = message["status"]
            if exchange.status >= 400 and (b"content-type", CONTENT_TYPE) not in headers:  # noqa: PLR2004 - where errors begin
                replacement = problems.body(
                    type_for_status(exchange.status), instance=exchange.request_id, status=exchange.status
                )
                headers = _described_as_problem(headers, len(replacement))
            message = {**message, "headers": _completed(headers, exchange.request_id, scope["scheme"])}
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            exchange.complete = True
            if replacement is not None:
                message = {"type": "http.response.body", "body": replacement}
        elif replacement is not None:
            return
        await send(message)

    return send_observed


def _described_as_problem(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    kept = [pair for pair in headers if pair[0] not in {b"content-type", b"content-length", b"transfer-encoding"}]
    return [*kept, (b"content-type", CONTENT_TYPE), (b"content-length", str(length).encode())]


def _completed(headers: list[tuple[bytes, bytes]], request_id: str, scheme: str) -> list[tuple[bytes, bytes]]:
    """*headers* with the id and those security headers that the route did not set itself."""
    own = [name for name, _ in headers if name in _SECURITY_NAMES]
    headers += [pair for pair in SECURITY_HEADERS if pair[0] not in own] if own else SECURITY_HEADERS
    headers.append((b"x-request-id", request_id.encode()))
    if scheme == "https":
        headers.append(TRANSPORT_SECURITY)
    return headers
