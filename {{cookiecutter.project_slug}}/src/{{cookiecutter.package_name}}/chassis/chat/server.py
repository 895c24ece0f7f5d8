"""Assembles a chat: the Socket.IO server, what stands before it, and what runs beside it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from pydantic import SecretStr
from socketio import AsyncServer

from ..access import Identities
from ..errors import ServiceError
from ..lifecycle import Lifecycle, Phase
from ..metrics import Metrics
from ..shapes.problem import ProblemDetails
from .connections import Connections
from .events import Events
from .fanout import LocalFanOut, RedisFanOut
from .gate import Gate
from .gossip import ALIVE_SECONDS, Gossip
from .hub import Hub
from .limits import ChatLimits
from .messages import Rooms
from .metrics import ChatMetrics
from .packets import StrictPacket
from .presence import Presence
from .sessions import Sessions
from .sweep import LIVENESS_SECONDS, Sweep, move_clients

LAST_ID_SECONDS = 5.0
PING_SECONDS = 25.0
PING_TIMEOUT_SECONDS = 20.0

Work = Callable[[], Coroutine[object, object, None]]

_log = structlog.get_logger("chassis.chat")


class Chat:
    """Realtime rooms over Socket.IO: `app` is the ASGI application; `tasks` run, and `opened` lasts, with the service.

    *identities* make a token necessary; without them the chat is open. With *redis_url* all processes that use
    *channel* are one chat. *drain_seconds* is how long the process goes on after the signal to stop; *request_seconds*
    is how long a poll may take.
    """

    def __init__(  # noqa: PLR0913 - one value for each decision of the service
        self,
        rooms: Rooms,
        *,
        limits: ChatLimits,
        problems: ProblemDetails,
        lifecycle: Lifecycle,
        metrics: Metrics,
        identities: Identities | None = None,
        redis_url: SecretStr | None = None,
        channel: str = "chat",
        origins: Sequence[str] = (),
        polling: bool = True,
        request_seconds: float = 30.0,
        drain_seconds: float = 0.0,
        message_kinds: Sequence[str] = ("text",),
        on_failure: Callable[[BaseException], None] = lambda _error: None,
    ) -> None:
        self._lifecycle, self._drain_seconds = lifecycle, drain_seconds
        self._healed = asyncio.Event()
        self._redis = self._new_redis(redis_url.get_secret_value(), channel) if redis_url else None
        self._server = self._new_server(limits, polling=polling, request_seconds=request_seconds)
        connections, presence = Connections(limits), Presence()
        self._metrics = ChatMetrics(
            metrics,
            connections=connections.__len__,
            rooms=lambda: len(presence.rooms()),
            degraded=lambda: self._redis is not None and self._redis.degraded,
        )
        self._hub = Hub(self._server, rooms, connections, presence, self._metrics)
        self._gossip: Gossip | None = None
        if self._redis is not None:
            self._gossip = Gossip(self._redis.host_id, presence, self._redis.tell)
            self._hub.on_presence = self._gossip.changed
        self._events = Events(
            self._hub, identities=identities, message_bytes=limits.message_bytes, message_kinds=message_kinds
        )
        self._sessions = Sessions(
            self._server, self._hub, self._events, limits=limits, problems=problems, on_failure=on_failure
        )
        self._sweep = Sweep(
            connections,
            links=self._sessions.links.values,
            identities=identities,
            end=self._sessions.end,
            close=self._sessions.close,
        )
        self.app = Gate(
            self._server.handle_request,
            link_of=self._sessions.links.get,
            new_link=self._sessions.new_link,
            draining=lambda: lifecycle.phase >= Phase.DRAINING,
            origins=origins,
            polling=polling,
            packet_bytes=limits.packet_bytes,
            close=self._sessions.close,
            on_refused=self._sessions.count_refusal,
        )

    def tasks(self) -> Mapping[str, Work]:
        """What has to run with the service, by name; each is to be started again if it fails."""
        found: dict[str, Work] = {
            "chat messages": self._events.store,
            "chat sweep": lambda: _every(LIVENESS_SECONDS, self._sweep.sweep),
            "chat last ids": self._tell_last_ids,
            "chat drain": self._move_clients,
        }
        if self._redis is not None and self._gossip is not None:
            redis, gossip = self._redis, self._gossip
            found["chat publisher"] = redis.publish
            found["chat fan-out"] = lambda: redis.watch(gossip.alive)
            found["chat presence"] = lambda: _every(ALIVE_SECONDS, self._expire)
        return found

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Between start and end of the service."""
        try:
            yield
        finally:
            if self._redis is not None and self._gossip is not None:
                self._gossip.gone()
                await self._redis.close()
            await self._server.shutdown()

    def _new_redis(self, url: str, channel: str) -> RedisFanOut:
        return RedisFanOut(
            url,
            channel=channel,
            on_told=self._hear,
            on_dropped=self._drop,
            on_healed=self._healed.set,
        )

    def _new_server(self, limits: ChatLimits, *, polling: bool, request_seconds: float) -> Any:
        log = LibraryLog(self._count_failure)
        return AsyncServer(
            async_mode="asgi",
            client_manager=self._redis or LocalFanOut(),
            async_handlers=False,  # the events of a client one after the other, in their order
            serializer=StrictPacket,
            logger=log,
            engineio_logger=log,
            cors_allowed_origins=[],  # no check of the library's own, and no header: the gate and the CORS layer do it
            max_http_buffer_size=limits.packet_bytes,
            http_compression=False,
            transports=["polling", "websocket"] if polling else ["websocket"],
            ping_interval=min(PING_SECONDS, 0.8 * request_seconds),  # a poll ends with the next ping
            ping_timeout=PING_TIMEOUT_SECONDS,
        )

    async def _hear(self, message: Mapping[str, Any]) -> None:
        if self._gossip is not None:
            await self._hub.tell(self._gossip.hear(message, time.monotonic()))

    async def _expire(self) -> None:
        if self._gossip is not None:
            await self._hub.tell(self._gossip.expire(time.monotonic()))

    async def _tell_last_ids(self) -> None:
        """Every LAST_ID_SECONDS, and when Redis is back."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_ID_SECONDS):
                    await self._healed.wait()
            self._healed.clear()
            try:
                await self._hub.tell_last_ids()
            except ServiceError as error:
                _log.warning("last ids unknown", reason=error.detail)

    async def _move_clients(self) -> None:
        await move_clients(
            self._lifecycle,
            self._drain_seconds,
            links=self._sessions.links.values,
            close=self._sessions.close,
        )

    def _drop(self, messages: int) -> None:
        self._metrics.dropped["redis"] += messages

    def _count_failure(self) -> None:
        self._metrics.failures += 1


class LibraryLog:
    """The library's log: its exceptions, which *on_failure* counts; the rest is about clients, and ours say more."""

    def __init__(self, on_failure: Callable[[], None]) -> None:
        self._on_failure = on_failure

    def exception(self, message: str, *_: object, **__: object) -> None:
        """Log the exception that is being handled."""
        _log.exception("socket.io failed", reason=message)
        self._on_failure()

    def info(self, *_: object, **__: object) -> None:
        """Drop the line."""

    debug = warning = error = info


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await work()
