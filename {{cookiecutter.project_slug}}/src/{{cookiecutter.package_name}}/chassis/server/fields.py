"""Header fields of responses as bytes on the wire."""

from __future__ import annotations

import re

from ..shapes.headers import SECURITY_HEADERS
from ..shapes.problem import CONTENT_TYPE

KNOWN_LINES: dict[tuple[bytes, bytes], bytes] = {
    (name, value): name + b": " + value + b"\r\n"
    for name, value in (
        *SECURITY_HEADERS,
        (b"content-type", b"application/json"),
        (b"content-type", CONTENT_TYPE),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-cache"),
    )
}
"""Constants that need no check, because they stand in the source; a look-up is a tenth of the check's cost."""

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_checked_names: dict[bytes, None] = {}
_MOST_NAMES = 256


def checked_line(name: bytes, value: bytes) -> bytes:
    """The field as one line. Raises RuntimeError when it could forge another one (RFC 9110, section 5)."""
    if name not in _checked_names:
        if not _NAME.fullmatch(name):
            raise RuntimeError(f"invalid header name {name!r}")
        if len(_checked_names) < _MOST_NAMES:
            _checked_names[name] = None
    if _CONTROL.search(value):
        raise RuntimeError(f"invalid value of header {name!r}: a control character")
    return name + b": " + value + b"\r\n"
