"""People in a room of the chat, who speak all the time, come back as the page does, and know what they were shown."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

PATH = "/socket.io/?EIO=4&transport=websocket"
ROOM = "hall"
ANSWER_SECONDS = 5.0
PAUSE_SECONDS = 0.03
SENT_AGAIN = 5
"""Every so many messages one is sent a second time though it was acknowledged."""
WORLD_SECONDS = 60.0


class Lost(Exception):
    """The session has ended before the answer came."""


class Talker:
    """A client; it does what docs/chat.md tells clients to do.

    With *returns* it opens a new session when one ends, unless the service ended the connection of Socket.IO itself:
    then no client comes back. Without *speaks* it only listens.
    """

    def __init__(self, url: str, token: str, name: str, *, returns: bool = True, speaks: bool = True) -> None:
        self.name, self.user_id = name, ""
        self.shown: list[dict[str, Any]] = []
        self.acknowledged: dict[str, int] = {}
        """The id of each message by its client message id."""
        self.again = 0
        """Acknowledgements that say that a message had been stored before."""
        self.ended_at: list[float] = []
        self.refusals: list[int] = []
        """The status of each handshake that was refused."""
        self.heard_leave: dict[str, float] = {}
        """When it was told that a user had left."""
        self.dismissed = False
        self._url, self._token = f"ws{url.removeprefix('http')}{PATH}", token
        self._returns, self.speaks = returns, speaks
        self._socket: ClientConnection | None = None
        self._joined = asyncio.Event()
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._fetching: asyncio.Task[None] | None = None
        self._is_behind = False

    @property
    def is_in(self) -> bool:
        return self._joined.is_set()

    async def run(self) -> None:
        """Be in the room, for ever or until the only session has ended."""
        while not self.dismissed:
            try:
                async with connect(self._url, compression=None, ping_interval=None, proxy=None) as socket:
                    await self._session(socket)
            except InvalidStatus as refusal:
                self.refusals.append(refusal.response.status_code)
            except (OSError, WebSocketException, TimeoutError, Lost):
                pass
            if self.ended_at and not self._returns:
                return
            await asyncio.sleep(random.uniform(0.05, 0.3))  # noqa: S311 - no secret

    async def _session(self, socket: ClientConnection) -> None:
        await socket.recv()
        await socket.send(f"40{json.dumps({'token': self._token})}")
        connected = str(await socket.recv())
        assert connected.startswith("40"), connected
        self._socket = socket
        reading = asyncio.create_task(self._read(socket))
        try:
            self.user_id = (await self._ask("join-room"))["userId"]
            self._joined.set()
            self.fetch()
            await reading
        finally:
            self._joined.clear()
            self.ended_at.append(time.monotonic())
            reading.cancel()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(Lost())
                    answer.exception()  # nobody waits for one whose event could not be sent
            self._answers.clear()

    async def _read(self, socket: ClientConnection) -> None:
        async for frame in socket:
            packet = str(frame)
            if packet == "2":
                await socket.send("3")
            elif packet.startswith("43"):
                number, _, body = packet[2:].partition("[")
                answer = self._answers.pop(int(number), None)
                if answer is not None and not answer.done():
                    answer.set_result(json.loads(f"[{body}")[0])
            elif packet.startswith("42"):
                self._hear(*json.loads(packet[2:]))
            elif packet.startswith("41"):
                self.dismissed = True

    async def _ask(self, event: str, **members: Any) -> dict[str, Any]:
        """The acknowledgement; raises Lost, TimeoutError and what `websockets` raises."""
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        assert self._socket is not None
        await self._socket.send(f"42{number}{json.dumps([event, {'roomId': ROOM, **members}])}")
        async with asyncio.timeout(ANSWER_SECONDS):
            return await answer

    def _hear(self, event: str, data: dict[str, Any]) -> None:
        if event == "new-message":
            self._show(data)
        elif event == "last-message" and data["id"] > len(self.shown):
            self.fetch()
        elif event == "user-left":
            self.heard_leave[data["userId"]] = time.monotonic()

    def _show(self, message: dict[str, Any]) -> None:
        """Show the next message; one that was shown is dropped, and one that comes too early is fetched in its turn."""
        if message["id"] == len(self.shown) + 1:
            self.shown.append(message)
        elif message["id"] > len(self.shown):
            self.fetch()

    def fetch(self) -> None:
        """Ask for what came after the last that was shown."""
        self._is_behind = True
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        with contextlib.suppress(OSError, WebSocketException, TimeoutError, Lost):
            while self._is_behind and self.is_in:
                self._is_behind = False
                answer = await self._ask("history", since=len(self.shown))
                for message in answer.get("messages", ()):
                    self._show(message)
                self._is_behind = self._is_behind or bool(answer.get("more"))

    async def speak(self) -> None:
        """Say one thing after the other, each until it is acknowledged, as long as it `speaks`."""
        for number in itertools.count():
            if not self.speaks:
                return
            await self._say(f"{self.name}-{number}")
            if number % SENT_AGAIN == 0:
                await self._say(f"{self.name}-{number}")
            await asyncio.sleep(PAUSE_SECONDS)

    async def _say(self, named: str) -> None:
        while not self.dismissed:
            await self._joined.wait()
            with contextlib.suppress(OSError, WebSocketException, TimeoutError, Lost):
                answer = await self._ask("send-message", message=f"This is {named}.", clientMessageId=named)
                if answer["ok"]:
                    self.again += answer["again"]
                    assert self.acknowledged.setdefault(named, answer["id"]) == answer["id"]
                    return
            await asyncio.sleep(PAUSE_SECONDS)


class Talk:
    """Runs talkers on a loop of its own; leave it with `with`."""

    def __init__(self) -> None:
        self.talkers: list[Talker] = []
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._speaking: dict[Talker, asyncio.Task[None]] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def enter(self, url: str, people: Sequence[tuple[str, str]], **options: bool) -> list[Talker]:
        """Let *people*, each a name and a token, into the room at *url*; they are in when this returns."""
        talkers: list[Talker] = self._do(self._enter(url, people, options))
        self.talkers += talkers
        self.wait(lambda: all(talker.is_in for talker in talkers))
        return talkers

    async def _enter(self, url: str, people: Sequence[tuple[str, str]], options: dict[str, bool]) -> list[Talker]:
        talkers = [Talker(url, token, name, **options) for name, token in people]
        self._tasks += [asyncio.create_task(talker.run()) for talker in talkers]
        self._speaking |= {talker: asyncio.create_task(talker.speak()) for talker in talkers if talker.speaks}
        return talkers

    def wait(self, condition: Callable[[], object], seconds: float = WORLD_SECONDS) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, "in vain"
            time.sleep(0.02)

    def hush(self, talkers: Sequence[Talker]) -> None:
        """Let all fall silent; *talkers* have said their last when this returns, and ask for what they miss."""
        for talker in self.talkers:
            talker.speaks = False
        self.wait(lambda: all(self._speaking[talker].done() for talker in talkers if talker in self._speaking))
        for talker in talkers:
            self._loop.call_soon_threadsafe(talker.fetch)

    async def _cancel(self) -> None:
        tasks = [*self._speaking.values(), *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WORLD_SECONDS)


def most_at_once(moments: Sequence[float], seconds: float) -> int:
    """How many of *moments* lie within *seconds* of each other, at most."""
    ordered = sorted(moments)
    return max((sum(first <= moment <= first + seconds for moment in ordered) for first in ordered), default=0)
