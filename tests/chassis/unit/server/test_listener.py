from __future__ import annotations

import asyncio
import errno
import select
import socket
from typing import Any

import pytest
import uvloop

from acme_service.chassis.server.listener import Listener
from acme_service.chassis.server.options import ServerOptions
from acme_service.chassis.shapes.problem import ProblemDetails

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


async def respond(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def opened() -> tuple[Listener, int]:
    listener = Listener("main", ServerOptions(problems=ProblemDetails("test"), host="127.0.0.1", port=0), 0)
    listener.bind()
    await listener.open(respond, {})
    return listener, listener._sockets[0].getsockname()[1]  # noqa: SLF001 - only the log tells it otherwise


def asking(port: int) -> socket.socket:
    """A connection with a request on it, both of which the system has and the event loop has not seen."""
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.sendall(REQUEST)
    return client


@pytest.fixture
def handshakes_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system that cannot be told to drop them."""
    monkeypatch.setattr("acme_service.chassis.server.listener.drop_handshakes", lambda _listener: None)


@pytest.mark.usefixtures("handshakes_go_on")
def test_connections_that_come_while_others_are_taken_over_are_served_too() -> None:
    async def run() -> list[bytes]:
        listener, port = await opened()
        clients = [asking(port)]
        new_connection = listener._new_connection  # noqa: SLF001 - the moment at which the next one comes

        def come_and_connect() -> Any:
            if len(clients) < 5:
                clients.append(asking(port))
            return new_connection()

        listener._new_connection = come_and_connect  # noqa: SLF001 - as above
        await listener.end(3)
        received = [client.recv(10_000) for client in clients]
        for client in clients:
            client.close()
        return received

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        received = runner.run(run())

    assert [True] * 5 == [each.endswith(b"\r\n\r\nok") for each in received]


@pytest.mark.usefixtures("handshakes_go_on")
def test_a_stream_of_new_connections_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acme_service.chassis.server.listener.ACCEPT_SECONDS", 0.1)

    async def run() -> float:
        listener, port = await opened()
        clients = [asking(port)]
        new_connection = listener._new_connection  # noqa: SLF001 - as above

        def come_and_connect() -> Any:
            clients.append(asking(port))
            return new_connection()

        listener._new_connection = come_and_connect  # noqa: SLF001 - as above
        await listener.end(3)
        for client in clients:
            client.close()
        return len(clients)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run())


def test_who_connects_while_the_listener_closes_is_refused_and_never_reset() -> None:
    """Linux drops what asks for a connection, so that nobody is accepted only to be reset."""

    async def run() -> list[int]:
        listener, port = await opened()
        first, late = asking(port), []
        new_connection = listener._new_connection  # noqa: SLF001 - as above

        def come_and_connect() -> Any:
            for _ in range(5):
                late.append(socket.socket())
                late[-1].setblocking(False)
                late[-1].connect_ex(("127.0.0.1", port))
            return new_connection()

        listener._new_connection = come_and_connect  # noqa: SLF001 - as above
        await listener.end(3)
        assert first.recv(10_000).endswith(b"ok")
        select.select([], late[:1], [], 10)
        await asyncio.sleep(0.2)
        errors = [client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for client in late]
        for client in (first, *late):
            client.close()
        return errors

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        errors = runner.run(run())

    assert [errno.ECONNREFUSED] * 5 == errors


def test_a_connection_that_fails_takes_nothing_from_the_others() -> None:
    """Whatever fails at one connection's end, the others are ended, and the process is not held up."""

    async def run() -> tuple[int, list[bytes]]:
        listener, port = await opened()
        clients = [asking(port) for _ in range(3)]
        while len(listener.state.connections) < 3 or listener.in_flight:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        for client in clients:
            assert client.recv(10_000).endswith(b"ok")
        broken: Any = next(iter(listener.state.connections))
        broken.finish = lambda: 1 / 0
        cut_off = await listener.end(3)
        rest = []
        for client in clients:
            try:
                rest.append(client.recv(10))
            except ConnectionResetError:
                rest.append(b"reset")
            client.close()
        return cut_off, rest

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        cut_off, rest = runner.run(run())

    assert 0 == cut_off
    assert 2 <= rest.count(b"")
