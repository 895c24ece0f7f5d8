"""The security headers of responses, by what the response holds (OWASP REST Security Cheat Sheet, CSP Level 3).

    JSON, problem details, text, nothing    loads nothing, is never stored
    pages and SVG, XML                      loads assets of its own origin, submits forms to it
    style sheets, scripts, images, files    no policy of their own but that no page of others frames them

A response with a validator (ETag, Last-Modified) may be stored; one with JSON has to be revalidated then. A header that
the handler sets is kept, and `Overrides` are what a route or a mount declares instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Pairs = tuple[tuple[bytes, bytes], ...]

_NO_STORE = (b"cache-control", b"no-store")
_COMMON: Pairs = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
SECURITY_HEADERS: Pairs = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    _NO_STORE,
)
"""Of JSON, problem details and the server's own rejections."""

PAGE_HEADERS: Pairs = (
    *_COMMON,
    # With `no-referrer`, browsers would send the page's own forms with `Origin: null`.
    (b"referrer-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
    ),
    _NO_STORE,
)
FILE_HEADERS: Pairs = (
    *_COMMON,
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    _NO_STORE,
)
_NOT_MODIFIED_HEADERS: Pairs = ((b"x-content-type-options", b"nosniff"),)
"""Of a 304, whose headers would replace those of the stored response (RFC 9111, section 4.3.4)."""

TRANSPORT_SECURITY = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
"""Sent over TLS alone; RFC 6797, section 7.2, forbids it elsewhere."""

CONTENT_FIELDS = frozenset({b"content-type", b"content-length", b"transfer-encoding"})
"""They describe a body, and so leave with the one that is replaced."""
BODYLESS_STATUSES = frozenset({204, 304})
"""Without a body, whatever the headers say (RFC 9112, section 6.3)."""

_VALIDATORS = frozenset({b"etag", b"last-modified"})
_PAGES = frozenset({b"text/html", b"application/xhtml+xml", b"image/svg+xml", b"text/xml", b"application/xml"})
_DATA = frozenset({b"", b"application/json", b"text/plain", b"text/event-stream"})
_NOT_MODIFIED = 304
_FIRST_ERROR = 400


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a route or a mount declares for its responses: the values of *pairs*, and none of the other *names*."""

    names: frozenset[bytes]
    pairs: Pairs

    def inside(self, outer: Overrides | None) -> Overrides:
        """Those of *outer*, except where these say otherwise."""
        if outer is None:
            return self
        kept = tuple(pair for pair in outer.pairs if pair[0] not in self.names)
        return Overrides(outer.names | self.names, (*kept, *self.pairs))


def completed(
    status: int, headers: Iterable[tuple[bytes, bytes]], request_id: bytes, scheme: str, declared: Overrides | None
) -> list[tuple[bytes, bytes]]:
    """*headers* of a response with the request id and the security headers that fit its content."""
    if type(headers) is not list:  # ASGI takes any iterable
        headers = list(headers)
    result = _plain(headers) if declared is None and status != _NOT_MODIFIED else None
    if result is None:
        result = _adapted(status, headers, declared)
    result.append((b"x-request-id", request_id))
    if scheme == "https" and not any(name == TRANSPORT_SECURITY[0] for name, _ in result):
        removed = declared is not None and TRANSPORT_SECURITY[0] in declared.names
        result += () if removed else (TRANSPORT_SECURITY,)
    return result


def _plain(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]] | None:
    """*headers* of a response that says nothing but its length and type, as nearly all do, completed.

    Or that says its version before them, as `version_headers` and Starlette write it.
    """
    fitting = _BY_CONTENT_TYPE
    if len(headers) == 2:  # noqa: PLR2004 - those two, in Starlette's order
        (first, _), (second, content_type) = headers
    elif len(headers) == 4 and headers[0][0] == b"etag" and headers[1] == _NO_STORE:  # noqa: PLR2004 - likewise
        (first, _), (second, content_type) = headers[2], headers[3]
        fitting = _VERSIONED_BY_CONTENT_TYPE
    else:
        return None
    if first != b"content-length" or second != b"content-type":
        return None
    added = fitting.get(content_type)
    return None if added is None else [*headers, *added]


def _fitting(content_type: bytes) -> Pairs:
    kind = content_type.partition(b";")[0].strip().lower()
    if kind in _PAGES:
        return PAGE_HEADERS
    return SECURITY_HEADERS if kind in _DATA or kind.endswith(b"+json") else FILE_HEADERS


_BY_CONTENT_TYPE: dict[bytes, Pairs] = {
    kind: _fitting(kind)
    for kind in (
        *(b"application/json", b"application/problem+json", b"text/plain; charset=utf-8"),
        *(b"text/html; charset=utf-8", b"text/event-stream", b""),
    )
}

_VERSIONED_BY_CONTENT_TYPE: dict[bytes, Pairs] = {
    kind: tuple(pair for pair in added if pair is not _NO_STORE) for kind, added in _BY_CONTENT_TYPE.items()
}
"""Without the last one, which such a response says itself."""


def _adapted(
    status: int, headers: Sequence[tuple[bytes, bytes]], declared: Overrides | None
) -> list[tuple[bytes, bytes]]:
    """*headers* with those that fit their content and that they leave open, after what was *declared*."""
    own = dict(headers)
    added = _fitting(own.get(b"content-type", b""))
    if status == _NOT_MODIFIED:
        added = _NOT_MODIFIED_HEADERS
    elif not _VALIDATORS.isdisjoint(own):
        kept = tuple(pair for pair in added if pair is not _NO_STORE)
        added = (*kept, (b"cache-control", b"no-cache")) if added is SECURITY_HEADERS else kept
    result = [pair for pair in headers if pair[0] != b"x-request-id"]
    result += [pair for pair in added if pair[0] not in own]
    if declared is None or (b"content-type", b"application/problem+json") in headers:
        return result
    # What a page is cached for is no good for the error in its place.
    names = declared.names - {b"cache-control"} if status >= _FIRST_ERROR else declared.names
    return [
        *(pair for pair in result if pair[0] not in names),
        *(pair for pair in declared.pairs if pair[0] in names),
    ]
