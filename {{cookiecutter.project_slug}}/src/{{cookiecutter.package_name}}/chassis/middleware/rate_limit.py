"""How often one client may ask, before anything is done for it."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from ..errors import TooManyRequests
from ..rate_limits import report_limit, subscriber
from .instrumentation import QUIET_ROUTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send


class RateLimitMiddleware:
    """ASGI middleware; *hit* counts a request of a client and says how many seconds too early it came.

    A client is one key of `rate_limits.subscriber`. Health and metrics are exempt.
    """

    def __init__(self, app: ASGIApp, *, hit: Callable[[str], float]) -> None:
        self.app = app
        self._hit = hit

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand the request over, as `ProxiesMiddleware` does."""
        if scope["type"] in {"http", "websocket"} and scope["path"] not in QUIET_ROUTES:
            self._check(scope)
        return self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        client = scope["client"][0] if scope["client"] else ""
        seconds = self._hit(subscriber(client))
        if seconds:
            report_limit("client", client)
            raise TooManyRequests("Too many requests from this client.", retry_after_seconds=ceil(seconds))
