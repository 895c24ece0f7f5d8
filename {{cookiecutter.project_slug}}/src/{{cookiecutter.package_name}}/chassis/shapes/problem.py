"""Problem documents (RFC 9457) and the one registry of their types; each has a page in docs/problems."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from ... import SERVICE_NAME
from ..errors import Conflict, ContentTooLarge, DatabaseUnavailable, FieldError, Forbidden, HostRefused, Invalid, NotFound, RequestTimedOut, ServiceError, ShuttingDown, TooManyRequests, Unauthenticated, Unavailable, Unreadable, UnsupportedMediaType

CONTENT_TYPE = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of problem: `slug` names its page, `title` never changes between occurrences."""

    slug: str
    status: int
    title: str

    @property
    def uri(self) -> str:
        """The `type` member: a URN, because a service does not know its public host name."""
        return f"urn:problem-type:{SERVICE_NAME}:{self.slug}"


BAD_REQUEST = ProblemType("bad-request", 400, "The request cannot be read")
HOST_REFUSED = ProblemType("host-refused", 400, "The Host header is not accepted")
UNAUTHENTICATED = ProblemType("unauthenticated", 401, "Nobody knows who is asking")
FORBIDDEN = ProblemType("forbidden", 403, "The caller may not do this")
NOT_FOUND = ProblemType("not-found", 404, "Nothing is here")
METHOD_NOT_ALLOWED = ProblemType("method-not-allowed", 405, "The method is not supported here")
REQUEST_TIMEOUT = ProblemType("request-timeout", 408, "The request did not arrive in time")
CONFLICT = ProblemType("conflict", 409, "The request contradicts what is stored")
CONTENT_TOO_LARGE = ProblemType("content-too-large", 413, "The body is too large")
URI_TOO_LONG = ProblemType("uri-too-long", 414, "The address is too long")
UNSUPPORTED_MEDIA_TYPE = ProblemType("unsupported-media-type", 415, "The content type is not supported")
INVALID = ProblemType("invalid", 422, "The request was read and is wrong")
TOO_MANY_REQUESTS = ProblemType("too-many-requests", 429, "The caller asks too often")
HEADERS_TOO_LARGE = ProblemType("headers-too-large", 431, "The header fields are too large")
CLIENT_ERROR = ProblemType("client-error", 400, "The request was refused")
INTERNAL = ProblemType("internal", 500, "Internal Server Error")
NOT_IMPLEMENTED = ProblemType("not-implemented", 501, "The method is not implemented")
UNAVAILABLE = ProblemType("unavailable", 503, "The service cannot answer now")
DATABASE_UNAVAILABLE = ProblemType("database-unavailable", 503, "The database cannot be reached")
TIMED_OUT = ProblemType("timed-out", 503, "The request took too long")
SHUTTING_DOWN = ProblemType("shutting-down", 503, "The service is shutting down")
SERVER_ERROR = ProblemType("server-error", 500, "The service failed to answer")

REGISTRY: dict[str, ProblemType] = {
    value.slug: value for value in list(globals().values()) if isinstance(value, ProblemType)
}

_BY_STATUS: dict[int, ProblemType] = {}
for _type in REGISTRY.values():
    _BY_STATUS.setdefault(_type.status, _type)

TYPE_OF_ERROR: dict[type[ServiceError], ProblemType] = {
    Unreadable: BAD_REQUEST,
    HostRefused: HOST_REFUSED,
    Unauthenticated: UNAUTHENTICATED,
    Forbidden: FORBIDDEN,
    NotFound: NOT_FOUND,
    Conflict: CONFLICT,
    ContentTooLarge: CONTENT_TOO_LARGE,
    UnsupportedMediaType: UNSUPPORTED_MEDIA_TYPE,
    Invalid: INVALID,
    TooManyRequests: TOO_MANY_REQUESTS,
    Unavailable: UNAVAILABLE,
    DatabaseUnavailable: DATABASE_UNAVAILABLE,
    RequestTimedOut: TIMED_OUT,
    ShuttingDown: SHUTTING_DOWN,
}


def type_of_error(error: ServiceError) -> ProblemType:
    """The type of what *error* tells; a class without a type of its own has that of the one it derives from."""
    return next(TYPE_OF_ERROR[cls] for cls in type(error).__mro__ if cls in TYPE_OF_ERROR)


def type_for_status(status: int) -> ProblemType:
    """The general type for *status*; one without a type of its own gets that of its hundred."""
    return _BY_STATUS.get(status) or (CLIENT_ERROR if status < HTTPStatus.INTERNAL_SERVER_ERROR else SERVER_ERROR)


def problem_body(  # noqa: PLR0913 - the members of RFC 9457, all but two optional
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
        "type": problem.uri,
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
