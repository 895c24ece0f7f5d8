"""One port and its connections: opened, kept moving, and ended without dropping a request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeGuard, cast

import structlog
from uvicorn.config import Config

from ..shapes import problem
from .protocol import Connection
from .rejection import Rejected
from .sockets import BACKLOG, accepted_but_waiting, bound_sockets, drop_handshakes, duplicates
from .state import ListenerState
from .websocket import WebSocketConnection

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .options import ServerOptions

log = structlog.get_logger("chassis.server.listener")

MAIN: Final = "main"
IDLE_GRACE_SECONDS: Final = 0.25
"""A request that was on the wire when the listener closed is still served."""
CLOSE_GRACE_SECONDS: Final = 1.0
"""For websocket handlers to close by themselves, and for clients to complete a header."""
LEAVING_SECONDS: Final = 0.5
"""For clients that were sent a FIN to close their side."""
HANDSHAKE_SECONDS: Final = 0.05
"""For handshakes that have begun before the end."""
ACCEPT_SECONDS: Final = 1.0
"""For connections that came before the close, where others come on."""
CANCELLED_SECONDS: Final = 0.25
"""For cancelled requests to respond and clean up."""
LAST_BYTES_SECONDS: Final = 0.1
POLL_SECONDS: Final = 0.02


class Listener:
    """`name` is for the log; `state` is shared with the connections."""

    def __init__(self, name: str, options: ServerOptions, port: int) -> None:
        self.name = name
        self.state = ListenerState(options)
        if name == MAIN:  # scrapers and probes have one address for all replicas
            self.state.max_connections_per_address = options.max_connections_per_address
        self._options = options
        self._port = port
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._new_connection: Callable[[], Connection]

    def bind(self) -> None:
        """Reserve the port. Raises OSError."""
        self._sockets = bound_sockets(self._options.host, self._port)

    def release(self) -> None:
        """Give a port back that was never opened."""
        for bound in self._sockets:
            bound.close()

    async def open(self, app: ASGIApp, app_state: dict[str, Any]) -> None:
        """Accept connections for *app*; *app_state* is what its lifespan yielded. Raises OSError."""
        config = _uvicorn_config(app, self._options)
        self._new_connection = partial(Connection, config, self.state, app_state)
        loop = asyncio.get_running_loop()
        for bound in self._sockets:
            host, port = bound.getsockname()[:2]
            bound.listen(BACKLOG)  # raises if another process was quicker, of which uvloop says nothing
            self._servers.append(await loop.create_server(self._new_connection, sock=bound, backlog=BACKLOG))
            log.info("listening", listener=self.name, host=host, port=port)

    @property
    def in_flight(self) -> int:
        """Requests and websockets that the application works on."""
        return len(self.state.tasks)

    def tick(self, elapsed_seconds: float) -> None:
        """Keep the date and look after every connection's deadlines."""
        self.state.renew_date()
        self._each(lambda connection: connection.tick(elapsed_seconds))

    def start_draining(self) -> None:
        """From now on every response closes its connection."""
        self.state.draining = True

    async def end(self, deadline_seconds: float) -> int:
        """Stop accepting and return when every request has its response: how many requests the deadline cut off."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.start_draining()
        await self._stop_accepting()
        connections = len(self.state.connections)
        log.info("stopped accepting", listener=self.name, connections=connections, in_flight=self.in_flight)
        await _until(self._empty, min(IDLE_GRACE_SECONDS, deadline_seconds))
        reminder = loop.call_later(min(CLOSE_GRACE_SECONDS, deadline_seconds / 2), self._close_waiting_connections)
        finished = await _until(self._all_responded, started + deadline_seconds - loop.time())
        reminder.cancel()
        cut_off = 0 if finished else await self._cut_off()
        await _until(self._empty, LEAVING_SECONDS if finished else LAST_BYTES_SECONDS)
        still_open = self._close_rest()
        waited = round(loop.time() - started, 3)
        log.info(
            "connections ended", listener=self.name, waited_seconds=waited, cancelled=cut_off, still_open=still_open
        )
        return cut_off

    async def _stop_accepting(self) -> None:
        """Close the listening sockets, after taking over the connections that wait in their queues.

        Closing a socket resets what the system has accepted for it and the event loop has not taken yet. So the system
        begins no further connection, those that have begun get a moment to be complete, and nothing is awaited between
        the last look into a queue and its close.
        """
        loop = asyncio.get_running_loop()
        copies = duplicates(self._sockets)
        for copy in copies:
            drop_handshakes(copy)
        for server in self._servers:
            server.close()
        if copies:
            await asyncio.sleep(HANDSHAKE_SECONDS)
        ends = loop.time() + ACCEPT_SECONDS
        for copy in copies:
            with copy:
                while (waiting := accepted_but_waiting(copy)) and loop.time() < ends:
                    await self._take_over(waiting)
                for each in waiting:
                    each.close()

    async def _take_over(self, waiting: Iterable[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for each in waiting:
            with contextlib.suppress(OSError):  # this one left while it waited
                await loop.connect_accepted_socket(self._new_connection, each)

    def _empty(self) -> bool:
        return not self.state.connections and not self.state.tasks

    def _all_responded(self) -> bool:
        """End what is idle by now; true when nothing else is left."""
        self._each(lambda connection: connection.finish() if _is_idle(connection) else None)
        return not self.state.tasks and not any(
            isinstance(connection, Connection) and connection.busy for connection in self._connections()
        )

    def _close_waiting_connections(self) -> None:
        """Close the websockets whose handlers did not, and reject clients in the middle of a header."""
        self._each(_close_waiting)

    def _each(self, act: Callable[[Connection | WebSocketConnection], object]) -> None:
        """Let *act* have every connection; its failure with one takes nothing from the others."""
        for connection in list(self._connections()):
            try:
                act(connection)
            except Exception:
                log.exception("unhandled exception", listener=self.name)
                connection.transport.abort()

    async def _cut_off(self) -> int:
        """Cancel what still runs; for an application that ignores it, the server responds."""
        tasks = list(self.state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCELLED_SECONDS)
        self._each(_cut_off_response)
        unsent = [each for each in self._connections() if each.transport.get_write_buffer_size()]
        return max(len(tasks), len(unsent))

    def _close_rest(self) -> int:
        left = list(self._connections())
        self._each(_close)
        return len(left)

    def _connections(self) -> set[Connection | WebSocketConnection]:
        return cast("set[Connection | WebSocketConnection]", self.state.connections)


def _is_idle(connection: Connection | WebSocketConnection) -> TypeGuard[Connection]:
    return isinstance(connection, Connection) and connection.idle


def _close_waiting(connection: Connection | WebSocketConnection) -> None:
    if isinstance(connection, WebSocketConnection):
        connection.shutdown()
    elif connection.active is None and connection.head_bytes:
        connection.reject(Rejected(problem.SHUTTING_DOWN, "The service stopped before the request was whole."))


def _cut_off_response(connection: Connection | WebSocketConnection) -> None:
    if isinstance(connection, Connection) and connection.active is not None:
        connection.active.cut_off()


def _close(connection: Connection | WebSocketConnection) -> None:
    if connection.transport.get_write_buffer_size():
        connection.transport.abort()
    else:
        connection.transport.close()


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether *condition* came true within *seconds*; it is asked at least once."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - connections come and go at a hundred places
                await asyncio.sleep(POLL_SECONDS)
            return True
    return False


def _uvicorn_config(app: ASGIApp, options: ServerOptions) -> Config:
    config = Config(
        app,
        http=Connection,
        ws=WebSocketConnection,
        ws_max_size=options.websocket_max_bytes,
        ws_per_message_deflate=False,  # a small frame could inflate to a thousand times its size
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    return config
