from __future__ import annotations

import asyncio
import signal
import socket
import tempfile
import time
from pathlib import Path

import pytest

from acme_service.chassis.database.migrations.runner import migrated
from acme_service.chassis.server.signal_watch import HANDLER_GRACE_SECONDS

from ..databases import SCHEMA
from . import dying_application
from .service import Service, read_answer, request

pytestmark = pytest.mark.together

SLACK_SECONDS = 4
"""What a busy machine may add to the bounds of a shutdown; whatever holds a process here would hold it longer."""


def test_a_second_signal_ends_the_process_at_once() -> None:
    with Service(drain_delay_seconds=8) as service, service.connect() as client:
        client.sendall(request("/slow?seconds=8"))
        service.signal(signal.SIGTERM)
        service.line("draining")
        service.signal(signal.SIGINT)

        assert service.exit_code(SLACK_SECONDS) == 128 + signal.SIGINT


@pytest.mark.parametrize("path", ["/block", "/be-deaf"])
def test_a_second_signal_ends_a_process_whose_loop_is_blocked(path: str) -> None:
    with Service() as service, service.connect() as client:
        client.sendall(request(f"{path}?seconds=8"))
        time.sleep(0.1)
        service.signal(signal.SIGTERM)
        time.sleep(0.1)
        service.signal(signal.SIGTERM)

        assert service.exit_code(SLACK_SECONDS) == 128 + signal.SIGTERM


@pytest.mark.parametrize("path", ["/block", "/be-deaf"])
def test_a_blocked_event_loop_cannot_hold_the_process(path: str) -> None:
    with Service(shutdown_deadline_seconds=0.3, teardown_seconds=0.3) as service, service.connect() as client:
        client.sendall(request(f"{path}?seconds=8"))
        time.sleep(0.1)
        service.signal()

        assert service.exit_code(0.3 + 0.3 + SLACK_SECONDS) == 75


def test_a_signal_that_is_heard_late_is_one_signal_and_drops_no_request() -> None:
    with Service() as service, service.connect() as client:
        client.sendall(request("/be-deaf?seconds=0.8"))
        time.sleep(0.1)
        service.signal()

        assert read_answer(client).status == 200
        assert service.exit_code(0.8 + SLACK_SECONDS) == 0


def test_a_signal_to_a_forked_child_is_none_to_the_service() -> None:
    with Service() as service:
        assert service.ask("/end-child").status == 200
        time.sleep(2 * HANDLER_GRACE_SECONDS)
        assert service.ask("/").status == 200
        service.signal()

        assert service.exit_code(SLACK_SECONDS) == 0


def test_a_signal_that_the_application_takes_over_does_not_end_the_process() -> None:
    with Service("takes SIGHUP over") as service:
        service.port()
        for _ in range(2):
            service.signal(signal.SIGHUP)
            time.sleep(2 * HANDLER_GRACE_SECONDS)

        assert service.ask("/").status == 200
        service.line("reloading")


def test_a_busy_thread_cannot_hold_the_process() -> None:
    with Service(shutdown_deadline_seconds=0.3, teardown_seconds=0.3) as service:
        assert service.ask("/leave-thread?seconds=8").status == 200
        service.signal()

        assert service.exit_code(0.3 + 0.3 + SLACK_SECONDS) == 75


def test_a_critical_failure_ends_the_process_gracefully_with_70() -> None:
    with Service() as service:
        service.port()
        service.signalled_at = time.monotonic()
        assert service.ask("/fail").status == 200

        assert service.exit_code(3) == 70
        assert "torn down" in service.events()
        assert service.line("a critical task died")["reason"] == "the mailer died"


def test_a_critical_failure_while_starting_bounds_the_shutdown_too() -> None:
    wish = "loses a task at the start, and blocks at the end"
    with Service(wish, shutdown_deadline_seconds=0.1, teardown_seconds=0.1) as service:
        service.line("a critical task died")
        service.signalled_at = time.monotonic()

        assert service.exit_code(0.1 + 0.1 + SLACK_SECONDS) == 75


