"""From one to all in a room: in this process, and through Redis to the sockets of the others.

The library's managers keep who is in which room. `AsyncRedisManager` publishes and listens for ever, and says neither
that its listener has died nor that Redis is gone; so both ends are ours here, and a ping goes round the channel.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import structlog
from engineio import packet as engine
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from socketio import AsyncManager, AsyncRedisManager
from socketio.packet import EVENT

from ..cancellation import end, raise_if_cancelled
from .gossip import ALIVE_SECONDS

REDIS_SECONDS = 1.0
"""How long one command may take."""
SILENT_SECONDS = 3.0
"""So old may the last ping that came back be, before the listener is started again."""
MAX_WAITING = 10_000
PIPELINED = 100

_log = structlog.get_logger("chassis.chat")


class LocalFanOut(AsyncManager):  # type: ignore[misc] # the library ships no types
    """Encodes an event once for a room; the library's own starts a task for each recipient."""

    async def emit(  # noqa: PLR0913, PLR0917 - the signature of the library
        self,
        event: str,
        data: Any,
        namespace: str,
        room: str | None = None,
        skip_sid: str | None = None,
        callback: Any = None,
        to: str | None = None,
        **options: Any,
    ) -> None:
        """Queue the event for each socket of the room; this never waits for a client."""
        if callback is not None:
            await super().emit(event, data, namespace, room, skip_sid, callback, to, **options)
            return
        packet = self.server.packet_class(EVENT, namespace=namespace, data=[event, data]).encode()
        framed = engine.Packet(engine.MESSAGE, packet)
        for sid, engine_sid in self.get_participants(namespace, to or room):
            if sid != skip_sid:
                try:
                    await self.server.eio.send_packet(engine_sid, framed)
                except Exception as error:  # noqa: BLE001 - one that is closing must not keep it from the others
                    _log.debug("not sent", sid=sid, reason=type(error).__name__)


class RedisFanOut(AsyncRedisManager, LocalFanOut):  # type: ignore[misc] # as above
    """Through a channel of Redis; *on_told* gets what `tell` of another process, or this one, has sent.

    `publish` and `watch` have to run for it to work. *on_healed* is called when Redis is back.
    """

    def __init__(
        self,
        url: str,
        *,
        channel: str,
        on_told: Callable[[dict[str, Any]], Awaitable[None]],
        on_dropped: Callable[[int], None],
        on_healed: Callable[[], None],
    ) -> None:
        super().__init__(url, channel=channel)
        self.thread: asyncio.Task[None] | None = None
        self.restarts = 0
        self._on_told, self._on_dropped, self._on_healed = on_told, on_dropped, on_healed
        self._waiting: deque[str] = deque()
        self._some = asyncio.Event()
        self._publishes = True
        self._echoed_at = float("-inf")
        self._degraded = False
        self._stopped = False

    @property
    def degraded(self) -> bool:
        """Whether sockets of other processes may miss something at the moment."""
        return self._degraded

    def initialize(self) -> None:
        """Start the listener unless it runs; the library calls it at the first connection, and `watch` before that."""
        if self._stopped or (self.thread is not None and not self.thread.done()):
            return
        super().initialize()

    def tell(self, message: dict[str, Any]) -> None:
        """Send *message*, whose method the library does not know, to `on_told` of every process."""
        self._enqueue(self.json.dumps(message))

    async def watch(self, ping: Callable[[], dict[str, Any]]) -> None:
        """Send *ping* once a second, and start the listener again when none has come back; for ever."""
        self._echoed_at = time.monotonic()
        while True:
            self.initialize()
            self.tell(ping())
            await asyncio.sleep(ALIVE_SECONDS)
            silent = time.monotonic() - self._echoed_at
            self._note(degraded=silent > SILENT_SECONDS or not self._publishes)
            if silent > SILENT_SECONDS and self.thread is not None:
                self.restarts += 1
                await end([self.thread])
                self._echoed_at = time.monotonic() - SILENT_SECONDS + 2 * ALIVE_SECONDS  # time for the new one

    async def publish(self) -> None:
        """Send what waits, in its order; for ever."""
        redis = _client(self.redis_url)
        try:
            while True:
                await self._some.wait()
                batch = [self._waiting.popleft() for _ in range(min(PIPELINED, len(self._waiting)))]
                if not self._waiting:
                    self._some.clear()
                await self._send(redis, batch)
        finally:
            await redis.aclose()

    async def close(self) -> None:
        """Wait until what waits is sent, as far as Redis takes it, and end the listener."""
        self._stopped = True
        redis = _client(self.redis_url)
        try:
            await self._send(redis, list(self._waiting))
        finally:
            await redis.aclose()
        if self.thread is not None:
            await end([self.thread])

    async def _publish(self, data: dict[str, Any]) -> None:
        """The library's extension point: queue what it has to say, so that no event waits for Redis."""
        if self._publishes:
            self._enqueue(self.json.dumps(data))
        else:
            self._on_dropped(1)

    async def _listen(self) -> AsyncIterator[dict[str, Any]]:
        """The library's extension point: yield each of its messages, and hand on those of `tell`; for ever."""
        while True:
            redis = _client(self.redis_url, reads_for_ever=True)
            try:
                async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(self.channel)
                    async for message in pubsub.listen():
                        data = await self._read(message["data"])
                        if data is not None:
                            yield data
            except Exception as error:  # noqa: BLE001 - whatever it is, there must be a listener
                raise_if_cancelled()
                _log.debug("chat listener lost Redis", reason=f"{type(error).__name__}: {error}")
            finally:
                await redis.aclose()
            await asyncio.sleep(ALIVE_SECONDS / 2)

    async def _read(self, data: bytes) -> dict[str, Any] | None:
        """The message, if it is one for the library: an event; no process sends its others."""
        try:
            message = self.json.loads(data)
            if message["method"] == "emit":
                return dict(message)
            if not message["method"].startswith("chat-"):
                raise ValueError("its method is none of the chat's")  # noqa: TRY301 - as what is malformed
            if message["host_id"] == self.host_id and message["method"] == "chat-alive":
                self._echoed_at = time.monotonic()
            await self._on_told(message)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            _log.warning("message not understood", channel=self.channel, reason=f"{type(error).__name__}: {error}")
        return None

    def _enqueue(self, text: str) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self._on_dropped(1)
        self._waiting.append(text)
        self._some.set()

    async def _send(self, redis: Redis, batch: list[str]) -> None:
        if not batch:
            return
        try:
            async with asyncio.timeout(REDIS_SECONDS), redis.pipeline(transaction=False) as pipeline:
                for text in batch:
                    pipeline.publish(self.channel, text)
                await pipeline.execute()
        except Exception as error:  # noqa: BLE001 - whatever it is, what was not published is found by its number
            raise_if_cancelled()
            self._publishes = False
            self._on_dropped(len(batch))
            self._note(degraded=True, reason=f"{type(error).__name__}: {error}")
        else:
            self._publishes = True

    def _note(self, *, degraded: bool, reason: str = "no ping came back through the channel") -> None:
        if degraded == self._degraded:
            return
        self._degraded = degraded
        if degraded:
            hint = "rooms go on within each process, and what others missed is made up for when Redis is back"
            _log.warning("chat degraded", reason=reason, hint=hint)
        else:
            _log.info("chat healed", restarts=self.restarts)
            self._on_healed()


def _client(url: str, *, reads_for_ever: bool = False) -> Redis:
    return Redis.from_url(
        url,
        socket_connect_timeout=REDIS_SECONDS,
        socket_timeout=None if reads_for_ever else REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
