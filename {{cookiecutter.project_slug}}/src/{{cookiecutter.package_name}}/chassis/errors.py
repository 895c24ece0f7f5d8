"""What can go wrong, as the domain names it; each class carries the problem type that describes it to clients.

    ServiceError
    ├── MalformedRequest         the request cannot be parsed at all
    ├── Invalid                  it can be parsed, and its content is wrong
    ├── Unauthenticated          the route is for authenticated users
    ├── Forbidden                the caller is authenticated, and may not do this
    ├── NotFound
    ├── Conflict                 it contradicts what is stored
    ├── IdempotencyKeyInUse      the first request with this key is not done
    ├── IdempotencyKeyReused     the key came with another body before
    ├── PreconditionFailed       the resource has another version than If-Match names
    ├── PreconditionRequired     the route changes only what If-Match names
    ├── ContentTooLarge
    ├── UnsupportedMediaType
    ├── HostNotAllowed           the Host header names no host of ours
    ├── TooManyRequests
    ├── UpstreamFailed           another service, which this one needs for its response, failed
    ├── UpstreamTimedOut         it did not respond in time
    └── Unavailable              try again later
        ├── DatabaseUnavailable
        ├── RequestTimedOut
        ├── Overloaded           too much is served already
        ├── ShuttingDown
        └── NotReady             asked by a probe, so it is not worth a log line
    ConfigurationError           the service is put together wrongly: its owner has to mend it before it can start
    ClientGone                   the client left before its response was whole
    SchemaOutdated               the start fails: `migrate` has to run first
    StartupFailed                the start fails for a reason outside the code, with a hint what to do
    ResponseAborted              a failure after the response began: already logged, the server only cuts the connection

Services raise these; controllers do not catch them. `detail` is shown to the client, so it never holds a secret or
the text of a foreign exception. A service derives its own from the one that is nearest:

    class OutOfStock(Conflict):
        problem = ProblemType("out-of-stock", 409, "Out of stock")
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from .shapes import problem as problems
from .shapes.problem import FieldError, ProblemType

__all__ = [
    "ClientGone",
    "ConfigurationError",
    "Conflict",
    "ContentTooLarge",
    "DatabaseUnavailable",
    "FieldError",
    "Forbidden",
    "HostNotAllowed",
    "IdempotencyKeyInUse",
    "IdempotencyKeyReused",
    "Invalid",
    "MalformedRequest",
    "NotFound",
    "NotReady",
    "Overloaded",
    "PreconditionFailed",
    "PreconditionRequired",
    "ProblemType",
    "RequestTimedOut",
    "ResponseAborted",
    "SchemaOutdated",
    "ServiceError",
    "ShuttingDown",
    "StartupFailed",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnsupportedMediaType",
    "UpstreamFailed",
    "UpstreamTimedOut",
    "problem_types",
]


class ServiceError(Exception):
    """The root of what this service raises on purpose; `detail` is written for the client."""

    problem: ClassVar[ProblemType] = problems.CLIENT_ERROR
    """What clients see of it; the status stands in it."""
    retry_after_seconds: int | None = None
    """When the same request may succeed, for a rejection that passes."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class MalformedRequest(ServiceError):
    """The request's bytes cannot be parsed."""

    problem = problems.BAD_REQUEST


class Invalid(ServiceError):
    """The request was parsed and its content is wrong; `errors` names every wrong place."""

    problem = problems.INVALID

    def __init__(self, detail: str, errors: tuple[FieldError, ...]) -> None:
        super().__init__(detail)
        self.errors = errors


class Unauthenticated(ServiceError):
    """The route is for authenticated users; `challenge` says how to become one (RFC 9110, section 11.6.1)."""

    problem = problems.UNAUTHENTICATED

    def __init__(self, detail: str, *, challenge: str) -> None:
        super().__init__(detail)
        self.challenge = challenge


class Forbidden(ServiceError):
    """The caller is authenticated, and is not among those who may do this."""

    problem = problems.FORBIDDEN


class NotFound(ServiceError):
    """What was asked for does not exist, or not for this caller."""

    problem = problems.NOT_FOUND


