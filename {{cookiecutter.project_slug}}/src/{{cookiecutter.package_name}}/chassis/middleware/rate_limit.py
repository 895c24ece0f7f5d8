"""How often one client may ask, before anything is done for it."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import structlog

from ..errors import TooManyRequests
from ..rate_limits import subscriber
from .instrumentation import QUIET_ROUTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

_log = structlog.get_logger("security")


class RateLimitMiddleware:
    """ASGI middleware; *hit* counts a request of a client and says how many seconds too early it came.

    A client is one key of `rate_limits.subscriber`. Health and metrics are exempt.
    """

    def __init__(self, app: ASGIApp, *, hit: Callable[[str], float], proxies_trusted: bool) -> None:
        self.app = app
        self._hit = hit
        self._warns = not proxies_trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"} and scope["path"] not in QUIET_ROUTES:
            self._check(scope)
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        client = scope["client"][0] if scope["client"] else ""
        seconds = self._hit(subscriber(client))
        if seconds:
            self._warn_of_unknown_proxy(scope)
            _log.warning("rate limit hit", user="", limit="client", client=client, outcome="rejected")
            raise TooManyRequests("This client asks too often.", retry_after_seconds=ceil(seconds))

    def _warn_of_unknown_proxy(self, scope: Scope) -> None:
        """Log once why every client may be rejected: all clients of a proxy that is not trusted count as one."""
        if self._warns and any(name == b"x-forwarded-for" for name, _ in scope["headers"]):
            self._warns = False
            _log.warning(
                "clients share one rate limit", hint="they come through a proxy: set TRUSTED_PROXIES to its address"
            )
