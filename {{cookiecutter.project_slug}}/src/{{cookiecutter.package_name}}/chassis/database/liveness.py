"""Whether a pooled connection still reaches PostgreSQL: told before it is used, and by the error of its loss."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, exc

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

IDLE_SECONDS = 1.0
"""How long a connection may lie in the pool before its next use begins with a ping.

A ping costs a read a second round trip. In a shorter time hardly a connection is lost, and a read survives that.
"""


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