class Conflict(ServiceError):
    """The request contradicts what is stored."""

    problem = problems.CONFLICT


class IdempotencyKeyInUse(ServiceError):
    """Another request with the same Idempotency-Key is being processed."""

    problem = problems.IDEMPOTENCY_KEY_IN_USE
    retry_after_seconds = 1

    def __init__(self) -> None:
        super().__init__("A request with this Idempotency-Key is still being processed.")


class IdempotencyKeyReused(ServiceError):
    """The Idempotency-Key belongs to a request with another body."""

    problem = problems.IDEMPOTENCY_KEY_REUSED

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key came with another body before: another request needs another key.")


class PreconditionFailed(ServiceError):
    """The resource has changed since the client read it."""

    problem = problems.PRECONDITION_FAILED

    def __init__(self) -> None:
        super().__init__("The resource has another ETag than If-Match names: read it again before you change it.")


class PreconditionRequired(ServiceError):
    """The route changes a resource only in the version that the client has read."""

    problem = problems.PRECONDITION_REQUIRED

    def __init__(self) -> None:
        super().__init__("This request needs If-Match, with the ETag of what it changes.")


class ContentTooLarge(ServiceError):
    """The body is larger than the service accepts."""

    problem = problems.CONTENT_TOO_LARGE


class UnsupportedMediaType(ServiceError):
    """The body's content type is not the one the route reads."""

    problem = problems.UNSUPPORTED_MEDIA_TYPE


class HostNotAllowed(ServiceError):
    """The Host header is missing, repeated, or names a host that is not ours."""

    problem = problems.HOST_NOT_ALLOWED


class TooManyRequests(ServiceError):
    """The caller has used up what it may ask for; in *retry_after_seconds* it has some again."""

    problem = problems.TOO_MANY_REQUESTS

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class UpstreamFailed(ServiceError):
    """Another service failed, or responded with what cannot be used; how stands in the log."""

    problem = problems.BAD_GATEWAY


class UpstreamTimedOut(ServiceError):
    """Another service did not respond in time."""

    problem = problems.GATEWAY_TIMEOUT


class Unavailable(ServiceError):
    """The service cannot respond now."""

    problem = problems.UNAVAILABLE

    def __init__(self, detail: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, is locked, or has no free connection."""

    problem = problems.DATABASE_UNAVAILABLE


class RequestTimedOut(Unavailable):
    """The request took longer than REQUEST_TIMEOUT_SECONDS."""

    problem = problems.TIMED_OUT


class ShuttingDown(Unavailable):
    """The service ends, and with it a request that goes on until then, or that overran its deadline."""

    problem = problems.SHUTTING_DOWN

    def __init__(self) -> None:
        super().__init__("The service stopped before it could respond.")


class Overloaded(Unavailable):
    """As much is served already as MAX_CONCURRENT_REQUESTS or MAX_STREAMS allow; logged once in a while."""


class NotReady(Unavailable):
    """The service should get no requests now; why stands in the log."""

    def __init__(self) -> None:
        super().__init__("The service is not ready for requests.")


class ConfigurationError(Exception):
    """The service is put together wrongly, which stops its start; the message says where, and what to write."""


class ClientGone(OSError):
    """The client closed the connection before its response was complete; `send` raises it."""


class ResponseAborted(Exception):
    """The response cannot be finished and the failure is logged: leave the transfer visibly incomplete."""


class SchemaOutdated(Exception):
    """The database's schema is not the one that this version of the service was written for."""


class StartupFailed(Exception):
    """The service cannot start, and not because of its code: the message says why, *hint* what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def problem_types() -> dict[str, ProblemType]:
    """Every type of the chassis, and of each error class that has been imported, by slug.

    Raises ValueError for a slug that two types share.
    """
    found: dict[str, ProblemType] = {}
    for kind in (*problems.CHASSIS_TYPES, *(error.problem for error in _subclasses(ServiceError))):
        if found.setdefault(kind.slug, kind) != kind:
            raise ValueError(f"the problem type {kind.slug!r} is declared twice: {found[kind.slug]} and {kind}")
    return found


def _subclasses(error: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for subclass in error.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
