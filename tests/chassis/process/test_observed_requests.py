"""What a running service tells of its requests: headers, log lines, metrics."""

from __future__ import annotations

import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from .command import Command, TypedCommand
from .service import read_answer, read_to_end, request

SCRAPED = {
    "http_requests_total",
    "http_request_duration_seconds_bucket",
    "http_requests_in_progress",
    "http_exceptions_total",
    "unhandled_exceptions_total",
    "log_messages_dropped_total",
    "event_loop_lag_seconds_bucket",
    "db_pool_connections",
    "db_statement_duration_seconds_bucket",
    "db_connection_wait_seconds_bucket",
    "build_info",
    "process_heap_bytes",
    "background_tasks",
    "cache_requests_total",
    "cache_evictions_total",
    "process_resident_memory_bytes",
    "python_allocated_blocks",
    "python_gc_collections_total",
    "python_info",
}
UNKNOWN = "/api/users/01900000-0000-7000-8000-000000000000"
CHUNKED = ("Content-Type: application/json", "Transfer-Encoding: chunked")
USER = {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}


def test_every_promised_metric_is_exported(client: httpx2.Client) -> None:
    response = client.get("/metrics")
    described = {line.split()[2] for line in response.text.splitlines() if line.startswith("# TYPE")}

    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert {name.removesuffix("_bucket") for name in SCRAPED} <= described


def test_an_answer_its_log_line_and_its_metric_agree(client: httpx2.Client, served: Command) -> None:
    response = client.get(UNKNOWN, headers={"X-Request-ID": "agree-1"})
    line = served.line("request", request_id="agree-1")

    assert response.headers["x-request-id"] == response.json()["instance"] == "agree-1"
    assert ("GET", UNKNOWN, "/api/users/{user_id}", 404, "127.0.0.1") == tuple(
        line[key] for key in ("method", "path", "route", "status", "client")
    )
    assert 'total{method="GET",route="/api/users/{user_id}",status_code="404"}' in client.get("/metrics").text


def test_probes_leave_no_line_at_info(client: httpx2.Client, served: Command) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert client.get(path).status_code == 200
    client.get("/", headers={"X-Request-ID": "after-probes"})
    served.line("request", request_id="after-probes")

    assert not [line for line in served.lines if line.get("path", "").startswith(("/health", "/metrics"))]


def test_control_characters_of_a_path_cannot_forge_a_line(client: httpx2.Client, served: Command) -> None:
    client.get("/%0a%7b%22level%22:%22error%22%7d%1b[31m%00%e2%80%a8", headers={"X-Request-ID": "forged"})
    line = served.line("request", request_id="forged")

    assert line["path"] == '/\n{"level":"error"}\x1b[31m\x00\u2028'
    assert line["level"] == "info"


def test_a_client_that_leaves_is_one_info_line_with_status_499(served: Command) -> None:
    body = b'{"name":"Ada","email":"gone@example.org","password":"correct horse"}'
    head = (
        "POST /api/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-ID: gone\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", served.port())) as client:
        client.sendall(head.encode() + body)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    line = served.line("request", request_id="gone")

    assert (499, "info") == (line["status"], line["level"])
    assert ["request"] == [line["event"] for line in served.lines if line.get("request_id") == "gone"]


def told_of(service: Command, client: httpx2.Client, request_id: str) -> list[tuple[str, int]]:
    """Event and status of every line about a request that is over."""
    client.get("/", headers={"X-Request-ID": f"after-{request_id}"})
    service.line("request", request_id=f"after-{request_id}")
    return [(line["event"], line["status"]) for line in service.lines if line.get("request_id") == request_id]


def counted(client: httpx2.Client, method: str) -> list[str]:
    """Each series of requests of *method*, with its figure."""
    samples = [line.partition("{") for line in client.get("/metrics").text.splitlines()]
    return [series for name, _, series in samples if name == "http_requests_total" and method in series]


def test_a_body_that_breaks_off_while_it_is_read_is_one_event_and_one_count(
    client: httpx2.Client, served: Command
) -> None:
    with served.connect() as breaking:
        breaking.sendall(request(UNKNOWN, "PATCH", *CHUNKED, "Expect: 100-continue", "X-Request-ID: breaks-later"))
        assert breaking.recv(100).startswith(b"HTTP/1.1 100 ")
        breaking.sendall(b"zz\r\n")
        answer = read_answer(breaking)

    assert (400, "breaks-later") == (answer.status, answer.json()["instance"])
    assert [("request", 400)] == told_of(served, client, "breaks-later")
    assert ['method="PATCH",route="/api/users/{user_id}",status_code="400"} 1.0'] == counted(client, "PATCH")


