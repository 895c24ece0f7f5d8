"""The function of AWS Lambda, as Lambda runs it: its own runtime in a process, and events over the runtime's API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from .aws_lambda import CLIENT, Function, balancer, document, function_url, http_api, rest_api
from .process import PACKAGE

KINDS: dict[str, Callable[..., dict[str, Any]]] = {
    "HTTP API": http_api,
    "function URL": function_url,
    "REST API": rest_api,
    "load balancer": balancer,
    "load balancer, multiple values": lambda *args, **named: balancer(*args, multiple=True, **named),
}


def _has(feature: str) -> bool:
    return find_spec(f"{PACKAGE}.features.{feature}") is not None


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    with Function(tmp_path_factory.mktemp("function")) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_is_created_and_read_through_every_kind_of_event(function: Function, kind: str) -> None:
    event = KINDS[kind]
    email = f"ada{list(KINDS).index(kind)}@example.com"
    fields = {"name": "Ada", "email": email, "password": "correct horse battery"}
    path = "/api/auth/register" if _has("auth") else "/api/users"

    def post(document: Any) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        return function.call(event("POST", path, headers=headers, body=json.dumps(document).encode()))

    created = post(fields)

    assert 201 == created["statusCode"], created
    assert fields["email"] == document(created)["email"]
    assert 422 == post({})["statusCode"]
    assert 404 == function.call(event("GET", "/nowhere"))["statusCode"]
    assert {CLIENT} == {line["client"] for line in function.events("request")}


def test_it_starts_once_and_every_line_names_the_invocation(function: Function) -> None:
    for _ in range(3):
        assert 200 == function.call(http_api())["statusCode"]

    calls = [line["aws_request_id"] for line in function.events("request")]
    assert len(set(calls)) == len(calls)
    assert [1] == [line["cold_starts"] for line in function.metrics() if line["cold_starts"]]


def test_what_lambda_cannot_do_is_rejected_with_the_way_out(function: Function) -> None:
    events = function.call(http_api(headers={"accept": "text/event-stream"}))

    assert 406 == events["statusCode"]
    assert "Lambda Web Adapter" in document(events)["detail"]
    assert 404 == function.call(http_api("GET", "/metrics"))["statusCode"]


def test_what_features_do_over_open_connections_is_rejected_too(function: Function) -> None:
    if _has("chat"):
        response = function.call(http_api("GET", "/socket.io/", query="EIO=4&transport=polling"))
        assert 501 == response["statusCode"]
    if _has("csv_import"):
        response = function.call(http_api("GET", "/api/imports/1/events", headers={"accept": "text/event-stream"}))
        assert 406 == response["statusCode"]


@pytest.mark.skipif(not _has("ai_chat"), reason="there is no assistant")
def test_an_assistant_responds_whole_to_who_would_also_take_events(function: Function) -> None:
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json;q=0.5"}
    if _has("auth"):
        fields = {"name": "Eve", "email": "eve@example.com", "password": "correct horse battery"}
        body = json.dumps(fields).encode()
        function.call(http_api("POST", "/api/auth/register", headers=headers, body=body))
        del fields["name"]
        tokens = function.call(http_api("POST", "/api/auth/login", headers=headers, body=json.dumps(fields).encode()))
        headers["Authorization"] = f"Bearer {document(tokens)['access_token']}"
    response = function.call(http_api("POST", "/api/ai/chat", headers=headers, body=b'{"message":"hello"}'))

    assert 200 == response["statusCode"], response
    assert "You said: hello" == document(response)["message"]


def test_an_address_of_sqlite_is_for_development_alone(tmp_path: Path) -> None:
    with Function(tmp_path, APP_ENV="test") as function:
        response = function.call(http_api())

        assert 503 == response["statusCode"]
        assert any("sqlite: address cannot be used on Lambda" in str(line) for line in function.lines)
