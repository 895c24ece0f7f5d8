"""What the chat takes from the library besides its documented interface: a version that changes it is seen here."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
import socketio
from engineio.async_socket import AsyncSocket
from socketio.packet import Packet

from acme_service.chassis.chat.fanout import RedisFanOut
from acme_service.chassis.chat.link import Outbox
from acme_service.chassis.chat.packets import RESERVED

pytestmark = pytest.mark.anyio


async def test_the_engine_has_a_handler_for_each_of_its_events_and_makes_its_queues_by_a_method() -> None:
    engine = socketio.AsyncServer(async_mode="asgi").eio
    engine.create_queue = lambda: Outbox(5)

    assert {"connect", "message", "disconnect"} == set(engine.handlers)
    assert 5 == AsyncSocket(engine, "sid").queue._max_bytes  # noqa: SLF001 - of ours
    assert {} == engine.sockets


def test_the_managers_extension_points_are_those_that_are_overridden() -> None:
    pubsub = socketio.AsyncRedisManager.__mro__[1]
    for name in ("_publish", "_listen"):
        assert "needs to be implemented" in (inspect.getdoc(getattr(pubsub, name)) or "").replace("\n", " ")
        assert name in vars(RedisFanOut)
    source = inspect.getsource(pubsub.initialize)
    assert "self.thread = self.server.start_background_task(self._thread)" in source


async def test_the_manager_takes_its_own_messages_as_dictionaries_and_ignores_other_methods() -> None:
    heard: list[Any] = []

    class Manager(socketio.AsyncRedisManager):  # type: ignore[misc] # the library ships no types
        async def _listen(self) -> Any:
            yield {"method": "chat-alive", "host_id": "other"}
            yield {"method": "emit", "host_id": "other", "event": "e", "data": [1], "namespace": "/", "room": "r"}
            await asyncio.Event().wait()

        async def _handle_emit(self, message: Any) -> None:
            heard.append(message["event"])

    server = socketio.AsyncServer(async_mode="asgi", client_manager=Manager("redis://127.0.0.1:1"))
    server.manager.initialize()
    for _ in range(5):
        await asyncio.sleep(0)
    server.manager.thread.cancel()
    await asyncio.wait([server.manager.thread])

    assert ["e"] == heard


def test_every_event_that_the_library_reserves_is_reserved() -> None:
    assert set(socketio.AsyncServer.reserved_events) <= RESERVED


def test_a_packet_is_decoded_by_the_method_that_is_overridden() -> None:
    assert "self.decode(encoded_packet)" in inspect.getsource(Packet.__init__)
