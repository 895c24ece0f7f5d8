"""A function of AWS Lambda in a process of its own, run by Lambda's own runtime, called over the runtime's API."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from acme_service.chassis.database import Database

from tests.aws_lambda import (
    CLIENT,
    Function,
    FunctionError,
    balancer,
    content,
    document,
    function_url,
    http_api,
    rest_api,
)

from ..databases import Proxy

pytestmark = pytest.mark.anyio

HANDLER = "chassis.process.aws_lambda_application.handler"
ROOT = str(Path(__file__).parents[2])
JSON = {"Content-Type": "application/json"}


def several_values(*args: Any, **named: Any) -> dict[str, Any]:
    return balancer(*args, multiple=True, **named)


KINDS = pytest.mark.parametrize("event", [http_api, function_url, rest_api, balancer, several_values])
Event = Callable[..., dict[str, Any]]


def started(folder: Path, **variables: str) -> Function:
    return Function(folder, HANDLER, PYTHONPATH=ROOT, **variables)


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    with started(tmp_path_factory.mktemp("function"), COUNTERS_SECONDS="0") as running:
        yield running


@KINDS
def test_what_the_client_sent_arrives(function: Function, event: Event) -> None:
    headers = {"X-Request-ID": "of-the-client", "Content-Type": "text/plain"}
    seen = document(function.call(event("POST", "/echo", query="a=1&a=2%20&b=%C3%A9", headers=headers, body=b"hello")))

    assert CLIENT == seen["client"]
    assert ["b", "é"] in seen["query"]
    assert ["a", "2 "] in seen["query"]
    host = dict(seen["headers"])["host"]
    assert seen["url"].startswith(f"https://{host}/echo")
    assert 5 == seen["size"]
    assert ["content-length", "5"] in seen["headers"]
    assert not [name for name, _ in seen["headers"] if name.startswith("x-forwarded")]


@KINDS
def test_bytes_that_are_no_text_pass_both_ways(function: Function, event: Event) -> None:
    sent = bytes(range(256))
    response = function.call(event("POST", "/mirror", body=sent))

    assert response["isBase64Encoded"]
    assert sent == content(response)


def test_every_cookie_passes_both_ways(function: Function) -> None:
    one = function.call(http_api("GET", "/mirror"))
    other = function.call(rest_api("GET", "/mirror"))
    third = function.call(several_values("GET", "/mirror"))
    fourth = function.call(balancer("GET", "/mirror"))

    assert ["first=1", "second=2"] == [cookie.partition(";")[0] for cookie in one["cookies"]]
    assert 2 == len(other["multiValueHeaders"]["set-cookie"]) == len(third["multiValueHeaders"]["set-cookie"])
    assert 2 == len([name for name in fourth["headers"] if name.lower() == "set-cookie"])
    assert {"a": "1", "b": "2"} == document(function.call(http_api("GET", "/echo", cookies=["a=1", "b=2"])))["cookies"]


def test_values_of_one_header_stay_apart(function: Function) -> None:
    event = rest_api("GET", "/echo")
    event["multiValueHeaders"]["x-many"] = ["1", "2, 3"]

    headers = document(function.call(event))["headers"]

    assert [["x-many", "1"], ["x-many", "2, 3"]] == [pair for pair in headers if pair[0] == "x-many"]


def test_an_address_that_the_client_made_up_is_not_believed(function: Function) -> None:
    seen = document(function.call(balancer("GET", "/echo", headers={"x-forwarded-for": f"192.0.2.1, {CLIENT}"})))

    assert CLIENT == seen["client"]
    assert ["x-forwarded-for", "192.0.2.1"] in seen["headers"]


@pytest.mark.parametrize(("path", "stage"), [("/echo", "prod"), ("/own/echo", "$default"), ("/own", "$default")])
def test_what_a_stage_or_a_domain_puts_before_a_path_is_taken_off(function: Function, path: str, stage: str) -> None:
    assert 200 == function.call(http_api("GET", path, stage=stage))["statusCode"]


@KINDS
def test_errors_are_problem_details(function: Function, event: Event) -> None:
    found = {
        path: function.call(event("GET", path))
        for path in ("/nowhere", "/fail", "/broken", "/metrics", "/events", "/poll", "/large")
    }

    statuses = {path: response["statusCode"] for path, response in found.items()}
    assert {
        "/nowhere": 404, "/fail": 500, "/broken": 500, "/metrics": 404, "/events": 406, "/poll": 501, "/large": 500,
    } == statuses  # fmt: skip
    for response in found.values():
        assert response["statusCode"] == document(response)["status"]
        assert document(response)["instance"]
    assert "Lambda Web Adapter" in document(found["/poll"])["detail"]


def test_a_response_in_parts_is_sent_when_it_is_whole(function: Function) -> None:
    assert b"012" == content(function.call(http_api("GET", "/text")))


def test_a_client_that_accepts_events_and_documents_gets_a_document(function: Function) -> None:
    headers = {"accept": "application/json, text/event-stream"}

    assert 200 == function.call(http_api("GET", "/echo", headers=headers))["statusCode"]
    assert 406 == function.call(http_api("GET", "/echo", headers={"accept": "text/event-stream;q=1"}))["statusCode"]


def test_the_time_that_is_left_bounds_the_request(function: Function) -> None:
    started_at = time.monotonic()
    response = function.call(http_api("GET", "/wait"), seconds=1.5)

    assert 503 == response["statusCode"]
    assert document(response)["type"].endswith(":timed-out")
    assert time.monotonic() - started_at < 5
    assert 200 == function.call(http_api("GET", "/echo"))["statusCode"]


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (None, "type NoneType"),
        ([], "type list"),
        ({}, "no known kind"),
        ({"Records": [{"eventSource": "aws:sqs", "body": "secret"}]}, "aws:sqs"),
        ({"Records": [{"EventSource": "aws:sns"}]}, "aws:sns"),
        ({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}, "EventBridge"),
        ({"requestContext": {"connectionId": "1", "eventType": "CONNECT"}}, "websocket"),
        ({"requestContext": 1, "version": "2.0"}, "no known kind"),
        ({"secret-name": "secret-value"}, "secret-name"),
    ],
)
def test_an_event_of_another_kind_fails_with_what_it_is(function: Function, event: Any, named: str) -> None:
    with pytest.raises(FunctionError) as raised:
        function.call(event)

    said = raised.value.args[0]
    assert "EventRejected" == said["errorType"]
    assert named in said["errorMessage"]
    assert "API Gateway" in said["errorMessage"]
    assert "secret-value" not in said["errorMessage"]
    assert 200 == function.call(http_api("GET", "/echo"))["statusCode"]


@KINDS
@pytest.mark.parametrize("body", [1, ["a"], {"a": 1}])
def test_an_event_that_cannot_be_read_gets_400(function: Function, event: Event, body: Any) -> None:
    response = function.call({**event("POST", "/echo"), "body": body})

    assert 400 == response["statusCode"]
    assert document(response)["type"].endswith(":bad-request")


def test_events_with_missing_and_odd_members_get_400(function: Function) -> None:
    lacking = http_api()
    del lacking["requestContext"]["http"]["method"]
    odd: list[dict[str, Any]] = [
        lacking,
        {**http_api(), "headers": {"a": 1}},
        {**rest_api(), "multiValueHeaders": {"a": 1}},
        {**rest_api(), "httpMethod": None},
        {**http_api(), "isBase64Encoded": True, "body": "a"},
        {**http_api(), "isBase64Encoded": True, "body": "!!!!"},
        {**http_api(), "cookies": "abc"},
        {**rest_api(), "requestContext": {"identity": {"sourceIp": {"a": 1}}}},
        {**http_api(), "headers": {"a": "\ud800"}},
        {**balancer(), "path": None, "httpMethod": 3},
    ]

    assert [400] * len(odd) == [function.call(event)["statusCode"] for event in odd]


@pytest.mark.parametrize("host", ["a:b", "[::1]:80", "", "a:1:2", "é"])
def test_no_host_of_a_client_breaks_the_function(function: Function, host: str) -> None:
    assert function.call(balancer("GET", "/echo", headers={"host": host}))["statusCode"] in {200, 400}


def test_a_thousand_calls_start_it_once(function: Function) -> None:
    for _ in range(1000):
        assert 200 == function.call(http_api("GET", "/echo"))["statusCode"]

    assert 1 == len([line for line in function.metrics() if line.get("cold_starts")])


def test_each_call_is_a_line_of_metrics_as_cloudwatch_reads_them(function: Function) -> None:
    function.call(http_api("GET", "/fail"))

    *_, line = [each for each in function.metrics() if each.get("route") == "/fail"]
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert abs(line["_aws"]["Timestamp"] / 1000 - time.time()) < 60
    assert 1 == line["server_errors"] == line["requests"]
    assert {"service", "environment", "route"} == {name for names in directive["Dimensions"] for name in names}
    for metric in directive["Metrics"]:
        assert isinstance(line[metric["Name"]], int | float)
    for names in directive["Dimensions"]:
        assert all(line[name] and isinstance(line[name], str) for name in names)
    assert [each for each in function.metrics() if each.get("http_exceptions") == 1]


def test_every_line_names_its_call(function: Function) -> None:
    function.call(http_api("GET", "/fail"))

    *_, access = function.events("request")
    *_, exception = function.events("unhandled exception")
    assert access["aws_request_id"] == exception["aws_request_id"] == f"call-{function.calls}"


def test_the_log_is_written_before_the_function_returns(function: Function) -> None:
    function.call(http_api("GET", "/echo", headers={"X-Request-ID": "last-words"}))
    os.kill(function.process.pid, signal.SIGSTOP)  # as Lambda does
    try:
        ends = time.monotonic() + 5
        while not [line for line in function.events("request") if line["request_id"] == "last-words"]:
            assert time.monotonic() < ends
            time.sleep(0.01)
    finally:
        os.kill(function.process.pid, signal.SIGCONT)


def test_tasks_of_features_do_not_run(tmp_path: Path) -> None:
    with started(tmp_path) as function:
        for _ in range(20):
            function.call(http_api("GET", "/text"))

    assert not (tmp_path / "task-ran").exists()


def test_a_start_that_fails_is_tried_again(tmp_path: Path) -> None:
    in_the_way = tmp_path / "data"
    in_the_way.touch()
    with started(tmp_path, DATABASE_URL=f"sqlite:///{in_the_way}/service.db") as function:
        first = function.call(http_api("GET", "/echo"))
        second = function.call(rest_api("GET", "/echo"))
        in_the_way.unlink()

        assert [503, 503] == [first["statusCode"], second["statusCode"]]
        assert document(first)["type"].endswith(":unavailable")
        assert 3 == len(function.events("start-up failed"))  # when it was initialised, and with each call
        assert 200 == function.call(http_api("GET", "/echo"))["statusCode"]
        assert [] == function.init_errors


def test_settings_that_are_wrong_are_said_and_the_call_gets_503(tmp_path: Path) -> None:
    with started(tmp_path, LOG_LEVEL="loud") as function:
        assert 503 == function.call(http_api())["statusCode"]
        function.process.kill()
        assert function.process.stderr is not None
        assert "LOG_LEVEL" in function.process.stderr.read()


@pytest.mark.parametrize(("app_env", "works"), [("development", True), ("test", False), ("production", False)])
def test_sqlite_is_for_development_alone(tmp_path: Path, app_env: str, *, works: bool) -> None:
    with started(tmp_path, APP_ENV=app_env, ALLOWED_HOSTS="*.example.com") as function:
        assert (200 if works else 503) == function.call(http_api("GET", "/echo"))["statusCode"]
        said = [line for line in function.events("start-up failed") if "/var/task is read-only" in str(line)]
        assert works is not bool(said)


def created(function: Function, email: str) -> int:
    body = json.dumps({"name": "Ada", "email": email, "password": "correct horse battery"}).encode()
    return int(function.call(http_api("POST", "/api/users", headers=JSON, body=body))["statusCode"])


def prefix(function: Function) -> str:
    request_id: str = document(function.call(http_api("GET", "/nowhere")))["instance"]
    return request_id.rpartition("-")[0]


def test_after_a_pause_ids_and_connections_are_other_ones(tmp_path: Path, postgresql_url: str) -> None:
    with started(tmp_path, DATABASE_URL=postgresql_url, GAP_SECONDS="1") as function:
        assert 201 == created(function, "a@example.com")
        before = prefix(function)
        assert before == prefix(function)
        _end_connections(postgresql_url)
        time.sleep(1.2)
        assert 201 == created(function, "b@example.com")
        assert before != prefix(function)
        assert 1 == len([line for line in function.metrics() if line.get("cold_starts")])


async def test_connections_that_died_in_silence_are_not_waited_for(tmp_path: Path, proxy: Proxy) -> None:
    """As those that a NAT gateway has forgotten: nothing comes back, not even the end."""
    with started(tmp_path, DATABASE_URL=proxy.address, GAP_SECONDS="1") as function:
        assert 201 == await asyncio.to_thread(created, function, "a@example.com")
        proxy.forget()
        await asyncio.sleep(1.2)
        began = time.monotonic()
        assert 201 == await asyncio.to_thread(created, function, "b@example.com")
        assert time.monotonic() - began < 5  # the driver waits for ten seconds
        assert [] == function.events("connections not renewed")


def _end_connections(url: str) -> None:
    async def end() -> None:
        database = Database(url)
        others = "pid <> pg_backend_pid() AND datname = current_database() AND backend_type = 'client backend'"
        await database.fetch_all(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))  # noqa: S608
        await database.close()

    asyncio.run(end())


def test_it_goes_on_from_a_snapshot(tmp_path: Path, postgresql_url: str) -> None:
    environment = {"DATABASE_URL": postgresql_url, "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
    with started(tmp_path, **environment) as function:
        function.restoring.wait(30)
        _end_connections(postgresql_url)  # none lives through a snapshot
        function.restored.set()
        assert 201 == created(function, "a@example.com")
        assert [] == function.init_errors