def test_a_body_that_breaks_off_at_once_never_reaches_the_application(client: httpx2.Client, served: Command) -> None:
    with served.connect() as breaking:
        breaking.sendall(request("/nothing", "DELETE", *CHUNKED, "X-Request-ID: breaks-at-once") + b"zz\r\n")
        answer = read_answer(breaking)

    assert (400, "breaks-at-once") == (answer.status, answer.json()["instance"])
    assert [("request rejected", 400)] == told_of(served, client, "breaks-at-once")
    assert ['method="DELETE",route="unmatched",status_code="400"} 1.0'] == counted(client, "DELETE")


def test_an_unexpected_failure_is_one_event_and_tells_the_client_nothing(folder: Path) -> None:
    with Command(folder, DEBUG="false") as service, service.client() as client:
        client.get("/api/users")
        with closing(sqlite3.connect(folder / "service.db")) as database, database:
            database.execute("DROP TABLE users")
        response = client.get("/api/users", headers={"X-Request-ID": "broken"})
        event = service.line("unhandled exception", request_id="broken")
        service.line("request", request_id="broken", status=500)

        assert response.status_code == 500
        assert response.json()["detail"] == response.json()["title"] == "Internal Server Error"
        assert "users" not in response.text.replace("/api/users", "")
        assert event["level"] == "error"
        assert "no such table: users" in str(event["exception"])
        assert 2 == len([line for line in service.lines if line.get("request_id") == "broken"])
        assert 'http_exceptions_total{route="/api/users",type="OperationalError"} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize("method", ["FOO", "TRACE", "CONNECT", "get"])
def test_an_unknown_method_gets_a_problem_document(served: Command, method: str) -> None:
    with socket.create_connection(("127.0.0.1", served.port())) as client:
        client.sendall(f"{method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = read_to_end(client).partition(b"\r\n\r\n")

    assert int(head.split()[1]) in {400, 405, 501}
    assert b"content-type: application/problem+json" in head.lower()
    assert b"x-request-id: " in head.lower()
    assert body.startswith(b"{")


def test_development_migrates_by_itself_and_every_line_from_the_first_to_the_last_is_json(tmp_path: Path) -> None:
    with TypedCommand(tmp_path) as service, service.client() as client:
        assert 201 == client.post("/api/users", json=USER).status_code
        service.signal()
        assert service.exit_code(within_seconds=5) == 0
        events, errors = service.events(), service.stderr()

    # `Service` reads each line of stdout as JSON, and fails on any other.
    assert "stopped" == events[-1]
    assert {"timestamp", "level", "event", "service", "version", "environment", "logger"} <= set.intersection(
        *(set(line) for line in service.lines)
    )
    assert "" == errors


def test_thirty_scrapers_leave_the_service_usable(client: httpx2.Client) -> None:
    ends = time.monotonic() + 1.5

    def scrape(_: int) -> set[int]:
        found = set()
        while time.monotonic() < ends:
            found.add(client.get("/metrics").status_code)
        return found

    with ThreadPoolExecutor(30) as scrapers:
        scraping = [scrapers.submit(scrape, number) for number in range(30)]
        while time.monotonic() < ends:
            assert 200 == client.get("/health/ready").status_code
        assert {200} == set().union(*(each.result() for each in scraping))


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACED = {
    "valid": (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
    "of a later version": (f"01-{TRACE}-00f067aa0ba902b7-01-more", TRACE),
    "longer than its version": (f"00-{TRACE}-00f067aa0ba902b7-01-more", None),
    "of the version ff": (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
    "in capitals": (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
    "no trace": (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
    "no parent": (f"00-{TRACE}-{'0' * 16}-01", None),
    "short": (f"00-{TRACE[:-1]}-00f067aa0ba902b7-01", None),
    "other text": ("token=hunter2", None),
}


@pytest.mark.parametrize(("parent", "trace_id"), TRACED.values(), ids=TRACED.keys())
def test_each_line_of_a_request_names_its_trace(
    served: Command, client: httpx2.Client, parent: str, trace_id: str | None
) -> None:
    response = client.get("/", headers={"traceparent": parent})
    line = served.line("request", request_id=response.headers["x-request-id"])

    assert trace_id == line.get("trace_id")
    after = client.get("/")
    assert "trace_id" not in served.line("request", request_id=after.headers["x-request-id"])


def test_two_parents_of_a_trace_are_none(served: Command) -> None:
    field = f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01"
    with served.connect() as connection:
        connection.sendall(request("/", "GET", field, field))
        answer = read_answer(connection)

    assert "trace_id" not in served.line("request", request_id=answer.headers["x-request-id"])
