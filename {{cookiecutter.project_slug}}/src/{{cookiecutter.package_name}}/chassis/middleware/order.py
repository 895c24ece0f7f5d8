"""The order that a service's middleware must have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from .concurrency import ConcurrencyLimitMiddleware
from .errors import ErrorMiddleware
from .hosts import AllowedHostsMiddleware
from .instrumentation import InstrumentationMiddleware
from .limits import BodySizeLimitMiddleware, TimeoutMiddleware
from .rate_limit import RateLimitMiddleware

if TYPE_CHECKING:
    from starlette.middleware import Middleware

_WHERE = "middleware/__init__.py"
_INSIDE_ERRORS = (
    *(AllowedHostsMiddleware, RateLimitMiddleware),
    *(ConcurrencyLimitMiddleware, BodySizeLimitMiddleware, TimeoutMiddleware),
)
"""They reject by raising, which `ErrorMiddleware` turns into a response."""


def require_order(layers: Sequence[Middleware], *, hardened: bool) -> None:
    """Raise ConfigurationError unless *layers*, outermost first, keep what the other parts rely on.

    Instrumentation is the outermost, the errors stand inside it, the limits inside those; a *hardened* environment
    checks the Host.
    """
    kinds: list[Any] = [layer.cls for layer in layers]
    for kind in (InstrumentationMiddleware, ErrorMiddleware, BodySizeLimitMiddleware):
        if kinds.count(kind) != 1:
            raise _wrong(f"{kind.__name__} stands {kinds.count(kind)} times in the stack, and must stand there once")
    if kinds[0] is not InstrumentationMiddleware:
        raise _wrong(
            f"{kinds[0].__name__} is the outermost layer (place 1): InstrumentationMiddleware must be, so that every "
            "response has a request id, an access line and metrics"
        )
    place_of_errors = kinds.index(ErrorMiddleware)
    for place, kind in enumerate(kinds[:place_of_errors], start=1):
        if kind in _INSIDE_ERRORS:
            raise _wrong(
                f"{kind.__name__} stands at place {place}, outside ErrorMiddleware (place {place_of_errors + 1}), "
                "which makes responses of its rejections: move it below"
            )
    if hardened and AllowedHostsMiddleware not in kinds:
        raise _wrong("AllowedHostsMiddleware is missing: in staging and production every Host must be checked")


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(f"{_WHERE}: {what}")
