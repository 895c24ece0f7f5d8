"""Who may open a websocket, for how long, and what is logged and measured of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from .websocket_service import WebSocketService, WebSocketServiceOnUvicorn, end_of, given_id, token

SERVERS = {"own": WebSocketService, "uvicorn": WebSocketServiceOnUvicorn}
FOREIGN = "https://evil.test"
LISTED = "https://app.test"


@pytest.fixture(scope="module", params=SERVERS)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebSocketService]:
    """On our own server and on another one: the application does it all."""
    folder = tmp_path_factory.mktemp("service")
    with SERVERS[request.param](folder, CORS_ORIGINS=LISTED) as running:
        yield running


def said(service: WebSocketService, path: str, text: str, **options: Any) -> str | bytes:
    """The reply of a websocket that echoes."""
    with service.connect(path, **options) as client:
        client.send(text)
        return client.recv(timeout=5)


@pytest.mark.parametrize("path", ["/private", "/users/amy", "/members/echo", "/owners/amy/echo"])
def test_a_protected_websocket_is_for_admitted_callers(service: WebSocketService, path: str) -> None:
    rejection = service.rejection(path)

    assert (401, "Bearer") == (rejection.status_code, rejection.headers["WWW-Authenticate"])
    assert "amy:hello" == said(service, path, "hello", **token("amy"))


@pytest.mark.parametrize("path", ["/users/amy", "/owners/amy/echo"])
def test_what_belongs_to_another_user_is_not_found(service: WebSocketService, path: str) -> None:
    assert 404 == service.rejection(path, **token("bob")).status_code


@pytest.mark.parametrize("path", ["/private?token=amy", "/private?access_token=amy", "/members/echo?bearer.amy"])
def test_a_token_in_the_query_is_none(service: WebSocketService, path: str) -> None:
    assert 401 == service.rejection(path).status_code


@pytest.mark.parametrize("path", ["/private", "/members/echo", "/echo"])
def test_the_subprotocol_of_a_token_is_selected_if_it_is_the_only_one(service: WebSocketService, path: str) -> None:
    with service.connect(path, subprotocols=["bearer.amy"]) as client:
        assert "bearer.amy" == client.subprotocol


@pytest.mark.parametrize(("path", "selected"), [("/echo", None), ("/choosing", "chat")])
def test_the_handler_selects_the_subprotocol_if_there_are_several(
    service: WebSocketService, path: str, selected: str | None
) -> None:
    with service.connect(path, subprotocols=["bearer.amy", "chat"]) as client:
        assert selected == client.subprotocol


@pytest.mark.parametrize("path", ["/echo", "/private", "/open/echo", "/members/echo"])
@pytest.mark.parametrize("origin", [FOREIGN, "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_a_page_of_a_foreign_origin_opens_no_websocket(service: WebSocketService, path: str, origin: str) -> None:
    rejection = service.rejection(path, origin=origin, **token("amy"))
    document = json.loads(rejection.body or b"")

    assert (403, 403) == (rejection.status_code, document["status"])
    assert origin in document["detail"]


@pytest.mark.parametrize("path", ["/echo", "/private", "/open/echo", "/members/echo"])
def test_pages_of_the_service_and_of_listed_origins_open_websockets(service: WebSocketService, path: str) -> None:
    for origin in (f"http://127.0.0.1:{service.port}", LISTED):
        with service.connect(path, origin=origin, **token("amy")) as client:
            assert client.response is not None


def test_the_own_origin_is_the_one_that_a_trusted_proxy_forwards(tmp_path_factory: pytest.TempPathFactory) -> None:
    with WebSocketService(tmp_path_factory.mktemp("proxied"), TRUSTED_PROXIES="127.0.0.1") as service:
        own = f"https://127.0.0.1:{service.port}"
        rejection = service.rejection("/echo", origin=own)
        forwarded = said(service, "/echo", "hello", origin=own, additional_headers={"X-Forwarded-Proto": "https"})

    assert ":hello" == forwarded
    assert 403 == rejection.status_code


@pytest.mark.parametrize("path", ["/private", "/private/careless", "/private/pushing", "/members/echo"])
def test_a_websocket_is_closed_when_its_caller_is_no_longer_admitted(service: WebSocketService, path: str) -> None:
    name = f"leaver{path.replace('/', '-')}"
    options = {"additional_headers": {"Authorization": f"Bearer {name}", "X-Request-ID": name}}
    with service.connect(path, **options) as client:
        time.sleep(0.5)
        service.rejection(f"/reject/{name}/revoked")
        rejected_at = time.monotonic()

        assert (1008, "Authentication required") == end_of(client)
        assert time.monotonic() < rejected_at + 3
    assert [] == [line for line in service.lines_of(name) if line["level"] == "error"]


def test_a_websocket_outlives_an_outage_of_what_admits_its_caller(service: WebSocketService) -> None:
    with service.connect("/private", **token("patient")) as client:
        service.rejection("/reject/patient/outage")
        time.sleep(0.5)
        client.send("still here")

        assert "patient:still here" == client.recv(timeout=5)


def test_an_authorizer_that_fails_closes_the_websocket_and_is_logged_once(service: WebSocketService) -> None:
    options = {"additional_headers": {"Authorization": "Bearer unlucky", "X-Request-ID": "unlucky"}}
    with service.connect("/private", **options) as client:
        service.rejection("/reject/unlucky/failure")

        assert 1011 == end_of(client)[0]
    errors = [line for line in service.lines_of("unlucky") if line["level"] == "error"]
    assert ["ZeroDivisionError"] == [line["exception"]["type"] for line in errors]


def test_the_checks_end_with_the_websocket(service: WebSocketService) -> None:
    def tasks() -> int:
        with service.connect("/tasks") as client:
            return int(client.recv(timeout=5))

    before = tasks()
    paths = ["/private", "/members/echo"] * 5
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(service.connect(path, **token("amy")))
        during = tasks()
    ends = time.monotonic() + 3
    while tasks() > before and time.monotonic() < ends:
        time.sleep(0.05)

    assert during >= before + 2 * len(paths)
    assert before == tasks()


def test_a_websocket_has_one_request_id_in_all_its_lines(service: WebSocketService) -> None:
    with service.connect("/echo", **given_id("followed")) as client:
        assert "followed" == client.response.headers["X-Request-ID"]  # type: ignore[union-attr]
        time.sleep(0.1)
    lines = service.lines_of("followed")

    assert ["accepted", "left", "request"] == [line["event"] for line in lines if not line["logger"].startswith("uvi")]
    fields = {"method": "WEBSOCKET", "path": "/echo", "route": "/echo", "status": 101, "client": "127.0.0.1"}
    assert fields.items() <= lines[-1].items()
    assert 100 < lines[-1]["duration_ms"] < 5000


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/users/eve", "/users/{user_id}"),
        ("/members/echo", "/members/echo"),
        ("/owners/eve/users/bob", "/owners/{user_id}/users/{user_id}"),
    ],
)
def test_websockets_are_measured_by_route(service: WebSocketService, path: str, route: str) -> None:
    def metrics() -> list[float]:
        samples = [f'websocket_messages_total{{direction="{way}",route="{route}"}}' for way in ("in", "out")]
        return [service.metric(each) or 0 for each in (f'websocket_connections{{route="{route}"}}', *samples)]

    before = metrics()
    with service.connect(path, **token("eve")) as client:
        for _ in range(3):
            client.send("hello")
        assert ["eve:hello"] * 3 == [client.recv(timeout=5) for _ in range(3)]
        during = metrics()
    ends = time.monotonic() + 3
    while metrics()[0] and time.monotonic() < ends:
        time.sleep(0.02)

    assert [before[0] + 1, before[1] + 3, before[2] + 3] == during
    assert [before[0], before[1] + 3, before[2] + 3] == metrics()


def test_a_mount_s_owner_is_the_one_of_its_own_path(service: WebSocketService) -> None:
    """The mounted application has a path parameter of the same name, which the later checks must not take for it."""
    with service.connect("/owners/eve/users/bob", **token("eve")) as client:
        time.sleep(0.5)
        client.send("hello")

        assert "eve:hello" == client.recv(timeout=5)


def test_an_endpoint_class_is_a_handler(service: WebSocketService) -> None:
    assert "HELLO" == said(service, "/shouting", "hello")


def test_the_largest_message_is_a_setting(tmp_path_factory: pytest.TempPathFactory) -> None:
    with WebSocketService(tmp_path_factory.mktemp("limited"), WEBSOCKET_MAX_BYTES="2000") as service:
        fits = said(service, "/echo", "x" * 2000)
        with service.connect("/echo") as client:
            client.send("x" * 2001)
            code, _ = end_of(client)

    assert ":" + "x" * 2000 == fits
    assert 1009 == code


def test_a_handler_learns_of_the_end_and_says_goodbye(tmp_path_factory: pytest.TempPathFactory) -> None:
    with WebSocketService(tmp_path_factory.mktemp("ending")) as service, service.connect("/goodbye") as client:
        service.process.terminate()

        assert "goodbye" == client.recv(timeout=5)
        assert 1012 == end_of(client)[0]
        assert 0 == service.exit_code()
