"""Responses of the server itself: problem details, as those of the application."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from http import HTTPStatus

import httptools
import structlog

from ..shapes import problem
from ..shapes.headers import SECURITY_HEADERS
from ..shapes.problem import ProblemDetails, ProblemType

log = structlog.get_logger("chassis.server.rejection")

OTHER_METHOD = "other"

STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_METHOD_AND_SPACE = re.compile(rb"[\r\n]*[!#$%&'*+.^_`|~0-9A-Za-z-]+ ")
_METHOD_OF_RTSP = "Invalid method for HTTP/x.x request"
"""What the parser says of a method that it knows from another protocol."""
_SECURITY_LINES = b"".join(name + b": " + value + b"\r\n" for name, value in SECURITY_HEADERS)


class Rejected(Exception):
    """The request is rejected before the application sees it; *detail* is for the client."""

    def __init__(self, kind: ProblemType, detail: str, *, status: int = 0) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.status = status or kind.status


def status_line(status: int) -> bytes:
    """The first line of a response; an unregistered status has no phrase."""
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n".encode()


def problem_response(  # noqa: PLR0913 - the parts of the response
    problems: ProblemDetails,
    rejected: Rejected,
    request_id: str,
    date_line: bytes,
    *,
    retry_after_seconds: int | None = None,
    bodyless: bool = False,
    more_lines: bytes = b"",
) -> bytes:
    """The whole response on the wire; it asks the client to close the connection. *more_lines* are fields."""
    body = problems.body(rejected.kind, instance=request_id, detail=rejected.detail, status=rejected.status)
    retry = f"retry-after: {retry_after_seconds}\r\n" if retry_after_seconds is not None else ""
    head = (
        f"content-type: {problem.CONTENT_TYPE.decode()}\r\ncontent-length: {len(body)}\r\n"
        f"x-request-id: {request_id}\r\n{retry}connection: close\r\n\r\n"
    )
    parts = [status_line(rejected.status), date_line, _SECURITY_LINES, more_lines, head.encode()]
    return b"".join(parts if bodyless else [*parts, body])


def cors_lines(origins: Collection[str], headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """What lets a page of one of *origins* read a response, if it is named in *headers*, as far as they were read."""
    if not origins:
        return b""
    given = [value for name, value in headers if name == b"origin"]
    origin = given[0].decode("latin-1") if len(given) == 1 else ""
    if "*" in origins and origin:
        return b"access-control-allow-origin: *\r\naccess-control-expose-headers: X-Request-ID, Retry-After\r\n"
    if origin not in origins:
        return b"vary: Origin\r\n"
    allowed = f"vary: Origin\r\naccess-control-allow-origin: {origin}\r\n"
    return allowed.encode("latin-1") + b"access-control-expose-headers: X-Request-ID, Retry-After\r\n"


def log_rejection(rejected: Rejected, *, request_id: str, method: str, client: tuple[str, int] | None) -> None:
    """Write the one line about a request of which the application writes none."""
    log.info("request rejected", request_id=request_id, method=method, status=rejected.status,
             problem=rejected.kind.slug, detail=rejected.detail, client=client[0] if client else "")  # fmt: skip


def rejection_of(error: httptools.HttpParserError, received: bytes) -> Rejected:
    """Why the parser stopped at *received*; its own words name the place and repeat nothing of the input."""
    if isinstance(error.__context__, Rejected):  # raised by us, inside one of its callbacks
        return error.__context__
    unknown = isinstance(error, httptools.HttpParserInvalidMethodError) and _METHOD_AND_SPACE.match(received)
    if unknown or str(error) == _METHOD_OF_RTSP:
        return Rejected(problem.NOT_IMPLEMENTED, "The method is not one that this server knows.")
    if isinstance(error, httptools.HttpParserCallbackError):
        log.error("unhandled exception", exc_info=error)
        return Rejected(problem.INTERNAL, "")
    return Rejected(problem.BAD_REQUEST, f"The request is not valid HTTP/1.1: {error}.")
