"""What the connections of one listener share."""

from __future__ import annotations

from collections.abc import MutableMapping
from email.utils import formatdate
from typing import Any

from uvicorn.server import ServerState

from ..context import RequestIds
from .options import ServerOptions

Scope = MutableMapping[str, Any]


class ListenerState(ServerState):
    """uvicorn's shared state (connections, tasks), our limits, and what all responses carry at the moment."""

    def __init__(self, options: ServerOptions) -> None:
        super().__init__()
        self.options = options
        self.admission = options.admission
        self.max_connections_per_address = 0
        self.draining = False
        """Every response asks the client to leave (`Connection: close`)."""
        self.keep_alive_lines = _keep_alive_lines(options.keep_alive_seconds)
        self.date_line = b""
        self.request_ids = RequestIds()
        """For responses that the application had no part in."""
        self.renew_date()

    def renew_date(self) -> None:
        """Renew the Date field; once a second is enough for all responses (RFC 9110, section 6.6.1)."""
        self.date_line = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"


def _keep_alive_lines(seconds: float) -> bytes:
    """The end of a head after which the client may use the connection again, and how long.

    One second less than we wait, so that a request that it sends at the last moment still meets an open connection.
    """
    timeout = int(seconds) - 1
    return b"connection: keep-alive\r\nkeep-alive: timeout=%d\r\n\r\n" % timeout if timeout > 0 else b"\r\n"
