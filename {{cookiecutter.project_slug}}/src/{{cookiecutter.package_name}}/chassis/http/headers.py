"""Headers that a route or a mount declares for its responses, in place of those of the chassis."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..shapes.headers import Overrides

if TYPE_CHECKING:
    from starlette.types import Scope

Headers = Mapping[str, str | None]
"""By name: a value replaces the header, None removes it."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_RESERVED = frozenset({b"content-length", b"content-type", b"transfer-encoding", b"x-request-id"})


def overrides(headers: Headers | None, place: str) -> Overrides | None:
    """*headers* of *place*, checked once.

    Raises ConfigurationError for what is no header, or differs between responses.
    """
    if not headers:
        return None
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or (value is not None and not _VALUE.fullmatch(value)):
            raise ConfigurationError(f"{place}: {name!r}: {value!r} is not a header")
        if name.lower().encode() in _RESERVED:
            raise ConfigurationError(f"{place}: the header {name!r} cannot be the same for all responses")
    named = {name.lower().encode(): value for name, value in headers.items()}
    pairs = tuple((name, value.encode("latin-1")) for name, value in named.items() if value is not None)
    return Overrides(frozenset(named), pairs)


def declare(scope: Scope, headers: Overrides | None) -> None:
    """Let the response to *scope* have *headers*; those of a mount further out hold where these say nothing."""
    exchange = scope.get("exchange")
    if headers is not None and exchange is not None:
        exchange.headers = headers.inside(exchange.headers)
