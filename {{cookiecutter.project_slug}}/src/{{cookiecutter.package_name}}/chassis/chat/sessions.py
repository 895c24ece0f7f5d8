"""What happens to a session and its connection, from the library's handlers to ours: nothing raises into the library.

The library starts no task for an event here, so the events of a client are handled one after the other, and a client
that sends faster waits.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson
import structlog
from socketio.exceptions import ConnectionRefusedError as Refused
from socketio.packet import ACK

from ..errors import Invalid, MalformedRequest, Overloaded, ServiceError, Unavailable
from ..shapes import problem
from ..shapes.ids import new_id
from ..shapes.problem import FieldError, ProblemDetails
from .connections import Connection
from .events import Events
from .gate import LINK
from .hub import Hub
from .limits import ChatLimits
from .link import Link, Outbox
from .packets import UNKNOWN, Binary, Malformed, StrictPacket

BINARY = Invalid("The event is wrong.", (FieldError("", "holds binary data, which is not accepted"),))
MALFORMED = MalformedRequest("The event cannot be parsed: its name and one object are JSON in UTF-8.")

_log = structlog.get_logger("chassis.chat")


class Sessions:
    """The sessions of *server*, by their Engine.IO sid."""

    def __init__(  # noqa: PLR0913 - all named
        self,
        server: Any,
        hub: Hub,
        events: Events,
        *,
        limits: ChatLimits,
        problems: ProblemDetails,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.links: dict[str, Link] = {}
        self._unconnected: dict[str, Link] = {}
        """Those of `links` without a connection to the chat, the longest first."""
        self._server = server
        self._hub = hub
        self._events = events
        self._limits = limits
        self._problems = problems
        self._on_failure = on_failure
        self._library: dict[str, Callable[..., Awaitable[Any]]] = dict(server.eio.handlers)
        server.eio.create_queue = lambda: Outbox(limits.waiting_bytes)
        for name, ours in (("connect", self._opened), ("message", self._came), ("disconnect", self._closed)):
            server.eio.on(name, ours)
        for name, handler in (("connect", self._connect), ("disconnect", self._disconnect), ("*", self._event)):
            server.on(name, handler)

    async def new_link(self, client: str) -> Link:
        """For a session of *client*; raises Overloaded.

        One that is not connected gives way: a client that opens sessions by polling, which costs no connection, would
        otherwise keep all others out.
        """
        most = self._limits.connections
        if len(self.links) >= most and self._unconnected:
            await self._server.eio.sockets[next(iter(self._unconnected))].close(wait=False)
            self.count_refusal("gave-way")
        if len(self.links) >= most:
            raise Overloaded(f"The chat has {most} connections, and no place for another.")
        return Link(client, frames_per_second=self._limits.events_per_second, on_rejected=self.count_refusal)

    def count_refusal(self, reason: str) -> None:
        self._hub.metrics.refused[reason] += 1

    async def close(self, link: Link) -> None:
        """End the session's transport, so that its client connects again, maybe to another process.

        Called again, it ends a session whose client does not read, and so holds the transport open. It waits for no
        client: thousands may be closed one after the other.
        """
        if link.websocket and not link.closing:
            link.close()
        elif (engine := self._server.eio.sockets.get(link.engine_sid)) is not None:
            await engine.close(wait=False)

    async def end(self, connection: Connection, error: ServiceError) -> None:
        """Disconnect for good, and say why: the client does not come back by itself."""
        self.count_refusal(error.problem.slug)
        user, client = connection.user_id, connection.link.client
        _log.info("connection ended", user=user, client=client, reason=error.detail)
        document = self._document(error)
        await self._server.emit("session-ended", {"error": document}, to=connection.sid, ignore_queue=True)
        await self._server.disconnect(connection.sid, ignore_queue=True)

    # Engine.IO

    async def _opened(self, engine_sid: str, environ: dict[str, Any]) -> Any:
        link: Link = environ["asgi.scope"][LINK]
        link.engine_sid = engine_sid
        self.links[engine_sid] = self._unconnected[engine_sid] = link
        self._server.eio.sockets[engine_sid].queue.on_overflow = partial(self._overflowed, link)
        return await self._library["connect"](engine_sid, environ)

    async def _closed(self, engine_sid: str, reason: str) -> None:
        if (link := self.links.pop(engine_sid, None)) is not None:
            self._unconnected.pop(engine_sid, None)
            link.close()  # or the library would read on when the client has sent CLOSE
            if reason == self._server.eio.reason.CLIENT_DISCONNECT and link.polled:
                self._server.eio.sockets[engine_sid].queue.put_nowait(None)  # or its poll would wait for a ping
        await self._library["disconnect"](engine_sid, reason)

    async def _came(self, engine_sid: str, data: Any) -> None:
        """A packet: what is malformed is refused with an acknowledgement, or ends the session if it asks for none."""
        if engine_sid not in self.links:
            return  # in one body with CLOSE, and after it
        try:
            await self._library["message"](engine_sid, data)
        except Malformed as malformed:
            self.count_refusal("binary" if isinstance(malformed, Binary) else "malformed")
            if malformed.acknowledgement is not None:
                problem_of = BINARY if isinstance(malformed, Binary) else MALFORMED
                answer = [{"ok": False, "error": self._document(problem_of)}]
                packet = StrictPacket(ACK, data=answer, id=malformed.acknowledgement)
                await self._server.eio.send(engine_sid, packet.encode())
            elif not isinstance(malformed, Binary) and (link := self.links.get(engine_sid)) is not None:
                _log.info("session ended", reason=f"malformed packet: {malformed}", client=link.client)
                link.idle_since = float("-inf")  # for the sweep, if it is polled
                link.close()

    def _overflowed(self, link: Link, packets: int) -> None:
        self._hub.metrics.dropped["slow reader"] += packets
        _log.info("session ended", reason="the client does not read its messages", client=link.client, packets=packets)
        link.idle_since = float("-inf")
        link.close()

    # Socket.IO

    async def _connect(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        link: Link = environ["asgi.scope"][LINK]
        try:
            identity = await self._events.identify(auth, link.client)
            connection = Connection(sid, link, identity)
            if identity is not None:
                self._hub.connections.bind(connection, identity.user_id, identity.name)
        except ServiceError as error:
            self.count_refusal(error.problem.slug)
            _log.info("connection refused", reason=error.problem.slug, client=link.client)
            raise Refused(error.problem.title, self._document(error)) from None
        except Exception as error:  # noqa: BLE001 - as in `_event`
            document = self._failed("connect", error)
            raise Refused(problem.INTERNAL.title, document) from None
        self._hub.connections.add(connection)
        link.idle_since = None
        self._unconnected.pop(link.engine_sid, None)

    async def _disconnect(self, sid: str, reason: str) -> None:
        connection = self._hub.connections.get(sid)
        if connection is None:
            return
        link = connection.link
        link.idle_since = time.monotonic()
        if link.engine_sid in self.links:
            self._unconnected[link.engine_sid] = link
        _log.debug("disconnected", user=connection.user_id, client=connection.link.client, reason=reason)
        try:
            await self._hub.remove(connection)
        except Exception as error:  # noqa: BLE001 - the library would not forget the connection
            self._failed("disconnect", error)

    async def _event(self, event: str, sid: str, *arguments: Any) -> dict[str, Any] | None:
        """The acknowledgement of an event."""
        connection = self._hub.connections.get(sid)
        if connection is None:
            return None
        name = event.removeprefix(UNKNOWN)
        try:
            return {"ok": True, **await self._events.handle(name, connection, arguments)}
        except ServiceError as error:
            return {"ok": False, "error": self._refused(name, connection, error)}
        except Exception as error:  # noqa: BLE001 - one event's failure must not be the end of the connection
            return {"ok": False, "error": self._failed(name, error)}

    def _refused(self, name: str, connection: Connection, error: ServiceError) -> dict[str, Any]:
        reason = error.problem.slug
        self.count_refusal(reason)
        document = self._document(error)
        if count := connection.refused():
            known = self._events.known(name)
            write = _log.warning if isinstance(error, Unavailable) else _log.info
            write(
                "event refused",
                name=name if known else "unknown",
                reason=reason,
                user=connection.user_id,
                client=connection.link.client,
                instance=document["instance"],
                refusals=count,
            )
        return document

    def _failed(self, name: str, error: BaseException) -> dict[str, Any]:
        instance = new_id()
        self._hub.metrics.failures += 1
        _log.error("event handler failed", name=name, instance=instance, exc_info=error)
        self._on_failure(error)
        found: dict[str, Any] = orjson.loads(self._problems.body(problem.INTERNAL, instance=instance))
        return found

    def _document(self, error: ServiceError) -> dict[str, Any]:
        """The problem details of *error*, as a response of HTTP would have them; Retry-After is a member."""
        after = error.retry_after_seconds
        body = self._problems.body(
            error.problem,
            instance=new_id(),
            detail=error.detail,
            errors=error.errors if isinstance(error, Invalid) else (),
            extensions={"retryAfterSeconds": after} if after is not None else None,
        )
        found: dict[str, Any] = orjson.loads(body)
        return found
