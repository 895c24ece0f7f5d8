"""How much a request may send, and how long it may take.

Health and metrics are exempt: they read no body, and must respond when nothing else does.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from ..errors import ContentTooLarge, RequestTimedOut
from .instrumentation import QUIET_ROUTES

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..context import Exchange


class BodySizeLimitMiddleware:
    """ASGI middleware; rejects a body by its declared size, and one without a declared size by what is counted."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in QUIET_ROUTES:
            # HTTP/1 says with a field that a body follows; HTTP/2, on other servers, need not.
            undeclared = scope.get("http_version", "1.1") >= "2"
            for name, value in scope["headers"]:
                if name == b"content-length":
                    self._reject_above(int(value))
                    undeclared = False
                elif name == b"transfer-encoding":
                    undeclared = True
            if undeclared:
                receive = self._counted(receive)
        await self.app(scope, receive, send)

    def _reject_above(self, size: int) -> None:
        if size > self._max_bytes:
            raise ContentTooLarge(f"The body is larger than the {self._max_bytes} bytes that are accepted.")

    def _counted(self, receive: Receive) -> Receive:
        total = 0

        async def receive_counted() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            self._reject_above(total)
            return message

        return receive_counted


class TimeoutMiddleware:
    """ASGI middleware; a request whose response has not begun after *seconds* is cancelled and rejected.

    A response that has begun (a stream) is exempt. One timer serves all requests: they expire in the order in which
    they came, so it is armed for the oldest alone and fires once per *seconds* under steady load, where
    `asyncio.timeout` would set and cancel a timer for each request.
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
            if task is not None and not exchange.status:
                self._running[exchange] = None
                task.cancel()
