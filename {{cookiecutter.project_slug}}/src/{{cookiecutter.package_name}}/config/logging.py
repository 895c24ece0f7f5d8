"""What this service's log lines hold besides the chassis's own fields."""

from __future__ import annotations

from structlog.contextvars import merge_contextvars

from ..chassis import Logging

LOGGING = Logging(
    # As structlog calls them, in this order; this one adds what `structlog.contextvars.bind_contextvars` has bound.
    processors=(merge_contextvars,),
    # A function that returns more fields for every line, the access line included.
    fields=None,
)
