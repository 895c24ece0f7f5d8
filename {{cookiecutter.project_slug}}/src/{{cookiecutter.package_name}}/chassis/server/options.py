"""The server's settings as plain values; the seconds may be fractions."""

from __future__ import annotations

from collections.abc import Callable, Collection, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from ..shapes.problem import ProblemDetails
from .admission import Admission


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Where to listen, and how long and how much to take from a client."""

    problems: ProblemDetails
    """Writes the documents of what the server itself rejects."""
    host: str
    port: int
    """0 lets the system choose; the `listening` log line names the port."""
    operations_port: int | None = None
    drain_delay_seconds: float = 0.0
    """Keep serving after the signal; longer than the balancer takes to notice that readiness fails."""
    shutdown_deadline_seconds: float = 10.0
    """For requests in flight after the drain delay."""
    teardown_seconds: float = 5.0
    """For the application's own resources to close."""
    max_header_bytes: int = 32_768
    max_header_fields: int = 100
    max_target_bytes: int = 8_192
    header_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0
    write_timeout_seconds: float = 30.0
    keep_alive_seconds: float = 75.0
    """How long a connection without a request is kept; longer than a proxy in front of it keeps it."""
    websocket_max_bytes: int = 65_536
    max_connections_per_address: int = 0
    """Of the main listener; 0 for no limit."""
    admission: Admission = field(default_factory=Admission)
    """Counts the connections of all listeners."""
    cors_origins: Collection[str] = ()
    """Those whose web pages may read what the server itself responds; `*` for all."""
    on_rejection: Callable[[str, int], None] | None = None
    """Called with the method and the status of each request, or websocket's handshake, that the server rejected."""
    on_exception: Callable[[BaseException, MutableMapping[str, Any]], None] | None = None
    """Called with each exception that no middleware caught, and the scope of its request; it is logged already."""

    @property
    def longest_shutdown_seconds(self) -> float:
        """From the signal to the end of the process, whatever clients and handlers do."""
        return self.drain_delay_seconds + self.shutdown_deadline_seconds + self.teardown_seconds + 1.0
