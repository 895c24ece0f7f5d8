"""The hook of an error tracker: called with each unexpected exception, and never the cause of another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from .metrics import route_of

OnError = Callable[[BaseException, Mapping[str, Any]], None]

_log = structlog.get_logger("chassis.reports")


class ErrorReporter:
    """Hands exceptions to *on_error* with what is known of them; they are logged and counted elsewhere already."""

    def __init__(self, on_error: OnError | None = None) -> None:
        self._on_error = on_error

    def request(self, error: BaseException, scope: Mapping[str, Any]) -> None:
        """Report an exception of a request or a websocket: `transaction` is its method and its route's template."""
        method = scope.get("method", "WEBSOCKET")
        exchange = scope.get("exchange")
        self.report(
            error,
            where="request",
            transaction=f"{method} {route_of(scope)}",
            request_id=exchange.request_id if exchange is not None else "",
        )

    def report(self, error: BaseException, *, where: str, **context: object) -> None:
        """Report an exception of *where*: `request`, `background task`, `thread`, `loop`, `main` or `finaliser`."""
        if self._on_error is None:
            return
        try:
            self._on_error(error, {"where": where, **context})
        except Exception:  # noqa: BLE001 - the tracker's failure must not become the service's
            _log.exception("error tracker failed")
