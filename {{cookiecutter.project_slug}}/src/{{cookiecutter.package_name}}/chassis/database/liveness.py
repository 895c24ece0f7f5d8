"""Whether a pooled connection reaches a PostgreSQL that takes writes: asked before its use, and seen in its errors."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, exc

from .failures import DISK_FULL, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.ext.asyncio import AsyncEngine

IDLE_SECONDS = 1.0
"""How long a connection may lie in the pool before its next use begins with a ping.

A ping costs a read a second round trip. In a shorter time hardly a connection is lost, and a read survives that.
"""


_LEFT = {"25006", "57P01", "57P02", "57P03", "57P04", "57P05"}
"""Read-only, and what a server says that ends connections (PostgreSQL manual, appendix A)."""


def leave_lost_servers(engine: AsyncEngine, *, fresh_seconds: float = 1.0) -> None:
    """Replace all connections when one hears that its server ends, or that it takes no writes any more.

    After a failover the address leads to another server, while the connections of the pool stay with the old one until
    they are recycled. One that is *fresh* and still hears so is replaced alone: the others are as new.
    """
    sync_engine = engine.sync_engine

    @event.listens_for(sync_engine, "connect")
    def remember(_connection: object, record: Any) -> None:
        record.info["connected_at"] = monotonic()

    @event.listens_for(sync_engine, "handle_error")
    def judge(context: ExceptionContext) -> None:
        if context.connection is None or state_of(context.original_exception) not in _LEFT:
            return
        connected_at = context.connection.info.get("connected_at", 0.0)
        context.invalidate_pool_on_disconnect = monotonic() - connected_at > fresh_seconds
        context.is_disconnect = True


def hear_of_full_disk(engine: AsyncEngine, on_full_disk: Callable[[], object]) -> None:
    """Call *on_full_disk* for each statement that fails because the server's disk is full."""

    @event.listens_for(engine.sync_engine, "handle_error")
    def judge(context: ExceptionContext) -> None:
        if state_of(context.original_exception) == DISK_FULL:
            on_full_disk()


def ping_idle_connections(engine: AsyncEngine, *, idle_seconds: float = IDLE_SECONDS) -> None:
    """Replace a connection at its checkout if the driver knows that it is closed, or if it was idle and is lost.

    As with `pool_pre_ping`, the other connections of the pool are then as old as that one, and are replaced too.
    """
    sync_engine = engine.sync_engine

    @event.listens_for(sync_engine, "checkin")
    def remember(_connection: object, record: Any) -> None:
        record.info["idle_since"] = monotonic()

    @event.listens_for(sync_engine, "checkout")
    def ask(connection: Any, record: Any, _proxy: object) -> None:
        if connection.driver_connection.is_closed():
            raise exc.InvalidatePoolError
        # A fresh connection was never checked in: the record forgets what it knew of the one before.
        if monotonic() - record.info.get("idle_since", monotonic()) <= idle_seconds:
            return
        try:
            sync_engine.dialect.do_ping(connection)
        except (sync_engine.dialect.loaded_dbapi.Error, ConnectionError) as error:
            raise exc.InvalidatePoolError from error


def is_lost(error: Exception) -> bool:
    """Whether *error* says that the connection is gone, rather than that its statement failed or took too long."""
    if isinstance(error, exc.DBAPIError):
        return error.connection_invalidated
    return isinstance(error, ConnectionError)
