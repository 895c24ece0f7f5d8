"""The request being served by the current task, for log lines and error bodies."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol
from weakref import WeakSet

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

_FORWARDED = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip"})
_OF_ORIGIN = _FORWARDED | {b"x-request-id", b"traceparent"}

request_id: ContextVar[str] = ContextVar("request_id", default="")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")
"""Of the distributed trace that the request is a part of; empty if it names none."""


def given_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The client's own X-Request-ID among *headers*, whose names are in lower case, if it is one to accept."""
    for name, value in headers:
        if name == b"x-request-id" and _ACCEPTED_ID.fullmatch(value):
            return str(value, "ascii")
    return None


class Origin(NamedTuple):
    """What the headers of a request say of where it comes from."""

    request_id: str | None
    """The client's own, if it is one to accept."""
    trace_id: str
    """Of the one valid `traceparent`; empty without one, or with several."""
    forwarded: bool
    """Whether a proxy says that it forwards the request for another client."""


_DIRECT = Origin(None, "", forwarded=False)


def origin_of(headers: Sequence[tuple[bytes, bytes]]) -> Origin:
    """What *headers*, whose names are in lower case, say of where their request comes from.

    One loop for all of it: nearly every request pays for it, and finds nothing.
    """
    for name, _ in headers:
        if name in _OF_ORIGIN:
            return _origin_of([pair for pair in headers if pair[0] in _OF_ORIGIN])
    return _DIRECT


def _origin_of(found: Sequence[tuple[bytes, bytes]]) -> Origin:
    traces = [value for name, value in found if name == b"traceparent"]
    trace = _TRACE_PARENT.fullmatch(traces[0]) if len(traces) == 1 else None
    return Origin(
        given_request_id(found),
        "" if trace is None else (trace[1] or trace[2]).decode(),
        forwarded=any(name in _FORWARDED for name, _ in found),
    )


class RequestIds:
    """Cheap ids: a random prefix, then a count; unique as long as prefixes are (96 bits)."""

    _all: ClassVar[WeakSet[RequestIds]] = WeakSet()

    def __init__(self) -> None:
        self._all.add(self)
        self.renew()

    def renew(self) -> None:
        """Take another prefix."""
        self._prefix = secrets.token_hex(12)
        self._count = itertools.count(1)

    @classmethod
    def renew_all(cls) -> None:
        """Renew each: several processes may go on from one snapshot."""
        for each in cls._all:
            each.renew()

    def next(self) -> str:
        return f"{self._prefix}-{next(self._count):x}"


class Places(Protocol):
    """The places for what is served at once; the instrumentation gives the one of an exchange back."""

    def leave(self, exchange: Exchange) -> None:
        """Take the place back that *exchange* has here."""

    def becomes_stream(self, exchange: Exchange) -> None:
        """Move *exchange* to the streams; raises Overloaded."""

    def response_starts(self, exchange: Exchange, start: Message) -> None:
        """Let *exchange* leave, unless its response *start* begins a stream."""


class Exchange:
    """One request and its response, shared by the core middleware through `scope["exchange"]`.

    `started` is by the clock of `time.perf_counter`; `origin` is what its headers say of where it comes from; `status`
    is 0 until the response has started; `complete` says that its last byte was handed to the server; `outcome`, where
    it is not 0, is the status to record instead, because the client never saw a whole response. `headers` are those
    that the route, or the mounts around it, declare; `pending` holds the start and the body of a response that is sent
    if no exception follows. `body_limits` are those of the settings until the route has others; `places` are those of
    which it has one, while it counts as served; `untimed` says that its route bounds its time in another way.
    """

    __slots__ = (
        *("body_limits", "complete", "headers", "origin", "outcome", "pending", "places", "request_id", "started"),
        *("status", "untimed"),
    )

    def __init__(self, identifier: str, started: float, origin: Origin = _DIRECT) -> None:
        self.request_id = identifier
        self.started = started
        self.origin = origin
        self.status = 0
        self.complete = False
        self.outcome = 0
        self.headers: Overrides | None = None
        self.pending: tuple[Message, Message] | None = None
        self.body_limits = DEFAULT_LIMITS
        self.places: Places | None = None
        self.untimed = False
