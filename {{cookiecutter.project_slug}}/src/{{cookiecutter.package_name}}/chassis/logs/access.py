"""The line of each request, which goes around structlog's chain: same shape, same masking, a fraction of the cost."""

from __future__ import annotations

from time import time_ns

from .lines import LEVELS
from .writer import LogWriter

_LONGEST_QUEUED = 256


class AccessLog:
    """Writes one line per request to *writer*, unless its level is below *level*."""

    def __init__(self, writer: LogWriter, *, level: str = "info") -> None:
        self._writer = writer
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
        """Log that a request was answered; never raises."""
        if level not in self._levels:
            return
        fields = (time_ns(), level, request_id, method, path, route, status, duration_ms, client)
        # The queue counts its bytes, and reckons with short fields.
        short = len(path) + len(client) <= _LONGEST_QUEUED
        self._writer.write(fields if short else self._writer.lines.finished(fields))
