"""What can go wrong, as the domain names it; `models/problem.py` maps each to a status.

    ServiceError
    ├── Unreadable               the request cannot be parsed at all
    ├── Invalid                  it can be parsed, and its content is wrong
    ├── Unauthenticated          nobody knows who is asking
    ├── Forbidden                the caller is known, and may not do this
    ├── NotFound
    ├── Conflict                 it contradicts what is stored
    ├── ContentTooLarge
    ├── UnsupportedMediaType
    ├── HostRefused              the Host header names no host of ours
    ├── TooManyRequests          the caller asks too often
    └── Unavailable              try again later
        ├── DatabaseUnavailable
        ├── RequestTimedOut
        ├── ShuttingDown
        └── NotReady             asked by a probe, so it is not worth a log line
    ClientGone                   the client left before its answer was whole
    SchemaOutdated               the start is refused: `migrate` has to run first
    ResponseAborted              a failure after the answer began: already logged, the server only cuts the connection

Services raise these; controllers do not catch them. `detail` is shown to the client, so it never holds a secret or
the text of a foreign exception.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong value: `pointer` is a JSON pointer into the body (RFC 6901) or a parameter's name after `?`."""

    pointer: str
    detail: str


class ServiceError(Exception):
    """The root of what this service raises on purpose; `detail` is written for the client."""

    retry_after_seconds: int | None = None
    """When the same request may succeed, for a refusal that passes."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Unreadable(ServiceError):
    """The request's bytes cannot be parsed."""


class Invalid(ServiceError):
    """The request was parsed and its content is wrong; `errors` names every wrong place."""

    def __init__(self, detail: str, errors: tuple[FieldError, ...]) -> None:
        super().__init__(detail)
        self.errors = errors


class Unauthenticated(ServiceError):
    """The route is for known callers; `challenge` says how to become one (RFC 9110, section 11.6.1)."""

    def __init__(self, detail: str, *, challenge: str) -> None:
        super().__init__(detail)
        self.challenge = challenge


class Forbidden(ServiceError):
    """The caller is known, and is not among those who may do this."""


class NotFound(ServiceError):
    """What was asked for does not exist, or not for this caller."""


class Conflict(ServiceError):
    """The request contradicts what is stored."""


class ContentTooLarge(ServiceError):
    """The body is larger than the service accepts."""


class UnsupportedMediaType(ServiceError):
    """The body's content type is not the one the route reads."""


class HostRefused(ServiceError):
    """The Host header is missing, repeated, or names a host that is not ours."""


class TooManyRequests(ServiceError):
    """The caller has used up what it may ask for; in *retry_after_seconds* it has some again."""

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(ServiceError):
    """The service cannot answer now."""

    def __init__(self, detail: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, is locked, or has no free connection."""


class RequestTimedOut(Unavailable):
    """The request took longer than REQUEST_TIMEOUT_SECONDS."""


class ShuttingDown(Unavailable):
    """The request was cut off by the shutdown deadline."""

    def __init__(self) -> None:
        super().__init__("The service stopped before it could answer.")


class NotReady(Unavailable):
    """The service should get no requests now; why stands in the log."""

    def __init__(self) -> None:
        super().__init__("The service is not ready for requests.")


class ClientGone(OSError):
    """The client closed the connection before its answer was complete; `send` raises it."""


class ResponseAborted(Exception):
    """The answer cannot be finished and the failure is logged: leave the transfer visibly incomplete."""


class SchemaOutdated(Exception):
    """The database's schema is not the one that this version of the service was written for."""
