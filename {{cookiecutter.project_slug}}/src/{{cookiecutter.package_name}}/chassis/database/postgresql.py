"""How PostgreSQL is connected to: one host after another, with limits that the server keeps, or through PgBouncer.

The driver is imported here: a service on SQLite never loads it.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from .liveness import leave_lost_servers, ping_idle_connections

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ..settings.postgresql import PostgresqlAddress
    from .engines import Limits

CLIENT_GRACE_SECONDS = 1.0
"""How much later than the server the client gives up: it only has to when the server itself is frozen."""

_SOCKET_OPTIONS = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}


def postgresql(
    address: PostgresqlAddress,
    limits: Limits,
    *,
    application_name: str,
    settings: dict[str, str] | None = None,
    autocommit: bool = False,
) -> AsyncEngine:
    """A pool of asyncpg connections, which the server lists as *application_name*; *settings* are of its session.

    With *autocommit* a statement stands alone, without a round trip for BEGIN and one for COMMIT: for reading.

    The server ends a statement at its limit; a server too frozen to do so is left by the client. PgBouncer in
    transaction mode gives each transaction another session: so there is no setting of one, and no prepared
    statement outlives its execution. Without its cache, asyncpg parses a statement again in the message that executes.
    """
    limit_seconds = limits.statement_timeout_seconds
    session = {"application_name": application_name, **address.settings}
    grace_seconds = 0.0 if address.pooled else CLIENT_GRACE_SECONDS
    if not address.pooled:
        session |= {
            "statement_timeout": str(round(limit_seconds * 1000)),
            "idle_in_transaction_session_timeout": str(round(limit_seconds * 1000) * 2),
            **(settings or {}),
        }
    options: dict[str, Any] = {
        "command_timeout": limit_seconds + grace_seconds if limit_seconds else None,
        "server_settings": session,
        "timeout": address.connect_timeout_seconds or limits.connect_timeout_seconds,
    }
    arguments: dict[str, Any] = {}
    if address.pooled:
        options["statement_cache_size"] = 0
        arguments["prepared_statement_cache_size"] = 0
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args={"async_creator_fn": Connector(address, options), **arguments},
        isolation_level="AUTOCOMMIT" if autocommit else None,
        pool_recycle=limits.recycle_seconds,
        skip_autocommit_rollback=True,
        hide_parameters=True,
        **limits.pool(),
    )
    ping_idle_connections(engine)
    leave_lost_servers(engine)
    return engine


class Connector:
    """Connects to the first host that fits, from the last one that did; each of them has the whole time limit."""

    def __init__(self, address: PostgresqlAddress, options: dict[str, Any]) -> None:
        self._address = address
        self._options = options
        self._first = 0
        if address.verify_by_system:
            self._options["ssl"] = _context_of_system(address.dsn)

    async def __call__(self, **_options: Any) -> Any:
        import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 - only a service on PostgreSQL pays for its memory

        hosts, failure = self._address.hosts, None
        for step in range(max(1, len(hosts))):
            place = (self._first + step) % max(1, len(hosts))
            host, port = hosts[place] if hosts else (None, None)
            try:
                connection = await asyncpg.connect(
                    self._address.dsn,
                    host=host,
                    port=port,
                    target_session_attrs=self._address.target_session_attrs,
                    **self._options,
                )
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
                failure = failure or error
                continue
            self._first = place
            self._keep_alive(connection)
            return connection
        raise failure or OSError("there is no host")

    def _keep_alive(self, connection: Any) -> None:
        wanted = self._address.keepalives
        transport = getattr(connection, "_transport", None)
        if not wanted or transport is None or (found := transport.get_extra_info("socket")) is None:
            return
        if found.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        with socket.socket(fileno=os.dup(found.fileno())) as duplicate:  # of the same socket; asyncio's sets no option
            duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, wanted.get("keepalives", 1))
            for name, option in _SOCKET_OPTIONS.items():
                if name in wanted and hasattr(socket, option):
                    duplicate.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), wanted[name])


def _context_of_system(dsn: str) -> ssl.SSLContext:
    """Checks certificates with those that the machine trusts, and shows the client's own if the address has one."""
    context = ssl.create_default_context()
    parameters = {name: values[-1] for name, values in parse_qs(urlsplit(dsn).query).items()}
    if "sslcert" in parameters:
        password = parameters.get("sslpassword")
        context.load_cert_chain(parameters["sslcert"], parameters.get("sslkey"), password)
    return context


def transactional(engine: AsyncEngine) -> AsyncEngine:
    """The pool of *engine*, which commits by itself, for transactions; the server's own isolation level applies.

    In this direction, because changing the level costs at each checkout, and reads are many and short.
    """
    writer = engine.execution_options()

    @event.listens_for(writer.sync_engine, "engine_connect")
    def leave_autocommit(connection: Connection) -> None:
        connection.execution_options(isolation_level=connection.default_isolation_level)

    return writer
