"""The fan-out against a real Redis: a listener that ended is replaced, and a lost Redis is survived."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
import socketio
from redis.asyncio.client import Pipeline, PubSub
from structlog.testing import capture_logs

from acme_service.chassis.cancellation import end
from acme_service.chassis.chat.fanout import LocalFanOut, RedisFanOut
from acme_service.chassis.chat.packets import StrictPacket

from ...redis_server import RedisServer

pytestmark = pytest.mark.anyio

NOTICED_SECONDS = 5.0


class Process:
    """A fan-out with its tasks, and what it was told."""

    def __init__(self, url: str, channel: str) -> None:
        self.told: list[dict[str, Any]] = []
        self.dropped: list[int] = []
        self.healed = 0
        self.sent: list[tuple[str, str]] = []
        self.fanout = RedisFanOut(
            url, channel=channel, on_told=self._hear, on_dropped=self.dropped.append, on_healed=self._heal
        )
        server = socketio.AsyncServer(async_mode="asgi", client_manager=self.fanout, serializer=StrictPacket)
        server.eio.send_packet = self._send
        self.fanout.basic_enter_room("sid", "/", None, eio_sid="engine")
        self.fanout.basic_enter_room("sid", "/", "room")

    async def _hear(self, message: dict[str, Any]) -> None:
        self.told.append(message)

    def _heal(self) -> None:
        self.healed += 1

    async def _send(self, engine_sid: str, packet: Any) -> None:
        self.sent.append((engine_sid, packet.encode()))

    def ping(self) -> dict[str, Any]:
        return {"method": "chat-alive", "host_id": self.fanout.host_id}

    async def emit(self, data: object) -> None:
        await self.fanout.emit("new-message", data, namespace="/", room="room")

    def heard(self, of: Process) -> int:
        return sum(message["host_id"] == of.fanout.host_id for message in self.told)


@asynccontextmanager
async def process(url: str, channel: str = "test") -> AsyncIterator[Process]:
    made = Process(url, channel)
    tasks = [asyncio.ensure_future(each) for each in (made.fanout.publish(), made.fanout.watch(made.ping))]
    try:
        yield made
    finally:
        await end(tasks)
        await made.fanout.close()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """The seconds until *condition* holds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "in vain"
        await asyncio.sleep(0.02)
    return time.monotonic() - started


async def connected(one: Process, other: Process) -> None:
    await until(lambda: one.heard(other) > 0 and other.heard(one) > 0)


async def test_a_room_is_one_over_both_processes_and_order_is_kept(redis_server: RedisServer) -> None:
    async with process(redis_server.url) as one, process(redis_server.url) as other:
        await connected(one, other)
        for number in range(250):
            await one.emit({"id": number})
        await until(lambda: len(other.sent) == 250)

    expected = [("engine", f'42["new-message",{{"id":{number}}}]') for number in range(250)]
    assert expected == one.sent == other.sent


STRANGE = [
    b"x",
    b"[]",
    b"{}",
    b'{"method":5}',
    b'{"method":"close_room","host_id":"z","room":null,"namespace":"/"}',
    b'{"method":"leave_room","host_id":"z","sid":"sid","room":"room","namespace":"/"}',
    b'{"method":"disconnect","host_id":"z","sid":"sid","namespace":"/"}',
    b'{"method":"emit"}',
    b'{"method":"emit","host_id":"z","event":"e","data":1,"namespace":"/","room":[5]}',
    b"\xff",
    b"[" * 20_000,
]


async def test_strange_messages_on_the_channel_are_ignored(redis_server: RedisServer) -> None:
    with capture_logs() as logs:
        async with process(redis_server.url) as first, process(redis_server.url) as second:
            await until(lambda: first.heard(second) > 0)
            with redis.Redis.from_url(redis_server.url) as client:
                for message in STRANGE:
                    client.publish("test", message)
            await first.emit("after")
            await until(lambda: len(second.sent) > 0)

            assert "after" in second.sent[-1][1]
            assert (0, 0) == (first.fanout.restarts, second.fanout.restarts)
    assert [line for line in logs if line["event"] == "message not understood"]


async def test_processes_of_other_channels_hear_nothing(redis_server: RedisServer) -> None:
    async with process(redis_server.url) as one, process(redis_server.url, "another") as other:
        await until(lambda: one.heard(one) > 0 and other.heard(other) > 0)

        assert 0 == one.heard(other) == other.heard(one)


