"""A whole chat in process: rooms in memory, and clients who speak ASGI to it, frame by frame."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from acme_service.chassis.access import Identities
from acme_service.chassis.chat import Chat, ChatLimits, Message, NewMessage, Stored
from acme_service.chassis.errors import ServiceError
from acme_service.chassis.lifecycle import Lifecycle, Phase
from acme_service.chassis.metrics import Metrics
from acme_service.chassis.shapes.problem import ProblemDetails

SECONDS = 5.0
UNLIMITED = ChatLimits(messages_per_second=1e6, events_per_second=1e6, connections_per_user=1000, rooms_per_user=1000)

SCOPE: dict[str, Any] = {
    "type": "websocket",
    "path": "/socket.io/",
    "root_path": "/socket.io",
    "scheme": "ws",
    "query_string": b"EIO=4&transport=websocket",
    "headers": [(b"host", b"chat.example"), (b"upgrade", b"websocket"), (b"connection", b"upgrade")],
    "client": ("192.0.2.1", 5),
}
"""Of the handshake of a websocket."""


class MemoryRooms:
    """Keeps messages in lists; everybody may join."""

    def __init__(self) -> None:
        self.messages: dict[str, list[Message]] = defaultdict(list)

    async def admit(self, user_id: str, room_id: str) -> None:
        """Everyone."""

    async def store(self, messages: Sequence[NewMessage]) -> Sequence[Stored]:
        return [self._stored(new) for new in messages]

    def _stored(self, new: NewMessage) -> Stored:
        kept = self.messages[new.room_id]
        if new.client_message_id is not None:
            for each in kept:
                if (each.user_id, each.client_message_id) == (new.user_id, new.client_message_id):
                    return Stored(each, again=True)
        members = {name: getattr(new, name) for name in NewMessage.__slots__}
        message = Message(id=len(kept) + 1, sent_at=datetime.now(UTC), **members)
        kept.append(message)
        return Stored(message)

    async def since(self, room_id: str, message_id: int, limit: int) -> Sequence[Message]:
        return self.messages[room_id][message_id:][:limit]

    async def newest(self, room_id: str, limit: int) -> Sequence[Message]:
        return self.messages[room_id][-limit:]

    async def last_ids(self, room_ids: Sequence[str]) -> Mapping[str, int]:
        return {room_id: len(self.messages[room_id]) for room_id in room_ids if self.messages[room_id]}


class Client:
    """A websocket of the chat; `frames` is what it was sent, and `ended` whether the chat closed it."""

    def __init__(self, chat: Chat) -> None:
        self.frames: list[str] = []
        self.reads = asyncio.Event()
        """Cleared, it reads nothing."""
        self.reads.set()
        self.ended = False
        self._frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._new = asyncio.Condition()
        self._task = asyncio.ensure_future(self._run(chat))
        self._frames.put_nowait({"type": "websocket.connect"})

    async def _run(self, chat: Chat) -> None:
        try:
            with suppress(ServiceError):  # refused at the handshake
                await chat.app(SCOPE, self._frames.get, self._send)
        finally:
            await self._note(ended=True)

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        if message["type"] == "websocket.send":
            self.frames.append(message["text"])
        await self._note(ended=message["type"] == "websocket.close")

    async def _note(self, *, ended: bool) -> None:
        self.ended |= ended
        async with self._new:
            self._new.notify_all()

    def send(self, frame: str | bytes) -> None:
        key = "text" if isinstance(frame, str) else "bytes"
        self._frames.put_nowait({"type": "websocket.receive", key: frame})

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(SECONDS), self._new:
            await self._new.wait_for(condition)

    async def connected(self, token: str = "") -> Client:
        self.send("40" + json.dumps({"token": token}))
        await self.until(lambda: any(frame.startswith("40") for frame in self.frames))
        return self

    async def call(self, event: str, acknowledgement: int = 1, **members: Any) -> dict[str, Any]:
        """The acknowledgement of *event*."""
        self.send(f"42{acknowledgement}{json.dumps([event, members])}")
        start = f"43{acknowledgement}["
        await self.until(lambda: self.ended or any(frame.startswith(start) for frame in self.frames))
        found = next(frame for frame in self.frames if frame.startswith(start))
        self.frames.remove(found)
        answer: dict[str, Any] = json.loads(found[len(start) - 1 :])[0]
        return answer

    async def join(self, room: str, user: str) -> Client:
        answer = await self.call("join-room", roomId=room, userId=user, username=user)
        assert answer["ok"], answer
        return self

    @property
    def sid(self) -> str:
        """The id of its connection."""
        found: str = next(json.loads(frame[2:])["sid"] for frame in self.frames if frame.startswith("40"))
        return found

    def heard(self, event: str) -> list[dict[str, Any]]:
        found = [json.loads(frame[2:]) for frame in self.frames if frame.startswith("42[")]
        return [data for name, data in found if name == event]

    async def leave(self) -> None:
        self._frames.put_nowait({"type": "websocket.disconnect", "code": 1005})
        await asyncio.wait([self._task], timeout=SECONDS)


class Direct:
    """The chat, its parts that a test looks at, and its clients."""

    def __init__(self, limits: ChatLimits = UNLIMITED, **options: Any) -> None:
        self.rooms = MemoryRooms()
        self.lifecycle = Lifecycle()
        self.failures: list[BaseException] = []
        self.clients: list[Client] = []
        self.chat = Chat(
            self.rooms,
            limits=limits,
            problems=ProblemDetails("test"),
            lifecycle=self.lifecycle,
            metrics=Metrics(),
            on_failure=self.failures.append,
            **options,
        )
        self.hub = self.chat._hub  # noqa: SLF001 - what it tells and keeps is what is tested
        self.connections, self.presence = self.hub.connections, self.hub.presence

    async def client(self, token: str = "") -> Client:
        """A client that has connected."""
        return await self.opened().connected(token)

    async def poll(self, sid: str = "", *, packets: str | None = None) -> bytes:
        """The body of the response to a poll, or to a POST of *packets*; without *sid* it opens a session."""
        query = "EIO=4&transport=polling" + (f"&sid={sid}" if sid else "")
        method = "GET" if packets is None else "POST"
        scope = {**SCOPE, "type": "http", "method": method, "scheme": "http", "query_string": query.encode()}
        body = bytearray()

        async def receive() -> Any:
            return {"type": "http.request", "body": (packets or "").encode(), "more_body": False}

        async def send(message: Any) -> None:
            body.extend(message.get("body", b""))

        await self.chat.app({**scope, "headers": [(b"host", b"chat.example")]}, receive, send)
        return bytes(body)

    async def polled(self) -> tuple[str, asyncio.Future[bytes]]:
        """A session over polling that has connected, and its poll that waits."""
        sid = json.loads((await self.poll())[1:])["sid"]
        await self.poll(sid, packets="40")
        assert (await self.poll(sid)).startswith(b"40")
        waiting = asyncio.ensure_future(self.poll(sid))
        await asyncio.sleep(0.01)
        return sid, waiting

    def opened(self) -> Client:
        """A client that has said nothing yet."""
        made = Client(self.chat)
        self.clients.append(made)
        return made


@asynccontextmanager
async def direct(
    limits: ChatLimits = UNLIMITED, *, identities: Identities | None = None, **options: Any
) -> AsyncIterator[Direct]:
    """A chat that runs until the context ends, without an error that nobody handled."""
    made = Direct(limits, identities=identities, **options)
    made.lifecycle.advance(Phase.READY)
    tasks = [asyncio.ensure_future(work()) for work in made.chat.tasks().values()]
    try:
        async with made.chat.opened():
            yield made
            for client in made.clients:
                await client.leave()
    finally:
        for client in made.clients:
            client.reads.set()  # or what the library sends to it last would wait for ever
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert not made.failures
