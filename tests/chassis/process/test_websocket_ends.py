"""How a websocket ends: in order, and at the latest when its client has not read for the time of a write."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from .service import Service, request

WRITE_SECONDS = 0.5
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
CLOSE_1000 = b"\x88\x82\0\0\0\0\x03\xe8"


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(write_timeout_seconds=WRITE_SECONDS) as running:
        yield running


def opened(service: Service, path: str) -> ClientConnection:
    client: ClientConnection = connect(
        f"ws://127.0.0.1:{service.port()}/websocket/{path}", proxy=None, compression=None, legacy=True
    )
    return client


def stuck_client(service: Service, *, closing: bool) -> socket.socket:
    """A client that reads nothing of what is pushed to it; *closing*, it has sent its Close."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", service.port()))
    client.sendall(request("/websocket/pushing", "GET", *HANDSHAKE))
    service.line("pushing")
    time.sleep(0.2)
    if closing:
        client.sendall(CLOSE_1000)
    return client


def code_of_end(client: ClientConnection) -> int | None:
    try:
        while True:
            client.recv(timeout=30)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


@pytest.mark.parametrize("path", ["unaware", "aware", "echo", "pushing"])
def test_an_orderly_close_of_a_client_is_no_error(service: Service, path: str) -> None:
    for messages in range(20):
        with closing(opened(service, path)) as client:
            if path == "echo":
                for _ in range(messages % 4):
                    client.send("hello")
                    client.recv(timeout=10)
            client.close(1000)
            assert client.close_code in {1000, 1005}
    service.signal()

    assert 0 == service.exit_code(within_seconds=30)
    events = service.events()
    assert [] == [line for line in service.lines if line.get("level") == "error" or line["event"] == "standard library"]
    assert "stopped" in events


@pytest.mark.parametrize("closing", [False, True], ids=["open", "after its Close"])
def test_a_client_that_does_not_read_takes_nothing_from_the_others_at_the_end(*, closing: bool) -> None:
    with Service(shutdown_deadline_seconds=8, write_timeout_seconds=60) as service, ExitStack() as clients:
        others = [clients.enter_context(opened(service, "unaware")) for _ in range(4)]
        clients.enter_context(stuck_client(service, closing=closing))
        clients.enter_context(stuck_client(service, closing=closing))
        others += [clients.enter_context(opened(service, "aware")) for _ in range(4)]
        with ThreadPoolExecutor(8) as threads:
            codes = threads.map(code_of_end, others)
            service.signal()

            assert [1012] * 8 == list(codes)
        assert 0 == service.exit_code(within_seconds=6)
        assert 0 == service.line("connections ended")["cancelled"]


@pytest.mark.parametrize("closing", [False, True], ids=["open", "after its Close"])
def test_a_client_that_does_not_read_is_dropped(service: Service, *, closing: bool) -> None:
    with stuck_client(service, closing=closing):
        service.line("connection given up", reason="the client does not read its messages")
        service.line("push ended")


def test_a_handler_that_sends_ends_with_the_close_of_a_client_that_does_not_read() -> None:
    with Service(write_timeout_seconds=60) as service, stuck_client(service, closing=True):
        service.line("push ended")


def test_a_client_that_reads_slowly_stays(service: Service) -> None:
    with service.connect() as client:
        client.sendall(request("/websocket/pushing", "GET", *HANDSHAKE))
        for _ in range(20):
            time.sleep(WRITE_SECONDS / 4)
            assert client.recv(2_000_000)
    service.line("push ended")

    assert not [line for line in service.lines if line["event"] == "connection given up"]


def test_a_quiet_client_stays(service: Service) -> None:
    with opened(service, "echo") as client:
        time.sleep(3 * WRITE_SECONDS)
        client.send("still here")

        assert "still here" == client.recv(timeout=10)
