"""The one path of failure: every exception becomes problem details, and an unexpected one a single log event.

It stands just inside the instrumentation and outside the limits, so that what they reject takes this path too. (An
`Exception` handler of Starlette runs outside all middleware and raises again: the request id would be gone and the
server would log a second traceback.)
"""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .. import errors
from ..http.rejections import Rejection, rejection_of
from ..metrics import route_of
from ..shapes import problem
from .websocket_errors import WebSocketErrors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ..context import Exchange
    from ..shapes.problem import ProblemDetails

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

    def _rejection(self, error: BaseException, scope: Scope) -> Rejection:
        if isinstance(error, errors.ServiceError | HTTPException):
            return rejection_of(error, route_of(scope))
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
        return Rejection(problem.INTERNAL, extensions=_revealed(error) if self._debug else None)

    async def _send(self, rejection: Rejection, exchange: Exchange, send: Send) -> None:
        """Send *rejection*, unless the response began already: then cut it off where it stands.

        Raises ResponseAborted when the client holds half a response.
        """
        if exchange.complete:
            return
        if exchange.status:
            exchange.outcome = rejection.status or rejection.problem.status
            raise errors.ResponseAborted
        status, headers, body = rejection.written(self._problems, exchange.request_id)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _respond_cut_off(self, exchange: Exchange, send: Send) -> None:
        """The shutdown deadline cancelled the request: say so, if nothing was said yet."""
        if exchange.status:
            exchange.outcome = 0 if exchange.complete else problem.SHUTTING_DOWN.status
            return
        await self._send(rejection_of(errors.ShuttingDown(), ""), exchange, send)


def _is_asked_to_end() -> bool:
    """Whether the request's task was cancelled; not when something that it waited for was, which is a failure."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


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
