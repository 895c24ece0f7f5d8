"""Hears of jobs that other processes send: PostgreSQL notifies at their commit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from ..database.engines import parse_url
from ..settings.postgresql import PostgresqlAddress

if TYPE_CHECKING:
    from ..settings import DatabaseSettings
    from .sources import Wakeups

PING_SECONDS = 10.0
RECONNECT_SECONDS = 5.0

_log = structlog.get_logger("chassis.jobs")


def direct_address(database: DatabaseSettings) -> PostgresqlAddress | None:
    """Where LISTEN works: PostgreSQL itself. PgBouncer in transaction mode gives each transaction another session."""
    url = parse_url((database.direct_url or database.url).get_secret_value())
    return url if isinstance(url, PostgresqlAddress) and not url.pooled else None


async def listen(address: PostgresqlAddress, channel: str, wakeups: Wakeups, *, timeout_seconds: float) -> None:
    """Wake at each notification on *channel*, for ever; while the connection is lost, the table is polled as well."""
    from ..database.postgresql import Connector  # noqa: PLC0415 - a service on SQLite never loads the driver

    settings = {"application_name": f"{channel} listener", **address.settings}
    connect = Connector(address, {"timeout": timeout_seconds, "server_settings": settings})
    connection, told = None, False
    while True:
        try:
            connection = await connect()
            await connection.add_listener(channel, lambda *_notification: wakeups.wake())
            told = False
            await _stay(connection, wakeups)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, polling goes on
            if not told:
                _log.warning("no notifications, jobs are polled each second", reason=type(error).__name__)
            told = True
        finally:
            if connection is not None:
                connection.terminate()
                connection = None
        await asyncio.sleep(RECONNECT_SECONDS)


async def _stay(connection: Any, wakeups: Wakeups) -> None:
    wakeups.wake()  # for what was sent before
    while True:
        await asyncio.sleep(PING_SECONDS)
        await connection.execute("SELECT 1", timeout=PING_SECONDS)  # one that is lost says so
