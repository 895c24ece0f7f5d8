"""How long each statement takes, from where it leaves the service to where its result is there."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine
    from sqlalchemy.engine import ExceptionContext


def time_statements(engine: Engine, observe: Callable[[float], None]) -> None:
    """Hand *observe* the seconds of each statement on *engine*, also of one that fails or runs into its limit."""

    @event.listens_for(engine, "before_cursor_execute")
    def begin(*arguments: Any) -> None:
        arguments[4].started = perf_counter()  # its execution context, which is its own

    @event.listens_for(engine, "after_cursor_execute")
    def end(*arguments: Any) -> None:
        observe(perf_counter() - arguments[4].started)

    @event.listens_for(engine, "handle_error")
    def end_by_failure(failed: ExceptionContext) -> None:
        started = getattr(failed.execution_context, "started", None)
        if started is not None:
            observe(perf_counter() - started)
