"""The line of each request, which goes around structlog's chain: same shape, same masking, a fraction of the cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time_ns

from ..context import trace_id as current_trace_id
from .lines import ACCESS_LOGGER, LEVELS
from .writer import LogWriter

_LONGEST_QUEUED = 256


class AccessLog:
    """Writes one line per request to *writer*, unless its level is below *level*; *fields* gives it more members."""

    def __init__(
        self, writer: LogWriter, *, level: str = "info", fields: Callable[[], Mapping[str, object]] | None = None
    ) -> None:
        self._writer = writer
        self._fields = fields
        self._levels = frozenset(name for name, number in LEVELS.items() if number >= LEVELS[level])

    def line(  # noqa: PLR0913 - these are the fields of the line
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
    ) -> None:
        """Log a request and its response; never raises."""
        if level not in self._levels:
            return
        # Asked for now, in the task of the request: the writer's thread is another context.
        if self._fields is not None or current_trace_id.get():
            more = {"status": status, "duration_ms": round(duration_ms, 3), "client": client}
            known = {"event": "request", "request_id": request_id, "method": method, "path": path, "route": route}
            self._writer.write(self._writer.lines.line(level, ACCESS_LOGGER, known | more))
            return
        fields = (time_ns(), level, request_id, method, path, route, status, duration_ms, client)
        # The queue counts its bytes, and reckons with short fields.
        short = len(path) + len(client) <= _LONGEST_QUEUED
        self._writer.write(fields if short else self._writer.lines.finished(fields))
