"""One Engine.IO session as ASGI sees it: what waits for its client, how fast it may send, and how it is made to end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .limits import TokenBucket
from .packets import Malformed, require_frame

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CLOSED = {"type": "websocket.disconnect", "code": 1000}
PACKET_BYTES = 64
"""What a packet costs besides its data."""


class Outbox(asyncio.Queue[Any]):
    """What waits for a client: up to *max_bytes*, but at least one packet; one more drops all and calls *on_overflow*.

    The library's own queue has no bound, so a client that does not read would hold every message since.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes
        self.waiting_bytes = 0
        self.overflowed = False
        self.on_overflow: Callable[[int], None] = lambda _packets: None
        """Called with the number of packets that were dropped."""

    async def put(self, item: Any) -> None:
        """As `put_nowait`: it never waits, so that no client keeps a broadcast from the others."""
        self.put_nowait(item)

    def put_nowait(self, item: Any) -> None:
        if item is not None:  # None ends the writer
            if self.overflowed:
                return
            self.waiting_bytes += _size(item)
            if self.waiting_bytes > self._max_bytes and not self.empty():
                self._overflow()
                return
        super().put_nowait(item)

    def get_nowait(self) -> Any:
        item = super().get_nowait()
        if item is not None:
            self.waiting_bytes -= _size(item)
        return item

    def _overflow(self) -> None:
        self.overflowed = True
        dropped, ended = 1, False
        while not self.empty():
            ended = self.get_nowait() is None or ended
            self.task_done()
            dropped += 1
        self.waiting_bytes = 0
        if ended:
            super().put_nowait(None)
        self.on_overflow(dropped)


def _size(packet: Any) -> int:
    return PACKET_BYTES + (len(packet.data) if isinstance(packet.data, str | bytes) else 0)


class Link:
    """A session, over websocket or long polling."""

    __slots__ = (
        *("_bucket", "_on_rejected", "_reading", "client", "closing", "engine_sid", "idle_since", "polled"),
        "websocket",
    )

    def __init__(self, client: str, *, frames_per_second: float, on_rejected: Callable[[str], None]) -> None:
        """*on_rejected* is called with the reason of each frame that is not read."""
        self.client = client
        self.engine_sid = ""
        self.idle_since: float | None = time.monotonic()
        """Since when it has no connection to the chat; None while it has one."""
        self.polled = False
        """Whether a request waits for packets; a session may have one (Engine.IO protocol 4, HTTP long-polling)."""
        self.websocket = False
        self._bucket = TokenBucket(frames_per_second)
        self._on_rejected = on_rejected
        self.closing = False
        """Whether it is about to end."""
        self._reading: asyncio.Task[Any] | None = None

    def close(self) -> None:
        """End the transport: what waits for the client is still sent, what it sends is not read any more.

        Not a disconnect of Socket.IO's own, after which no client comes back.
        """
        self.closing = True
        if self._reading is not None:
            self._reading.cancel()  # it is waiting for the client, in `receive` below

    async def throttle(self) -> None:
        """Wait until the client may send one more."""
        while wait := self._bucket.take():  # noqa: ASYNC110 - time is all that it waits for
            await asyncio.sleep(wait)

    def over(self, receive: Receive) -> Receive:
        """*receive* of the session's websocket, which rejects what the library would stumble over."""
        self.websocket = True

        async def receive_checked() -> Message:
            while not self.closing:
                message = await self._next(receive)
                if message["type"] != "websocket.receive" or self._accepts(message):
                    return message
            return CLOSED

        return receive_checked

    async def _next(self, receive: Receive) -> Message:
        task = self._reading = asyncio.current_task()
        try:
            message = await receive()
            if message["type"] == "websocket.receive":
                await self.throttle()
        except asyncio.CancelledError:
            if not self.closing or task is None or task.uncancel():
                raise
            return CLOSED
        finally:
            self._reading = None
        return message

    def _accepts(self, message: Message) -> bool:
        text = message.get("text")
        if text is None:
            self._on_rejected("binary")  # of an event that was rejected when its first packet came
            return False
        try:
            require_frame(text)
        except Malformed:
            self._on_rejected("malformed")
            self.closing = True
            return False
        return True
