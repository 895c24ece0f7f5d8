"""More connections than a process, or one address, may have."""

from __future__ import annotations

import re
import resource
import shlex
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from .command import CORE, Command
from .service import Answer, read_answer, request
from .test_websocket_ends import HANDSHAKE

FLOOD = 150


class FewDescriptors(Command):
    """`serve` after `ulimit -n 64`."""

    def serve(self, folder: Path) -> None:
        command = f"ulimit -n 64; exec {shlex.join([*CORE, 'serve'])}"
        self.start(["/bin/sh", "-c", command], cwd=folder, env=self.environment)


def metric(service: Command, sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", service.ask("/metrics").body.decode(), re.MULTILINE)
    assert found, sample
    return float(found[1])


def asked(client: socket.socket, target: str = "/health/live") -> Answer:
    client.sendall(request(target))
    return read_answer(client)


def is_ready(service: FewDescriptors) -> bool:
    """In one of three tries: on a busy machine a check may take longer than it has; without a descriptor each fails."""
    return any(service.ask("/health/ready").status == 200 for _ in range(3))


def test_the_longest_idle_connection_goes_first_when_descriptors_run_short(folder: Path) -> None:
    with FewDescriptors(folder) as service, ExitStack() as open_ones:
        clients = []
        for _ in range(FLOOD):
            clients.append(open_ones.enter_context(service.connect()))
            assert 200 == asked(clients[-1]).status
        warning = service.line("descriptors run short")

        assert ("warning", "idle", 64) == (warning["level"], warning["reason"], warning["limit"])
        assert b"" == clients[0].recv(10)
        assert 200 == asked(clients[-1]).status
        assert FLOOD / 2 < metric(service, 'connections_shed_total{reason="idle"}') < FLOOD
        assert 10 < metric(service, "open_connections") < 64
        assert is_ready(service)
        service.signal()
        assert 0 == service.exit_code(within_seconds=30)


def test_clients_that_say_nothing_or_half_a_head_keep_nobody_out(folder: Path) -> None:
    with FewDescriptors(folder) as service, ExitStack() as open_ones:
        for number in range(FLOOD):
            client = open_ones.enter_context(service.connect())
            client.sendall(b"GET / HTTP/1.1\r\nX-Slow: " if number % 2 else b"")
        for _ in range(5):
            assert is_ready(service)


def test_without_an_idle_connection_a_new_one_is_rejected(folder: Path) -> None:
    with FewDescriptors(folder) as service, ExitStack() as open_ones:
        statuses = []
        for _ in range(60):
            client = open_ones.enter_context(service.connect())
            try:
                client.sendall(request("/api/users", "POST", "Content-Type: application/json", "Content-Length: 5"))
                client.settimeout(0.05)
                statuses.append(read_answer(client).status)
            except TimeoutError:
                statuses.append(0)
            except OSError:
                statuses.append(-1)
        service.line("descriptors run short", reason="descriptors")

    assert 0 in statuses or 404 in statuses
    assert {503, -1} & set(statuses)


def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one(folder: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = min(256, hard)

    class SoftLimit(Command):
        def serve(self, folder: Path) -> None:
            command = f"ulimit -S -n {soft}; exec {shlex.join([*CORE, 'serve'])}"
            self.start(["/bin/sh", "-c", command], cwd=folder, env=self.environment)

    with SoftLimit(folder) as service:
        assert float(hard) == metric(service, "process_max_fds")


def test_one_address_has_so_many_connections_as_it_may(folder: Path) -> None:
    with Command(folder, MAX_CONNECTIONS_PER_ADDRESS="3", OPERATIONS_PORT="0") as service, ExitStack() as open_ones:
        clients = [open_ones.enter_context(service.connect()) for _ in range(3)]
        for client in clients:
            assert 200 == asked(client, "/").status
        rejected = open_ones.enter_context(service.connect())

        assert 429 == read_answer(rejected).status
        assert "127.0.0.1" == service.line("too many connections of one address")["client"]
        for _ in range(5):
            assert 200 == service_status(service)
        clients.pop().close()
        rejected.close()
        assert 200 == until_admitted(service)


def service_status(service: Command) -> int:
    with service.connect("operations") as client:
        return asked(client).status


def until_admitted(service: Command) -> int:
    ends = time.monotonic() + 20
    while True:
        with service.connect() as client:
            client.sendall(request("/"))
            try:
                status = read_answer(client).status
            except OSError:
                status = 0
        if status == 200 or time.monotonic() > ends:
            return status
        time.sleep(0.2)


@pytest.mark.parametrize("websocket", [False, True])
def test_a_connection_that_ended_makes_room_for_another_of_its_address(folder: Path, *, websocket: bool) -> None:
    with Command(folder, MAX_CONNECTIONS_PER_ADDRESS="1") as service:
        for _ in range(3):
            with service.connect() as client:
                client.sendall(request("/missing", "GET", *(HANDSHAKE if websocket else ())))
                assert client.recv(10_000)
            time.sleep(0.3)
        answer = service.ask("/")

    assert 200 == answer.status
