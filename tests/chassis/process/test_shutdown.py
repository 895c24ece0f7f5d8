"""What clients and the balancer see while the process stops (RFC 9110, section 7.6.1, for `Connection: close`)."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

import pytest

from .service import Service, in_thread, read_answer, read_to_end, request

EXTRA_SECONDS = 4.0
"""What the process may take beyond its delay, deadline and teardown, on a busy machine; its work takes longer."""


def client_of_a_balancer(port: int, stop_at: list[float], *, keep_alive: bool) -> dict[str, int]:
    """Back-to-back requests until the time in *stop_at*; a connection that ended while idle is no loss."""
    counts = {"answered": 0, "dropped": 0, "rejected": 0}
    fields = () if keep_alive else ("Connection: close",)
    client: socket.socket | None = None
    while not stop_at or time.monotonic() < stop_at[0]:
        answer = None
        try:
            client = client or socket.create_connection(("127.0.0.1", port), timeout=5)
            client.sendall(request("/slow?seconds=0.01", "GET", *fields))
            answer = read_answer(client)
        except ConnectionRefusedError:
            counts["rejected"] += 1
            time.sleep(0.02)
            continue
        except OSError:
            counts["dropped"] += 1
        counts["answered"] += answer is not None and answer.status == 200
        if client is not None and (answer is None or answer.headers.get("connection") == "close"):
            client.close()
            client = None
    if client is not None:
        client.close()
    return counts


@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "one connection a request"])
def test_no_request_is_lost_when_the_balancer_notices_within_the_drain_delay(*, keep_alive: bool) -> None:
    with Service(drain_delay_seconds=0.7) as service:
        port = service.port()
        stop_at: list[float] = []
        clients = [in_thread(lambda: client_of_a_balancer(port, stop_at, keep_alive=keep_alive)) for _ in range(10)]
        time.sleep(0.2)
        service.signal()
        stop_at.append(time.monotonic() + 0.5)
        counts = [client() for client in clients]

        assert sum(count["answered"] for count in counts) > 100
        assert sum(count["dropped"] for count in counts) == 0
        assert sum(count["rejected"] for count in counts) == 0
        assert service.exit_code(3) == 0


def test_readiness_flips_at_once_while_requests_are_still_served_and_asked_to_leave() -> None:
    with Service(drain_delay_seconds=0.6) as service:
        assert service.ask("/health/ready").status == 200
        service.signal()
        service.line("draining")
        assert service.ask("/health/ready").status == 503
        answer = service.ask("/")

        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert service.exit_code(3) == 0
        assert time.monotonic() - service.signalled_at >= 0.6


@pytest.mark.together
def test_the_operations_listener_answers_until_the_main_one_has_drained() -> None:
    with Service(operations_port=0, shutdown_deadline_seconds=3) as service, service.connect() as client:
        client.sendall(request("/slow?seconds=0.8"))
        operations = service.port("operations")
        service.port()
        time.sleep(0.1)
        service.signal()
        service.line("stopped accepting", listener="main")
        with pytest.raises(ConnectionRefusedError):
            service.connect()
        with socket.create_connection(("127.0.0.1", operations)) as probe:
            probe.sendall(request("/health/ready"))
            assert read_answer(probe).status == 503

        assert read_answer(client).status == 200
        assert service.exit_code(4) == 0


@pytest.mark.together
def test_requests_in_flight_are_finished_and_idle_connections_see_a_clean_end() -> None:
    with Service() as service, service.connect() as busy, service.connect() as idle, service.connect() as used:
        used.sendall(request("/"))
        read_answer(used)
        busy.sendall(request("/slow?seconds=0.6"))
        time.sleep(0.1)
        service.signal()

        assert read_to_end(idle) == b""
        assert read_to_end(used) == b""
        assert read_answer(busy).status == 200
        assert read_to_end(busy) == b""
        assert service.exit_code(3) == 0


@pytest.mark.together
@pytest.mark.parametrize(("before", "pause_seconds"), [("", 0.05), ("GET / HT", 0.4)], ids=["whole", "half"])
def test_a_request_that_is_on_the_wire_when_the_listener_closes_is_served(before: str, pause_seconds: float) -> None:
    """Within the grace of idle connections; where the machine was too slow for that moment, it is tried again."""
    whole = request("/")
    for _ in range(5):
        with Service() as service, service.connect() as client:
            client.sendall(whole[: len(before)])
            time.sleep(0.05)
            service.signal()
            signalled = time.monotonic()
            service.line("stopped accepting")
            time.sleep(pause_seconds)
            client.sendall(whole[len(before) :])
            late = time.monotonic() - signalled > pause_seconds + 0.15
            try:
                assert read_answer(client).status == 200
            except ConnectionError:
                if not late:
                    raise
            else:
                return
    pytest.fail("the machine was too slow five times")


@pytest.mark.together
def test_what_overruns_the_deadline_is_answered_and_told_in_the_exit_code() -> None:
    overrunning = ["/slow?seconds=12", "/stubborn?seconds=12", "/thread?seconds=12"]
    with Service(shutdown_deadline_seconds=0.6, teardown_seconds=0.5) as service:
        clients = [service.connect() for _ in overrunning]
        for client, target in zip(clients, overrunning, strict=True):
            client.sendall(request(target))
        time.sleep(0.2)
        service.signal()
        answers = [read_answer(client) for client in clients]

        for answer in answers:
            assert answer.status == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["type"].endswith(":shutting-down")
            assert answer.json()["instance"] == answer.headers["x-request-id"]
        assert service.exit_code(0.6 + 0.5 + EXTRA_SECONDS) == 75
        service.events()
        assert service.line("connections ended")["cancelled"] == 3
        for client in clients:
            client.close()


def wait_for(words: bytes, client: socket.socket) -> None:
    received = b""
    while words not in received:
        received += client.recv(65536) or pytest.fail(f"the connection ended after {received!r}")


@pytest.mark.together
def test_streams_that_know_of_the_shutdown_end_whole_and_others_are_cut_off() -> None:
    with Service(shutdown_deadline_seconds=0.8) as service, contextlib.ExitStack() as stack:
        aware = [stack.enter_context(service.connect()) for _ in range(10)]
        endless = stack.enter_context(service.connect())
        endless.sendall(request("/endless"))
        for client in aware:
            client.sendall(request("/events"))
        for client in aware:
            wait_for(b"hello", client)
        service.signal()

        for client in aware:
            goodbye = read_to_end(client)
            assert b"data: goodbye" in goodbye
            assert goodbye.endswith(b"\r\n0\r\n\r\n")
        assert not read_to_end(endless).endswith(b"\r\n0\r\n\r\n")
        assert service.exit_code(0.8 + EXTRA_SECONDS) == 75


TEXT, CLOSE = 1, 8


def frame(opcode: int, payload: bytes) -> bytes:
    """One frame of a client (RFC 6455, section 5.2); a mask of zeros leaves the payload as it is."""
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def code_at_the_end(port: int, path: str, *, chatty: bool) -> int:
    """The code with which the server closed a websocket; the connection under it must end without a reset."""
    handshake = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(request(path, "GET", *handshake, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="))
        head, _, received = client.recv(10_000).partition(b"\r\n\r\n")  # a Close may come with it
        assert head.startswith(b"HTTP/1.1 101 ")
        client.settimeout(0.002 if chatty else 5)
        while not received:
            if chatty:
                client.sendall(frame(TEXT, b"chatter"))
            with contextlib.suppress(TimeoutError):
                received = client.recv(10_000)
        client.settimeout(5)
        for said in [frame(TEXT, b"was on its way"), frame(CLOSE, received[2:4])]:
            client.sendall(said)
            time.sleep(0.02)
        assert read_to_end(client) == b""
    assert received[0] == 0x80 | CLOSE
    return int.from_bytes(received[2:4])


@pytest.mark.together
@pytest.mark.parametrize("path", ["/websocket/aware", "/websocket/unaware"])
def test_every_websocket_is_told_that_the_service_restarts(path: str) -> None:
    with Service(shutdown_deadline_seconds=4) as service:
        port = service.port()
        quiet = [in_thread(lambda: code_at_the_end(port, path, chatty=False)) for _ in range(10)]
        chatty = [in_thread(lambda: code_at_the_end(port, path, chatty=True)) for _ in range(10)]
        time.sleep(0.3)
        service.signal()

        assert [1012] * 20 == [client() for client in [*quiet, *chatty]]
        assert service.exit_code(4) == 0


@pytest.mark.together
@pytest.mark.parametrize("path", ["/websocket/crashing", "/websocket/late"])
def test_a_websocket_whose_handler_crashes_is_told_and_the_crash_logged_once(path: str) -> None:
    with Service() as service:
        assert code_at_the_end(service.port(), path, chatty=False) == 1011
        service.signal()
        service.exit_code(3)
        assert service.events().count("unhandled exception") == 1


@pytest.mark.together
def test_each_step_of_the_shutdown_is_logged_with_its_figure() -> None:
    with Service(drain_delay_seconds=0.3) as service, service.connect() as client:
        client.sendall(request("/slow?seconds=1.5"))
        time.sleep(0.1)
        service.signal()
        read_answer(client)
        service.exit_code(4)
        events = service.events()

    steps = ["draining", "drain delay over", "stopped accepting", "connections ended", "torn down", "stopped"]
    assert steps == [event for event in events if event in steps]
    figures: list[tuple[str, dict[str, Any]]] = [
        ("draining", {"cause": "SIGTERM", "in_flight": 1, "drain_delay_seconds": 0.3}),
        ("drain delay over", {"waited_seconds": 0.3, "in_flight": 1}),
        ("stopped accepting", {"connections": 1, "in_flight": 1}),
        ("connections ended", {"cancelled": 0}),
        ("stopped", {"exit_code": 0}),
    ]
    for event, figure in figures:
        assert figure.items() <= service.line(event).items()