class DyingApplication(Service):
    """The whole application, in which a critical task dies half a second after the start."""

    def __init__(self, folder: str) -> None:
        times = {"DRAIN_DELAY_SECONDS": "0.5", "SHUTDOWN_DEADLINE_SECONDS": "0.2"}
        self.fork(dying_application.main, {"folder": folder, **times})


def test_what_nobody_caught_is_logged_once_and_counted_and_a_critical_task_ends_the_process() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(migrated(f"sqlite:///{Path(folder) / 'service.db'}", SCHEMA))
        with DyingApplication(folder) as service, service.connect() as unfinished:
            head = request("/api/users", "POST", "Content-Type: application/json", "Content-Length: 9")
            unfinished.sendall(head)
            assert service.ask("/crash").status == 500
            service.line("draining", drain_delay_seconds=0.5)
            service.signalled_at = time.monotonic()
            figures = service.ask("/metrics").body.decode()
            answer = read_answer(unfinished)

            assert service.exit_code(0.5 + 0.2 + SLACK_SECONDS) == 70
            events = service.events()

    assert (503, "1") == (answer.status, answer.headers["retry-after"])
    assert answer.json()["type"].endswith(":shutting-down")
    for where in ('{where="background task"}', '{where="thread"}', '{where="loop"}'):
        assert f"unhandled_exceptions_total{where} 1.0" in figures
    assert 'http_exceptions_total{route="unmatched",type="ValueError"} 1.0' in figures
    assert [1, 1, 3] == [
        events.count(event) for event in ("background task failed", "a critical task died", "unhandled exception")
    ]


def test_a_teardown_that_fails_is_not_a_clean_end() -> None:
    with Service("fails at the end") as service:
        service.port()
        service.signal()

        assert service.exit_code(3) == 70
        assert "teardown failed" in service.events()


def test_a_teardown_that_hangs_is_cut_off() -> None:
    with Service("hangs at the end", teardown_seconds=0.3) as service:
        service.port()
        service.signal()

        assert service.exit_code(0.3 + SLACK_SECONDS) == 75
        assert "teardown cut off" in service.events()


def test_a_start_that_fails_is_one_line_with_cause_and_hint() -> None:
    with Service("fails at the start") as service:
        service.signalled_at = time.monotonic()

        assert service.exit_code(10) == 3
        assert service.events() == ["resources closed", "start-up failed"]
        assert service.stderr() == ""
        line = service.line("start-up failed", cause_type="ConnectionRefusedError")
        assert "depends on" in line["hint"]


@pytest.mark.parametrize("setting", ["port", "operations_port"])
def test_a_port_in_use_ends_the_start_before_the_application_begins(setting: str) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, Service("hangs at the start", **{setting: taken.getsockname()[1]}) as service:
        service.signalled_at = time.monotonic()

        assert service.exit_code(10) == 3
        assert service.events() == ["start-up failed"]
        assert "another process" in service.line("start-up failed")["hint"]


def test_a_port_that_another_process_opens_first_is_all_that_the_log_tells_of() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        with Service("takes a moment to start", port=other.getsockname()[1]) as service:
            service.line("starting")
            other.listen()
            service.signalled_at = time.monotonic()

            assert service.exit_code(2) == 3
            assert service.events() == ["starting", "start-up failed", "resources closed"]


def test_a_client_that_never_reads_cannot_hold_the_process() -> None:
    with Service(shutdown_deadline_seconds=0.4, teardown_seconds=0.3) as service, service.connect() as client:
        client.sendall(request("/big"))
        time.sleep(0.2)
        service.signal()

        assert service.exit_code(0.4 + 0.3 + SLACK_SECONDS) == 75


def test_silent_clients_do_not_make_the_end_late_or_unclean() -> None:
    with Service() as service, service.connect(), service.connect() as used, service.connect() as half:
        used.sendall(request("/"))
        read_answer(used)
        half.sendall(b"GET / HTTP/1.1\r\n")
        service.signal()

        assert read_answer(half).status == 503
        assert service.exit_code(3) == 0
