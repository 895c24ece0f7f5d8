"""What the connections of one listener share."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, MutableMapping
from email.utils import formatdate
from typing import Any

from uvicorn.server import ServerState

from .options import ServerOptions

Scope = MutableMapping[str, Any]
OnException = Callable[[Exception, Scope], None]


class ListenerState(ServerState):
    """uvicorn's shared state (connections, tasks), our limits, and what all answers carry at the moment."""

    def __init__(self, options: ServerOptions, on_exception: OnException | None) -> None:
        super().__init__()
        self.options = options
        self.on_exception = on_exception
        self.draining = False
        """Every answer asks the client to leave (`Connection: close`)."""
        self.date_line = b""
        self._id_prefix = secrets.token_hex(12)
        self._id_count = itertools.count(1)
        self.renew_date()

    def renew_date(self) -> None:
        """Format the Date field anew; once a second is enough for all answers (RFC 9110, section 6.6.1)."""
        self.date_line = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"

    def next_request_id(self) -> str:
        """An id for an answer that the application had no part in."""
        return f"{self._id_prefix}-{next(self._id_count):x}"
