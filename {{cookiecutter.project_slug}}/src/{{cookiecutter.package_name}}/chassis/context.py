"""The request being served by the current task, for log lines and error bodies."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from .shapes.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from starlette.types import Message

    from .shapes.headers import Overrides

REQUEST_ID_PATTERN = "[A-Za-z0-9._-]{1,128}"
"""What a caller may send as X-Request-ID; anything else is replaced."""

_ACCEPTED_ID = re.compile(REQUEST_ID_PATTERN.encode())

_TRACE_PARENT = re.compile(
    rb"(?:00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    rb"|(?!00|ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?)"
)
"""W3C Trace Context, section 3.2; a version to come may have more members at its end."""

request_id: ContextVar[str] = ContextVar("request_id", default="")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")
"""Of the distributed trace that the request is a part of; empty if it names none."""


def given_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The client's own X-Request-ID among *headers*, whose names are in lower case, if it is one to accept."""
    for name, value in headers:
        if name == b"x-request-id" and _ACCEPTED_ID.fullmatch(value):
            return str(value, "ascii")
    return None


def given_trace_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The trace that the one valid `traceparent` among *headers* names; empty without one, or with several."""
    found = ""
    seen = False
    for name, value in headers:
        if name == b"traceparent":
            match = None if seen else _TRACE_PARENT.fullmatch(value)
            found = "" if match is None else (match[1] or match[2]).decode()
            seen = True
    return found


class RequestIds:
    """Cheap ids: a random prefix, then a count; unique as long as prefixes are (96 bits)."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(12)
        self._count = itertools.count(1)

    def next(self) -> str:
        return f"{self._prefix}-{next(self._count):x}"


class Ticket(Protocol):
    """The place that a request has among those that are served at once."""

    def becomes_stream(self) -> None:
        """Take a place among the streams instead; raises Overloaded."""

    def response_starts(self, start: Message) -> None:
        """The response *start* leaves the place to others, or is a stream."""


class Exchange:
    """One request and its response, shared by the core middleware through `scope["exchange"]`.

    `started` is by the clock of `time.perf_counter`; `status` is 0 until the response has started; `complete` says that
    its last byte was handed to the server; `outcome`, where it is not 0, is the status to record instead, because the
    client never saw a whole response. `headers` are those that the route, or the mounts around it, declare; `pending`
    holds the start and the body of a response that is sent if no exception follows. `body_limits` are those of the
    settings until the route has others; `ticket` is the request's place among those that are served at once.
    """

    __slots__ = (
        *("body_limits", "complete", "headers", "outcome", "pending", "request_id", "started", "status"),
        "ticket",
    )

    def __init__(self, identifier: str, started: float) -> None:
        self.request_id = identifier
        self.started = started
        self.status = 0
        self.complete = False
        self.outcome = 0
        self.headers: Overrides | None = None
        self.pending: tuple[Message, Message] | None = None
        self.body_limits = DEFAULT_LIMITS
        self.ticket: Ticket | None = None