@pytest.mark.parametrize("end", ["cancelled", "cut off"])
async def test_a_listener_that_ended_is_replaced_in_time(redis_server: RedisServer, end: str) -> None:
    async with process(redis_server.url) as one, process(redis_server.url) as other:
        await connected(one, other)
        if end == "cancelled":
            assert other.fanout.thread
            other.fanout.thread.cancel()
        else:
            with redis.Redis.from_url(redis_server.url) as admin:
                admin.client_kill_filter(_type="pubsub")
        await asyncio.sleep(0.05)
        before = other.heard(one)

        assert await until(lambda: other.heard(one) > before) < NOTICED_SECONDS
        other.sent.clear()
        await one.emit(1)
        await until(lambda: other.sent == [("engine", '42["new-message",1]')])


async def test_a_listener_that_hears_nothing_any_more_is_started_again(redis_server: RedisServer) -> None:
    """As when the network drops what Redis sends: the connection looks open."""
    async with process(redis_server.url) as one:
        await until(lambda: one.heard(one) > 0)
        deaf = one.fanout.thread
        assert deaf
        original = one.fanout._read  # noqa: SLF001 - what it hears

        async def read(data: bytes) -> dict[str, Any] | None:  # noqa: ARG001 - it is deaf
            return None

        one.fanout._read = read  # type: ignore[method-assign]  # noqa: SLF001 - as above
        await until(lambda: one.fanout.degraded, NOTICED_SECONDS)
        one.fanout._read = original  # type: ignore[method-assign]  # noqa: SLF001 - as above
        before = len(one.told)
        await until(lambda: len(one.told) > before and not one.fanout.degraded)

    assert deaf.done()
    assert 0 < one.fanout.restarts < 3


async def test_redis_may_go_and_come_back(redis_server: RedisServer) -> None:
    with capture_logs() as logs:
        async with process(redis_server.url) as one, process(redis_server.url) as other:
            await connected(one, other)
            redis_server.kill()
            await until(lambda: one.fanout.degraded and other.fanout.degraded, NOTICED_SECONDS)
            started = time.monotonic()
            for number in range(50):
                await one.emit(number)
            assert time.monotonic() - started < 0.5
            assert 50 == len(one.sent)
            assert sum(one.dropped) >= 50
            redis_server.start()
            await until(lambda: one.healed == 1 and other.healed == 1)
            await one.emit("back")
            await until(lambda: bool(other.sent) and "back" in other.sent[-1][1])

    events = [line["event"] for line in logs]
    assert 2 == events.count("chat degraded") == events.count("chat healed")


@pytest.mark.parametrize("closes", [PubSub, Pipeline])
async def test_an_error_in_place_of_a_cancellation_does_not_keep_the_fan_out_alive(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, closes: Any
) -> None:
    """As the client raises one when it closes a connection whose server has stalled."""
    leave, failures = closes.__aexit__, list[object]()

    async def fail(each: Any, kind: Any, *more: Any) -> Any:
        await leave(each, kind, *more)
        if kind is asyncio.CancelledError:
            failures.append(each)
            raise redis.exceptions.TimeoutError("Timed out closing connection")

    async def stall(_pipeline: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(closes, "__aexit__", fail)
    async with asyncio.timeout(20), process(redis_server.url) as one:
        await until(lambda: one.heard(one) > 0)
        monkeypatch.setattr(Pipeline, "execute", stall)
        await asyncio.sleep(1.5)  # until a ping waits to be sent

    assert failures


async def test_a_redis_that_stalls_keeps_nobody_waiting(redis_server: RedisServer) -> None:
    async with process(redis_server.url) as one:
        await until(lambda: one.heard(one) > 0)
        redis_server.freeze()
        try:
            started = time.monotonic()
            for number in range(50):
                await one.emit(number)
            assert time.monotonic() - started < 0.5
            await until(lambda: one.fanout.degraded, NOTICED_SECONDS)
        finally:
            redis_server.thaw()
        await until(lambda: not one.fanout.degraded)


async def test_without_redis_an_event_is_encoded_once_and_reaches_all_but_one(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[object] = []
    original = StrictPacket.encode

    def encode(packet: StrictPacket) -> Any:
        encoded.append(packet)
        return original(packet)

    monkeypatch.setattr(StrictPacket, "encode", encode)
    manager, sent = LocalFanOut(), list[str]()
    server = socketio.AsyncServer(async_mode="asgi", client_manager=manager, serializer=StrictPacket)

    async def send(engine_sid: str, _packet: Any) -> None:
        if engine_sid == "engine 1":
            raise KeyError(engine_sid)  # closed meanwhile
        sent.append(engine_sid)

    server.eio.send_packet = send
    for number in range(4):
        manager.basic_enter_room(str(number), "/", None, eio_sid=f"engine {number}")
        manager.basic_enter_room(str(number), "/", "room")
    await server.emit("new-message", {"id": 1}, room="room", skip_sid="0")

    assert (["engine 2", "engine 3"], 1) == (sent, len(encoded))
