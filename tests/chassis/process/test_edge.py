"""The settings that guard the service's edge, each on a running process."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from . import streaming_application
from .command import Command
from .service import Service, read_answer, read_to_end, request

ORIGIN = "https://app.example.org"
FULL_DISK = Path("/dev/full")
PASSWORD = "Kq1zV8mPw-9dkq0X_fT3"
USER = {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Command]:
    folder = tmp_path_factory.mktemp("guarded")
    variables = {
        "APP_ENV": "production",
        "HOST": "0.0.0.0",  # noqa: S104 - as in a container
        "ALLOWED_HOSTS": "api.example.org",
        "CORS_ORIGINS": ORIGIN,
        "CORS_ALLOW_HEADERS": "X-Tenant",
        "TRUSTED_PROXIES": "127.0.0.1",
        "DRAIN_DELAY_SECONDS": "0",
        "MAX_BODY_BYTES": "1000",
        "MAX_HEADER_BYTES": "2000",
        "OPERATIONS_PORT": "0",
        "LOG_LEVEL": "debug",
        "REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:1/0",
    }
    (folder / ".env").write_text("ALLOWED_HOST=api.example.org\n")
    if FULL_DISK.exists():
        (folder / "log").symlink_to(FULL_DISK)
        variables["LOG_FILE"] = str(folder / "log")
    shutil.copy(sqlite_template, folder / "service.db")
    with Command(folder, **variables) as service:
        yield service


@pytest.fixture(scope="module")
def api(guarded: Command) -> Iterator[httpx2.Client]:
    with guarded.client(headers={"Host": "api.example.org"}) as client:
        yield client


def test_only_listed_hosts_are_served(api: httpx2.Client) -> None:
    assert api.get("/").status_code == 200
    rejected = api.get("/", headers={"Host": "evil.example.org"})

    assert 400 == rejected.status_code
    assert rejected.json()["type"].endswith(":host-not-allowed")
    assert rejected.headers["x-request-id"] == rejected.json()["instance"]


def test_a_websocket_of_an_unlisted_host_is_rejected_as_a_request_is(guarded: Command) -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    with guarded.connect() as client:
        client.sendall(request("/", "GET", *upgrade, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="))
        answer = read_answer(client)
    line = guarded.line("request", request_id=answer.json()["instance"])

    assert 400 == answer.status
    assert answer.json()["type"].endswith(":host-not-allowed")
    assert ("info", "WEBSOCKET", 400) == tuple(line[key] for key in ("level", "method", "status"))
    assert [line] == [each for each in guarded.lines if each.get("request_id") == line["request_id"]]


def test_a_listed_origin_may_read_answers_and_errors(api: httpx2.Client) -> None:
    for path, status in (("/", 200), ("/nothing", 404)):
        response = api.get(path, headers={"Origin": ORIGIN})
        assert (status, ORIGIN) == (response.status_code, response.headers["access-control-allow-origin"])
        assert (
            "X-Request-ID, Retry-After, Location, ETag, Idempotency-Replayed"
            == response.headers["access-control-expose-headers"]
        )
        assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize("origin", ["https://evil.example.org", "null"])
def test_any_other_origin_may_not(api: httpx2.Client, origin: str) -> None:
    response = api.get("/", headers={"Origin": origin})

    assert "access-control-allow-origin" not in response.headers


def test_a_rejected_preflight_is_a_problem_document(api: httpx2.Client) -> None:
    headers = {"Origin": "https://evil.example.org", "Access-Control-Request-Method": "POST"}
    response = api.options("/api/users", headers=headers)

    assert 400 == response.status_code
    assert response.headers["content-type"] == "application/problem+json"
    assert 400 == response.json()["status"]


def test_a_preflight_to_an_unlisted_host_is_rejected_and_its_origin_may_read_why(api: httpx2.Client) -> None:
    headers = {"Host": "evil.example.org", "Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    response = api.options("/api/users/x", headers=headers)

    assert 400 == response.status_code
    assert response.json()["type"].endswith(":host-not-allowed")
    assert ORIGIN == response.headers["access-control-allow-origin"]
    assert "access-control-allow-methods" not in response.headers


def test_a_preflight_of_a_listed_origin_is_answered(api: httpx2.Client) -> None:
    wanted = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type"}
    response = api.options("/api/users/x", headers={"Origin": ORIGIN, **wanted})

    assert 200 == response.status_code
    assert "DELETE, GET, HEAD, PATCH" == response.headers["access-control-allow-methods"]
    assert {"Authorization", "Content-Type", "X-Request-ID"} <= set(
        response.headers["access-control-allow-headers"].split(", ")
    )


def test_a_preflight_allows_what_tracers_send_and_what_the_settings_add(api: httpx2.Client) -> None:
    fields = "traceparent,tracestate,baggage,sentry-trace,x-tenant"
    wanted = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": fields}
    headers = {"Origin": ORIGIN, **wanted}

    assert 200 == api.options("/api/users", headers=headers).status_code
    headers["Access-Control-Request-Headers"] = "x-other"
    assert 400 == api.options("/api/users", headers=headers).status_code


SERVERS_OWN = {
    "431": [f"X-Long: {'a' * 3000}"],
    "400": ["Host: another"],
    "501": ["Transfer-Encoding: gzip"],
}


@pytest.mark.parametrize("status", SERVERS_OWN)
@pytest.mark.parametrize("origin", [ORIGIN, "https://evil.example.org", ""])
def test_a_listed_origin_may_read_what_the_server_itself_rejects(guarded: Command, status: str, origin: str) -> None:
    fields = [f"Origin: {origin}"] if origin else []
    with guarded.connect() as client:
        client.sendall(request("/", "POST", *fields, *SERVERS_OWN[status]))
        answer = read_answer(client)

    assert int(status) == answer.status
    assert "origin" == answer.headers["vary"]
    assert (ORIGIN if origin == ORIGIN else None) == answer.headers.get("access-control-allow-origin")


def test_a_trusted_proxy_names_the_client(api: httpx2.Client, guarded: Command) -> None:
    api.get("/", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Request-ID": "proxied"})

    line = guarded.line("request", request_id="proxied")
    assert ("203.0.113.9", "production") == (line["client"], line["environment"])


def test_a_client_behind_a_trusted_proxy_cannot_choose_its_address(api: httpx2.Client, guarded: Command) -> None:
    api.get("/", headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.9", "X-Request-ID": "forged"})

    assert "203.0.113.9" == guarded.line("request", request_id="forged")["client"]


def test_an_untrusted_peer_names_only_itself(served: Command, client: httpx2.Client) -> None:
    client.get("/", headers={"X-Forwarded-For": "203.0.113.9", "X-Request-ID": "direct"})

    assert "127.0.0.1" == served.line("request", request_id="direct")["client"]


def test_transport_security_follows_the_proxy_s_word(api: httpx2.Client) -> None:
    assert "strict-transport-security" not in api.get("/").headers
    assert "strict-transport-security" in api.get("/", headers={"X-Forwarded-Proto": "https"}).headers


def test_documentation_is_closed_in_production(api: httpx2.Client) -> None:
    assert [404, 404] == [api.get(path).status_code for path in ("/docs", "/openapi.json")]


def test_health_and_metrics_answer_on_the_operations_listener_alone(guarded: Command, api: httpx2.Client) -> None:
    with guarded.client("operations") as operations:
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert (200, 404) == (operations.get(path).status_code, api.get(path).status_code)
        assert 404 == operations.get("/api/users").status_code
        assert operations.get("/api/users").headers["content-type"] == "application/problem+json"


def test_the_main_listener_s_requests_are_counted_on_the_operations_listener(
    guarded: Command, api: httpx2.Client
) -> None:
    api.get("/api/users?page=0")
    with guarded.client("operations") as operations:
        assert 'method="GET",route="/api/users",status_code="422"' in operations.get("/metrics").text


def test_the_service_listens_where_it_is_told(guarded: Command) -> None:
    assert ["0.0.0.0"] * 2 == [  # noqa: S104 - compared, not bound
        guarded.line("listening", listener=name)["host"] for name in ("main", "operations")
    ]


def test_a_setting_that_looks_misspelt_is_logged(guarded: Command) -> None:
    line = guarded.line("setting warning")

    assert "warning" == line["level"]
    assert "ALLOWED_HOSTS" in line["problem"]


def test_a_secret_setting_is_masked_wherever_it_turns_up(api: httpx2.Client, guarded: Command) -> None:
    api.get(f"/{PASSWORD}", headers={"X-Request-ID": "masked"})

    assert "/***" == guarded.line("request", request_id="masked")["path"]


def test_probes_are_logged_at_debug(guarded: Command) -> None:
    with guarded.client("operations") as operations:
        operations.get("/health/live", headers={"X-Request-ID": "probe"})

    assert "debug" == guarded.line("request", request_id="probe")["level"]


def test_what_the_server_itself_rejects_is_counted(guarded: Command) -> None:
    with guarded.connect() as client:
        client.sendall(request("/", "GET", "X-Big: " + "x" * 2000))
        assert 431 == read_answer(client).status
    with guarded.client("operations") as operations:
        assert 'total{method="GET",route="unmatched",status_code="431"} 1.0' in operations.get("/metrics").text


@pytest.mark.skipif(not FULL_DISK.exists(), reason="this system has no /dev/full")
def test_log_lines_that_a_full_disk_costs_are_counted(guarded: Command) -> None:
    with guarded.client("operations") as operations:
        samples = operations.get("/metrics").text.splitlines()

    assert 0 < float(next(line for line in samples if line.startswith("log_messages_dropped_total")).split()[1])


def test_a_client_can_read_the_rejection_of_a_body_that_it_is_still_sending(guarded: Command) -> None:
    head = b"POST /api/users HTTP/1.1\r\nHost: api.example.org\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", guarded.port()), timeout=5) as client:
        client.sendall(head + b"Content-Length: 500000\r\n\r\n")
        client.sendall(b"x" * 500_000)
        answer = read_answer(client)

    assert (413, "close") == (answer.status, answer.headers["connection"])
    assert answer.json()["detail"] == "The body is larger than the 1000 bytes that are accepted."


def test_probes_and_scrapes_are_answered_whatever_the_limits(folder: Path) -> None:
    with Command(folder, MAX_BODY_BYTES="10", REQUEST_TIMEOUT_SECONDS="0.0001") as service, service.client() as client:
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert 200 == client.request("GET", path, content=b"x" * 11).status_code


def test_a_body_of_undeclared_size_is_rejected_by_what_has_come_of_it(guarded: Command) -> None:
    head = b"POST /api/users HTTP/1.1\r\nHost: api.example.org\r\nContent-Type: application/json\r\n"
    chunk = b"1f4\r\n" + b" " * 500 + b"\r\n"
    with socket.create_connection(("127.0.0.1", guarded.port()), timeout=5) as client:
        client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + 3 * chunk)
        answer = read_answer(client)

    assert (413, "close") == (answer.status, answer.headers["connection"])
    assert answer.json()["detail"] == "The body is larger than the 1000 bytes that are accepted."


def test_a_request_beyond_its_time_is_rejected_and_stores_nothing(folder: Path) -> None:
    with Command(folder, REQUEST_TIMEOUT_SECONDS="0.005") as service, service.client() as client:
        rejected = client.post("/api/users", json=USER)
        assert 503 == rejected.status_code
        assert rejected.json()["type"].endswith(":timed-out")
        assert "1" == rejected.headers["retry-after"]
    with Command(folder) as service, service.client() as client:
        assert 0 == client.get("/api/users").json()["pagination"]["total_items"]


class StreamingApplication(Service):
    """The whole application, with routes that take longer than a request may."""

    def __init__(self, folder: Path) -> None:
        self.fork(streaming_application.main, {"folder": str(folder)})


def test_an_answer_that_has_begun_may_take_longer_than_a_request_may(folder: Path) -> None:
    with StreamingApplication(folder) as service, service.connect() as client:
        client.sendall(request("/stream", "GET", "Connection: close"))
        late = service.ask("/late")
        streamed = read_to_end(client)

    assert 503 == late.status
    assert late.json()["type"].endswith(":timed-out")
    assert b"begun" in streamed
    assert streamed.endswith(b"ended\r\n0\r\n\r\n")


def test_a_request_beyond_those_that_are_served_at_once_is_rejected_at_once(folder: Path) -> None:
    with Command(folder, MAX_CONCURRENT_REQUESTS="1") as service, service.client() as client:
        with service.connect() as waiting:
            fields = ("Content-Type: application/json", "Content-Length: 100")
            waiting.sendall(request("/api/users", "POST", *fields) + b"{")
            service.line("listening")
            statuses = {client.get("/").status_code for _ in range(50)}
            rejected = client.get("/")
            probes = {client.get(path).status_code for path in ("/health/live", "/health/ready", "/metrics")}

        assert 503 in statuses
        assert (503, "1") == (rejected.status_code, rejected.headers["retry-after"])
        assert {200} == probes
        service.line("limit reached", setting="MAX_CONCURRENT_REQUESTS", limit=1)
        assert 200 in {client.get("/").status_code for _ in range(50)}
