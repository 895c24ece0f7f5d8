"""What this service's log lines hold besides the chassis's own fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..chassis import Logging


def processors() -> Sequence[Callable[[Any, str, Any], Any]]:
    """The processors of structlog, in this order; the first adds what `bind_contextvars` has bound."""
    from structlog.contextvars import merge_contextvars  # noqa: PLC0415 - when the log is configured

    return (merge_contextvars,)


LOGGING = Logging(
    processors=processors,
    # A function that returns more fields for every line, the access line included.
    fields=None,
)
