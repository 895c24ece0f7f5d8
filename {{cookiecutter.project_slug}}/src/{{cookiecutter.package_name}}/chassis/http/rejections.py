"""What an error that says its status becomes on the wire: problem details, and the headers that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from starlette.exceptions import HTTPException

from .. import errors
from ..metrics import UNMATCHED
from ..shapes import problem
from ..shapes.headers import BODYLESS_STATUSES, CONTENT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..shapes.problem import ProblemDetails

ROUTER_DETAILS = {
    404: "No route has this path.",
    405: "The Allow header names the methods that this path has.",
}

_PHRASES = frozenset(status.phrase for status in HTTPStatus)

_log = structlog.get_logger("chassis.http.rejections")


@dataclass(frozen=True, slots=True)
class Rejection:
    """The response that replaces the one that was asked for."""

    problem: problem.ProblemType
    detail: str = ""
    status: int | None = None
    errors: tuple[errors.FieldError, ...] = ()
    headers: tuple[tuple[bytes, bytes], ...] = ()
    extensions: dict[str, Any] | None = None

    def written(self, problems: ProblemDetails, instance: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Its status, headers and body, which names the request id *instance*."""
        status = self.status or self.problem.status
        if status in BODYLESS_STATUSES:
            return status, list(self.headers), b""
        body = problems.body(
            self.problem,
            instance=instance,
            detail=self.detail,
            status=self.status,
            errors=self.errors,
            extensions=self.extensions,
        )
        length = str(len(body)).encode()
        return status, [(b"content-type", problem.CONTENT_TYPE), (b"content-length", length), *self.headers], body


def rejection_of(error: errors.ServiceError | HTTPException, route: str) -> Rejection:
    """The response to *error*, which a request of *route* raised."""
    return _of_service_error(error) if isinstance(error, errors.ServiceError) else _of_http_exception(error, route)


def _of_service_error(error: errors.ServiceError) -> Rejection:
    kind = error.problem
    if isinstance(error, errors.Unavailable) and not isinstance(error, errors.NotReady | errors.Overloaded):
        _log.warning("request rejected", problem=kind.slug, detail=error.detail, cause=_cause(error))
    return Rejection(
        kind,
        detail=error.detail,
        errors=error.errors if isinstance(error, errors.Invalid) else (),
        headers=tuple(_headers_of(error)),
    )


def _headers_of(error: errors.ServiceError) -> Iterator[tuple[bytes, bytes]]:
    if error.retry_after_seconds is not None:
        yield b"retry-after", str(error.retry_after_seconds).encode()
    if isinstance(error, errors.Unauthenticated):
        yield b"www-authenticate", error.challenge.encode()
    if isinstance(error, errors.ContentTooLarge):
        yield b"connection", b"close"


def _of_http_exception(error: HTTPException, route: str) -> Rejection:
    """What a library rejected: its status and headers stay, its text gives way to ours where it says no more.

    Its detail need not be a text: handlers that were written for FastAPI raise dictionaries.
    """
    detail = str(error.detail)
    if detail in _PHRASES:
        router = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED or route == UNMATCHED
        detail = ROUTER_DETAILS.get(error.status_code, "") if router else ""
    headers = ((name.lower().encode(), str(value).encode("latin-1")) for name, value in (error.headers or {}).items())
    return Rejection(
        problem.type_for_status(error.status_code),
        detail=detail,
        status=error.status_code,
        headers=tuple(pair for pair in headers if pair[0] not in CONTENT_FIELDS),
    )


def _cause(error: Exception) -> str | None:
    return f"{type(error.__cause__).__name__}: {error.__cause__}" if error.__cause__ else None
