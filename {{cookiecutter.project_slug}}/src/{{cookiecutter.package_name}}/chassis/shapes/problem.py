"""Problem details (RFC 9457): the types of the chassis, and how an error becomes a document.

A type belongs to the error that it describes: `errors.py` names it there. Each has a page in the service's
docs/problems.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

CONTENT_TYPE = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong value: `pointer` is a JSON pointer into the body (RFC 6901) or a parameter's name after `?`."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of problem: `slug` names its page, `title` never changes between occurrences."""

    slug: str
    status: int
    title: str


BAD_REQUEST = ProblemType("bad-request", 400, "Malformed request")
HOST_NOT_ALLOWED = ProblemType("host-not-allowed", 400, "Host not allowed")
UNAUTHENTICATED = ProblemType("unauthenticated", 401, "Authentication required")
FORBIDDEN = ProblemType("forbidden", 403, "Permission denied")
NOT_FOUND = ProblemType("not-found", 404, "Resource not found")
METHOD_NOT_ALLOWED = ProblemType("method-not-allowed", 405, "Method not allowed")
REQUEST_TIMEOUT = ProblemType("request-timeout", 408, "Request timeout")
CONFLICT = ProblemType("conflict", 409, "Conflict with the current state")
IDEMPOTENCY_KEY_IN_USE = ProblemType("idempotency-key-in-use", 409, "Idempotency-Key in use")
PRECONDITION_FAILED = ProblemType("precondition-failed", 412, "Precondition failed")
CONTENT_TOO_LARGE = ProblemType("content-too-large", 413, "Content too large")
URI_TOO_LONG = ProblemType("uri-too-long", 414, "URI too long")
UNSUPPORTED_MEDIA_TYPE = ProblemType("unsupported-media-type", 415, "Unsupported media type")
INVALID = ProblemType("invalid", 422, "Validation failed")
IDEMPOTENCY_KEY_REUSED = ProblemType("idempotency-key-reused", 422, "Idempotency-Key reused")
PRECONDITION_REQUIRED = ProblemType("precondition-required", 428, "Precondition required")
TOO_MANY_REQUESTS = ProblemType("too-many-requests", 429, "Too many requests")
HEADERS_TOO_LARGE = ProblemType("headers-too-large", 431, "Request header fields too large")
CLIENT_ERROR = ProblemType("client-error", 400, "Request rejected")
INTERNAL = ProblemType("internal", 500, "Internal Server Error")
NOT_IMPLEMENTED = ProblemType("not-implemented", 501, "Not implemented")
BAD_GATEWAY = ProblemType("bad-gateway", 502, "Upstream service failed")
UNAVAILABLE = ProblemType("unavailable", 503, "Service unavailable")
DATABASE_UNAVAILABLE = ProblemType("database-unavailable", 503, "Database unavailable")
TIMED_OUT = ProblemType("timed-out", 503, "Request processing timed out")
SHUTTING_DOWN = ProblemType("shutting-down", 503, "Service shutting down")
GATEWAY_TIMEOUT = ProblemType("gateway-timeout", 504, "Upstream service timed out")
SERVER_ERROR = ProblemType("server-error", 500, "Server error")

CHASSIS_TYPES = (
    BAD_REQUEST,
    HOST_NOT_ALLOWED,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    REQUEST_TIMEOUT,
    CONFLICT,
    IDEMPOTENCY_KEY_IN_USE,
    PRECONDITION_FAILED,
    CONTENT_TOO_LARGE,
    URI_TOO_LONG,
    UNSUPPORTED_MEDIA_TYPE,
    INVALID,
    IDEMPOTENCY_KEY_REUSED,
    PRECONDITION_REQUIRED,
    TOO_MANY_REQUESTS,
    HEADERS_TOO_LARGE,
    CLIENT_ERROR,
    INTERNAL,
    NOT_IMPLEMENTED,
    BAD_GATEWAY,
    UNAVAILABLE,
    DATABASE_UNAVAILABLE,
    TIMED_OUT,
    SHUTTING_DOWN,
    GATEWAY_TIMEOUT,
    SERVER_ERROR,
)
"""Of several with one status, the first is the general one."""

_BY_STATUS: dict[int, ProblemType] = {}
for _type in CHASSIS_TYPES:
    _BY_STATUS.setdefault(_type.status, _type)


def type_for_status(status: int) -> ProblemType:
    """The general type for *status*; one without a type of its own gets that of its hundred."""
    return _BY_STATUS.get(status) or (CLIENT_ERROR if status < HTTPStatus.INTERNAL_SERVER_ERROR else SERVER_ERROR)


class ProblemDetails:
    """Writes the documents of one service.

    A type's `type` member is a URN with the *service* in it, because a service does not know its public host name.
    """

    def __init__(self, service: str) -> None:
        self._prefix = f"urn:problem-type:{service}:"

    def body(  # noqa: PLR0913 - the members of RFC 9457, all but two optional
        self,
        problem: ProblemType,
        *,
        instance: str,
        detail: str = "",
        status: int | None = None,
        errors: tuple[FieldError, ...] = (),
        extensions: dict[str, Any] | None = None,
    ) -> bytes:
        """The JSON document; *instance* is the request id, *status* is for a type that stands for a whole hundred."""
        document: dict[str, Any] = {
            "type": self._prefix + problem.slug,
            "title": problem.title,
            "status": status or problem.status,
            "detail": detail or problem.title,
            "instance": instance,
        }
        if errors:
            document["errors"] = [{"pointer": error.pointer, "detail": error.detail} for error in errors]
        if extensions:
            document |= extensions
        return orjson.dumps(document)
