"""The one path of failure: every exception becomes problem details, and an unexpected one a single log event.

It stands just inside the instrumentation and outside the limits, so that what they reject takes this path too. (An
`Exception` handler of Starlette runs outside all middleware and raises again: the request id would be gone and the
server would log a second traceback.)
"""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .. import errors
from ..metrics import UNMATCHED, route_of
from ..shapes import problem
from ..shapes.headers import BODYLESS_STATUSES, CONTENT_FIELDS
from .websocket_errors import WebSocketErrors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ..context import Exchange
    from ..shapes.problem import ProblemDetails

ROUTER_DETAILS = {
    404: "No route has this path.",
    405: "The Allow header names the methods that this path has.",
}

_PHRASES = frozenset(status.phrase for status in HTTPStatus)

_log = structlog.get_logger("chassis.middleware.errors")


class ErrorMiddleware:
    """ASGI middleware.

    *on_exception* is called with each unexpected exception and its scope; *debug* adds message and frames to the
    document; *origins* are those whose web pages may open websockets, besides the service's own.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        problems: ProblemDetails,
        on_exception: Callable[[BaseException, Scope], None],
        debug: bool,
        origins: Iterable[str] = (),
    ) -> None:
        self.app = app
        self._websockets = WebSocketErrors(app, self._rejection, self._send, origins=origins)
        self._problems = problems
        self._on_exception = on_exception
        self._debug = debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await (self._websockets if scope["type"] == "websocket" else self.app)(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except (ClientDisconnect, errors.ClientGone):
            return
        except BaseException as error:  # the one place that must catch everything
            if isinstance(error, asyncio.CancelledError) and _is_asked_to_end():
                await self._respond_cut_off(scope["exchange"], send)
                raise
            await self._send(self._rejection(error, scope), scope["exchange"], send)

    def _rejection(self, error: BaseException, scope: Scope) -> _Rejection:
        if isinstance(error, errors.ServiceError):
            return _of_service_error(error)
        if isinstance(error, HTTPException):
            return _of_http_exception(error, route_of(scope))
        _log.error(
            "unhandled exception",
            method=scope.get("method", "WEBSOCKET"),
            path=scope["path"],
            route=route_of(scope),
            client=scope["client"][0] if scope["client"] else "",
            response_truncated=scope["exchange"].status != 0 and not scope["exchange"].complete,
            exc_info=error,
        )
        self._on_exception(error, scope)
        return _Rejection(problem.INTERNAL, extensions=_revealed(error) if self._debug else None)

    async def _send(self, rejection: _Rejection, exchange: Exchange, send: Send) -> None:
        """Send *rejection*, unless the response began already: then cut it off where it stands.

        Raises ResponseAborted when the client holds half a response.
        """
        if exchange.complete:
            return
        if exchange.status:
            exchange.outcome = rejection.status or rejection.problem.status
            raise errors.ResponseAborted
        body = self._problems.body(
            rejection.problem,
            instance=exchange.request_id,
            detail=rejection.detail,
            status=rejection.status,
            errors=rejection.errors,
            extensions=rejection.extensions,
        )
        headers = [
            (b"content-type", problem.CONTENT_TYPE),
            (b"content-length", str(len(body)).encode()),
            *rejection.headers,
        ]
        status = rejection.status or rejection.problem.status
        if status in BODYLESS_STATUSES:
            headers, body = list(rejection.headers), b""
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _respond_cut_off(self, exchange: Exchange, send: Send) -> None:
        """The shutdown deadline cancelled the request: say so, if nothing was said yet."""
        if exchange.status:
            exchange.outcome = 0 if exchange.complete else problem.SHUTTING_DOWN.status
            return
        await self._send(_of_service_error(errors.ShuttingDown()), exchange, send)


@dataclass(frozen=True, slots=True)
class _Rejection:
    """The response that replaces the one that was asked for."""

    problem: problem.ProblemType
    detail: str = ""
    status: int | None = None
    errors: tuple[errors.FieldError, ...] = ()
    headers: tuple[tuple[bytes, bytes], ...] = ()
    extensions: dict[str, Any] | None = None


def _is_asked_to_end() -> bool:
    """Whether the request's task was cancelled; not when something that it waited for was, which is a failure."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _of_service_error(error: errors.ServiceError) -> _Rejection:
    kind = error.problem
    if isinstance(error, errors.Unavailable) and not isinstance(error, errors.NotReady | errors.Overloaded):
        _log.warning("request rejected", problem=kind.slug, detail=error.detail, cause=_cause(error))
    return _Rejection(
        kind,
        detail=error.detail,
        errors=error.errors if isinstance(error, errors.Invalid) else (),
        headers=tuple(_headers_of(error)),
    )


def _headers_of(error: errors.ServiceError) -> Iterator[tuple[bytes, bytes]]:
    if error.retry_after_seconds is not None:
        yield b"retry-after", str(error.retry_after_seconds).encode()
    if isinstance(error, errors.Unauthenticated):
        yield b"www-authenticate", error.challenge.encode()
    if isinstance(error, errors.ContentTooLarge):
        yield b"connection", b"close"


def _of_http_exception(error: HTTPException, route: str) -> _Rejection:
    """What a library rejected: its status and headers stay, its text gives way to ours where it says no more.

    Its detail need not be a text: handlers that were written for FastAPI raise dictionaries.
    """
    detail = str(error.detail)
    if detail in _PHRASES:
        router = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED or route == UNMATCHED
        detail = ROUTER_DETAILS.get(error.status_code, "") if router else ""
    headers = ((name.lower().encode(), str(value).encode("latin-1")) for name, value in (error.headers or {}).items())
    return _Rejection(
        problem.type_for_status(error.status_code),
        detail=detail,
        status=error.status_code,
        headers=tuple(pair for pair in headers if pair[0] not in CONTENT_FIELDS),
    )


def _cause(error: Exception) -> str | None:
    return f"{type(error.__cause__).__name__}: {error.__cause__}" if error.__cause__ else None


def _revealed(error: BaseException) -> dict[str, Any]:
    """For development only: what was raised, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "exception": {
            "type": type(error).__name__,
            "message": str(error),
            "frames": [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames],
        }
    }
