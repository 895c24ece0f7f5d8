"""How much a request may send, and how long it may take.

Health and metrics are exempt: they read no body, and must respond when nothing else does.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from starlette.routing import Match

from ..errors import ContentTooLarge, RequestTimedOut
from .instrumentation import QUIET_ROUTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..context import Exchange
    from ..shapes.limits import BodyLimits


class BodySizeLimitMiddleware:
    """ASGI middleware; rejects a body by its declared size, and one without a declared size by what is counted.

    *limits* hold for each request; a route may have others (`ApiRoute.body_limits`).
    """

    def __init__(self, app: ASGIApp, *, limits: BodyLimits) -> None:
        self.app = app
        self._limits = limits

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand the request over, as `ProxiesMiddleware` does."""
        if scope["type"] == "http" and scope["path"] not in QUIET_ROUTES:
            scope["exchange"].body_limits = self._limits
            # HTTP/1 says with a field that a body follows; HTTP/2, on other servers, need not.
            undeclared = scope.get("http_version", "1.1") >= "2"
            for name, value in scope["headers"]:
                if name == b"content-length":
                    self._check_declared(int(value), scope)
                    undeclared = False
                elif name == b"transfer-encoding":
                    undeclared = True
            if undeclared:
                receive = _counted(receive, scope["exchange"])
        return self.app(scope, receive, send)

    def _check_declared(self, size: int, scope: Scope) -> None:
        """Reject *size* at once, but for a route that accepts more: it is looked up for a large body alone."""
        if size > (self._limits.max_bytes or 0):
            own = next(_limits_of_routes(scope), None) or self._limits
            _reject_above(size, own.over(self._limits))


def _limits_of_routes(scope: Scope) -> Iterator[BodyLimits | None]:
    """Yield those of each route that has the path of *scope*."""
    for route in getattr(scope.get("app"), "routes", ()):
        limits_of = getattr(route, "body_limits", None)
        if limits_of is not None and route.matches(scope)[0] is not Match.NONE:
            yield limits_of(scope["method"])


def _reject_above(size: int, limits: BodyLimits) -> None:
    if size > (limits.max_bytes or 0):
        raise ContentTooLarge(f"The body is larger than the {limits.max_bytes} bytes that are accepted.")


def _counted(receive: Receive, exchange: Exchange) -> Receive:
    """*receive*, which counts the body against the limits that *exchange* has by then."""
    total = 0

    async def receive_counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        _reject_above(total, exchange.body_limits)
        return message

    return receive_counted


class TimeoutMiddleware:
    """ASGI middleware; a request whose response has not begun after *seconds* is cancelled and rejected.

    A response that has begun (a stream) is exempt, and so is a request whose route is declared as untimed, or for
    uploads. One timer serves all requests: they expire in the order in which they came, so it is armed for the oldest
    alone and fires once per *seconds* under steady load, where `asyncio.timeout` would set and cancel a timer for each
    request.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self.app = app
        self._seconds = seconds
        self._running: dict[Exchange, asyncio.Task[object] | None] = {}
        """In the order in which they came; without its task is a request that was cancelled."""
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET_ROUTES:
            await self.app(scope, receive, send)
            return
        exchange: Exchange = scope["exchange"]
        # Our server says which task it is; asyncio would ask the system for the process id first, at 5 us a request.
        task: asyncio.Task[object] | None = scope.get("task") or asyncio.current_task()
        assert task is not None  # noqa: S101 - a server runs each request in a task
        self._running[exchange] = task
        if self._timer is None:
            self._timer = task.get_loop().call_later(self._seconds, self._expire, task.get_loop())
        try:
            await self.app(scope, receive, send)
        except asyncio.CancelledError:
            if self._running[exchange] is None and task.uncancel() == 0:
                raise RequestTimedOut(f"No response was ready within {self._seconds:g} seconds.") from None
            raise
        finally:
            del self._running[exchange]

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what is overdue and arm the timer for the oldest of the rest."""
        self._timer = None
        for exchange, task in self._running.items():
            remaining = exchange.started + self._seconds - perf_counter()
            if remaining > 0:
                self._timer = loop.call_later(remaining, self._expire, loop)
                return
            if task is not None and not exchange.status and not exchange.untimed:
                self._running[exchange] = None
                task.cancel()
