"""What a client sees of an exception in a websocket, and what is logged of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from .websocket_service import WebSocketService, WebSocketServiceOnUvicorn, end_of, given_id

SERVERS = {"own": WebSocketService, "uvicorn": WebSocketServiceOnUvicorn}
REJECTIONS = {
    "/raising/http/before": (418, "I brew no coffee.", {"X-Pot": "teapot"}),
    "/raising/websocket/before": (403, "You are not on the list.", {}),
    "/raising/service/before": (429, "Come back later.", {"Retry-After": "7"}),
    "/raising/challenge/before": (401, "Who are you?", {"WWW-Authenticate": "Bearer"}),
    "/closing": (403, "Permission denied", {}),
    "/nothing": (403, "Permission denied", {}),
    "/private": (401, "This needs a bearer token.", {"WWW-Authenticate": "Bearer"}),
}
CLOSES = {
    "/raising/http/accepted": (1008, "I brew no coffee."),
    "/raising/websocket/accepted": (4003, "You are not on the list."),
    "/raising/service/accepted": (1008, "Come back later."),
    "/raising/disconnect/accepted": (1000, ""),
    "/raising/long/accepted": (4004, "\N{SNOWMAN}" * 41),
    "/open/raising/websocket/accepted": (4003, "You are not on the list."),
    "/open/raising/http/accepted": (1008, ""),
    "/open/raising/service/accepted": (1008, "Come back later."),
    "/returning": (1000, ""),
}
BUGS = {
    "/raising/bug": "ZeroDivisionError",
    "/raising/cancelled": "CancelledError",
    "/open/raising/bug": "ZeroDivisionError",
}


@pytest.fixture(scope="module", params=SERVERS)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSocketService]:
    with SERVERS[request.param](tmp_path_factory.mktemp("service"), DEBUG="false") as running:
        yield running


def own_lines(service: WebSocketService, request_id: str) -> list[str]:
    """The events of a websocket that are not the server's own, nor of security, nor of the test's error tracker."""
    foreign = ("uvicorn", "security", "tests")
    return [line["event"] for line in service.lines_of(request_id) if not line["logger"].startswith(foreign)]


@pytest.mark.parametrize("path", REJECTIONS)
def test_an_exception_before_the_acceptance_rejects_the_handshake(service: WebSocketService, path: str) -> None:
    status, detail, headers = REJECTIONS[path]
    request_id = path.replace("/", "-")

    response = service.rejection(path, **given_id(request_id))
    document = json.loads(response.body or b"")

    assert (status, status, detail) == (response.status_code, document["status"], document["detail"])
    assert headers == {name: response.headers[name] for name in headers}
    assert "application/problem+json" == response.headers["Content-Type"]
    assert "nosniff" == response.headers["X-Content-Type-Options"]
    assert request_id == document["instance"] == response.headers["X-Request-ID"]
    assert ["request"] == own_lines(service, request_id)
    assert {"method": "WEBSOCKET", "status": status}.items() <= service.line("request", request_id=request_id).items()


@pytest.mark.parametrize("path", CLOSES)
def test_an_exception_after_the_acceptance_closes_with_its_code(service: WebSocketService, path: str) -> None:
    request_id = path.replace("/", "-")

    assert CLOSES[path] == service.close_code(path, **given_id(request_id))
    assert ["request"] == own_lines(service, request_id)
    assert 101 == service.line("request", request_id=request_id)["status"]


@pytest.mark.parametrize("when", ["before", "accepted"])
@pytest.mark.parametrize("path", BUGS)
def test_an_unexpected_exception_is_logged_counted_and_reported_once(
    service: WebSocketService, path: str, when: str
) -> None:
    request_id = f"{path.replace('/', '-')}-{when}"
    route = "/open/raising/{error}/{when}" if path.startswith("/open") else "/raising/{error}/{when}"
    counter = f'http_exceptions_total{{route="{route}",type="{BUGS[path]}"}}'
    before = service.metric(counter) or 0

    if when == "before":
        assert 500 == service.rejection(f"{path}/{when}", **given_id(request_id)).status_code
    else:
        assert (1011, "") == service.close_code(f"{path}/{when}", **given_id(request_id))
    lines = service.lines_of(request_id)

    assert ["unhandled exception", "request"] == own_lines(service, request_id)
    assert before + 1 == service.metric(counter)
    assert [f"WEBSOCKET {route}"] == [line["transaction"] for line in lines if line["event"] == "reported"]


def test_a_handler_that_answers_nothing_is_a_bug(service: WebSocketService) -> None:
    assert 500 == service.rejection("/silent", **given_id("silent")).status_code
    assert ["unhandled exception", "request"] == own_lines(service, "silent")


def test_a_response_of_the_handler_s_own_passes_with_the_headers_of_every_response(service: WebSocketService) -> None:
    response = service.rejection("/denying", **given_id("denying"))

    assert (402, b"own", "private") == (response.status_code, response.body, response.headers["Cache-Control"])
    assert "denying" == response.headers["X-Request-ID"]
    assert 402 == service.line("request", request_id="denying")["status"]


def test_a_handler_that_does_not_expect_its_client_to_leave_is_no_failure(service: WebSocketService) -> None:
    with service.connect("/careless", **given_id("careless")) as client:
        client.send("hello")

        assert "hello" == client.recv(timeout=5)
    assert ["request"] == own_lines(service, "careless")


def test_a_rejected_handshake_counts_as_a_request(service: WebSocketService) -> None:
    sample = 'http_requests_total{method="GET",route="/closing",status_code="403"}'
    before = service.metric(sample) or 0
    service.rejection("/closing")
    service.rejection("/closing")

    assert before + 2 == service.metric(sample)


def test_our_server_says_nothing_besides_the_application(tmp_path_factory: pytest.TempPathFactory) -> None:
    with WebSocketService(tmp_path_factory.mktemp("quiet")) as service:
        for path in REJECTIONS:
            service.rejection(path)
        for path in CLOSES:
            service.close_code(path)
        with service.connect("/careless") as client:
            client.send("hello")
        assert 0 == service.stop()

    assert not {"error", "critical"} & {line["level"] for line in service.lines}
    assert "request rejected" not in [line["event"] for line in service.lines]


@pytest.mark.parametrize(
    ("deadline", "events"),
    [
        pytest.param("0.4", ["request rejected", "request"], id="by the application, as a request is"),
        pytest.param("2.5", ["request"], id="by the server"),
    ],
)
def test_a_handshake_that_the_stop_cuts_off_is_told_so(
    tmp_path_factory: pytest.TempPathFactory, deadline: str, events: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("cut_off")
    with WebSocketService(folder, SHUTDOWN_DEADLINE_SECONDS=deadline) as service, ThreadPoolExecutor() as pool:
        response = pool.submit(service.rejection, "/pondering", **given_id("cut-off"))
        service.line("pondering")
        service.stop()

        assert 503 == response.result().status_code
    assert events == own_lines(service, "cut-off")
    assert 503 == service.line("request", request_id="cut-off")["status"]


def test_a_handler_that_still_sends_at_the_end_is_no_failure(tmp_path_factory: pytest.TempPathFactory) -> None:
    with WebSocketService(tmp_path_factory.mktemp("chatty")) as service:
        with service.connect("/flooding") as client:
            client.recv(timeout=5)
            service.process.terminate()

            assert 1012 == end_of(client)[0]
        assert 0 == service.exit_code()
    assert not {"error", "critical"} & {line["level"] for line in service.lines}
