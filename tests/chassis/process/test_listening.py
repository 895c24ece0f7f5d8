"""Where a service listens, and how long it keeps what it has accepted."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from .command import Command, run
from .service import read_answer, request


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


LOOPBACKS = ["127.0.0.1", *(["::1"] if _has_ipv6() else [])]


def test_the_address_of_all_addresses_serves_both_families_by_their_own_names(folder: Path) -> None:
    with Command(folder, HOST="::") as service:
        port = service.port()
        for number, address in enumerate(LOOPBACKS):
            with socket.create_connection((address, port), timeout=5) as client:
                client.sendall(request("/", "GET", f"X-Request-ID: family-{number}"))
                assert 200 == read_answer(client).status
            assert address == service.line("request", request_id=f"family-{number}")["client"]
        assert 0 == run(folder, "healthcheck", HOST="::", PORT=str(port)).returncode


def test_the_time_of_an_idle_connection_is_a_setting(folder: Path) -> None:
    with Command(folder, KEEP_ALIVE_SECONDS="620") as service:
        assert "timeout=619" == service.ask("/").headers["keep-alive"]


@pytest.mark.parametrize("value", ["0", "7201", "soon"])
def test_a_keep_alive_time_that_is_none_is_rejected(folder: Path, value: str) -> None:
    result = run(folder, "config", "--check", KEEP_ALIVE_SECONDS=value)

    assert 78 == result.returncode
    assert "KEEP_ALIVE_SECONDS" in result.stderr


def test_a_draining_service_promises_no_further_time(folder: Path) -> None:
    with Command(folder, DRAIN_DELAY_SECONDS="2") as service:
        assert "keep-alive" in service.ask("/").headers
        service.signal()
        service.line("draining")
        answer = service.ask("/")

    assert "close" == answer.headers["connection"]
    assert "keep-alive" not in answer.headers
