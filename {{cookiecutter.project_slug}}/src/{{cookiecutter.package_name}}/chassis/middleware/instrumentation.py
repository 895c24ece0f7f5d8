"""The outermost middleware: who the request is, and what became of it.

It gives the request its id, adds the headers that fit each response, counts and times the request, writes its access
line, and turns an error of which a library wrote no more than the status's reason phrase into problem details. One
wrapper around `send` does all of it, because each further wrapper costs every request.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from ..context import Exchange, RequestIds, origin_of
from ..context import request_id as current_request_id
from ..context import trace_id as current_trace_id
from ..errors import ClientGone
from ..metrics import route_of
from ..shapes.headers import CONTENT_FIELDS, completed
from ..shapes.operations import LIVE_PATH, METRICS_PATH, READY_PATH
from ..shapes.problem import CONTENT_TYPE, INTERNAL, ProblemDetails, type_for_status
from .websockets import CLIENT_CLOSED_REQUEST, WebSocketInstrumentation

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..metrics import RequestMetrics

QUIET_ROUTES = frozenset({LIVE_PATH, READY_PATH, METRICS_PATH})
"""Asked every few seconds by machines: counted like all others, logged at debug."""

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


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
            app, metrics=metrics, access_log=access_log, problems=problems, ids=self._ids
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await (self._websockets if scope["type"] == "websocket" else self.app)(scope, receive, send)
            return
        origin = origin_of(scope["headers"])
        exchange = scope["exchange"] = Exchange(origin.request_id or self._ids.next(), perf_counter(), origin)
        if "extensions" in scope:  # of other servers: a file that they send themselves could not be observed
            scope["extensions"] = _without_pathsend(scope["extensions"])
        current_request_id.set(exchange.request_id)
        current_trace_id.set(origin.trace_id)
        self._metrics.begun += 1
        try:
            await self.app(scope, receive, _observed(exchange, scope, send, self._problems))
            if exchange.pending is not None:
                await _send_pending(exchange, scope, send)
        except ClientGone:
            raise
        except Exception:  # of a layer outside `ErrorMiddleware`; the server logs it and responds
            if not exchange.complete:
                exchange.outcome = exchange.outcome or INTERNAL.status
            raise
        finally:
            if exchange.places is not None:
                exchange.places.leave(exchange)
            self._metrics.ended += 1
            self._record(scope, exchange, perf_counter() - exchange.started)

    def _record(self, scope: Scope, exchange: Exchange, seconds: float) -> None:
        route = route_of(scope)
        status = exchange.outcome or (exchange.status if exchange.complete else CLIENT_CLOSED_REQUEST)
        self._metrics.observe(scope["method"], route, status, seconds)
        client = scope.get("client")
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
    """*send*, which notes the status, adds the headers of each response, and replaces bare reason phrases.

    The start of a response that may be one is held back until its body tells.
    """
    held: Message | None = None

    async def send_observed(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start":
            if message["status"] >= 400 and _may_be_bare(message):  # noqa: PLR2004 - where errors begin
                held = message
                return
            held = exchange.pending = None
            message = _started(exchange, scope, message)
        elif message["type"] == "http.response.body":
            complete = not message.get("more_body", False)
            if held is not None:
                start, held = held, None
                if complete and _is_bare(start, message.get("body", b""), scope["method"]):
                    start, message = _as_problem(start, problems, exchange.request_id)
                    if start["status"] == HTTPStatus.INTERNAL_SERVER_ERROR:
                        # A mounted Starlette sends it, and raises the exception again: `ErrorMiddleware` knows better.
                        exchange.pending = (start, message)
                        return
                await send(_started(exchange, scope, start))
            exchange.complete = complete
        await send(message)

    return send_observed


async def _send_pending(exchange: Exchange, scope: Scope, send: Send) -> None:
    """Send the response that waited for an exception, of which there is none."""
    assert exchange.pending is not None  # noqa: S101 - the caller has looked
    start, body = exchange.pending
    await send(_started(exchange, scope, start))
    exchange.complete = True
    await send(body)


def _started(exchange: Exchange, scope: Scope, start: Message) -> Message:
    """*start* with all its headers; from now on the response has begun."""
    status = start["status"]
    if exchange.places is not None:
        exchange.places.response_starts(exchange, start)
    headers = completed(
        status,
        start.get("headers", ()),
        exchange.request_id.encode(),
        scope.get("scheme", "http"),
        exchange.headers,
    )
    exchange.status = status
    return {**start, "headers": headers}


def _without_pathsend(extensions: Mapping[str, object] | None) -> dict[str, object]:
    return {name: value for name, value in (extensions or {}).items() if name != "http.response.pathsend"}


def _may_be_bare(start: Message) -> bool:
    """Whether the response may have no more in its body than the reason phrase of its status."""
    phrase = _PHRASES.get(start["status"])
    headers = dict(start.get("headers", ()))
    length = headers.get(b"content-length")
    return (
        phrase is not None
        and headers.get(b"content-type", b"").startswith(b"text/plain")
        and (length is None or length == str(len(phrase)).encode())
    )


def _is_bare(start: Message, body: bytes, method: str) -> bool:
    """Whether *body*, which is whole, is that phrase; the response to a HEAD may be without it."""
    return bytes(body) == _PHRASES[start["status"]] or (
        method == "HEAD" and not body and any(name == b"content-length" for name, _ in start.get("headers", ()))
    )


def _as_problem(start: Message, problems: ProblemDetails, request_id: str) -> tuple[Message, Message]:
    """The same response as problem details: its start and its body."""
    status = start["status"]
    body = problems.body(type_for_status(status), instance=request_id, status=status)
    headers = [
        *(pair for pair in start.get("headers", ()) if pair[0] not in CONTENT_FIELDS),
        (b"content-type", CONTENT_TYPE),
        (b"content-length", str(len(body)).encode()),
    ]
    return {**start, "headers": headers}, {"type": "http.response.body", "body": body}
