"""What each answer carries, and what is recorded of it."""

from __future__ import annotations

import asyncio
import re

import pytest
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from acme_service.chassis.context import RequestIds
from acme_service.chassis.errors import ClientGone, ResponseAborted
from acme_service.chassis.metrics import Metrics
from acme_service.chassis.middleware.instrumentation import InstrumentationMiddleware
from acme_service.chassis.shapes.headers import SECURITY_HEADERS

from ...application import Lines
from .conftest import PROBLEMS, Stack, accept, nothing

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 128])
async def test_a_harmless_request_id_is_kept(stack: Stack, given: str) -> None:
    response = await stack.request("GET", "/echo/x", headers={"X-Request-ID": given})

    assert given == response.headers["x-request-id"]
    assert [given] == [line["request_id"] for line in stack.lines.written]


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\tb", 'a"b', "a;b", "ä"])
async def test_any_other_request_id_is_replaced(stack: Stack, given: str) -> None:
    response = await stack.request("GET", "/echo/x", headers={"X-Request-ID": given.encode()})

    assert re.fullmatch(r"[0-9a-f]{24}-[0-9a-f]+", response.headers["x-request-id"])


async def test_no_two_requests_share_an_id(stack: Stack) -> None:
    ids = {(await stack.request("GET", "/echo/x")).headers["x-request-id"] for _ in range(20)}

    assert len(ids) == 20


def test_no_two_processes_share_an_id() -> None:
    assert RequestIds().next() != RequestIds().next()


async def test_an_answer_forbids_browsers_what_an_api_never_needs(stack: Stack) -> None:
    headers = (await stack.request("GET", "/echo/x")).headers

    assert {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }.items() <= headers.items()


@pytest.mark.parametrize("path", ["/echo/x", "/fails", "/nothing", "/library", "/sleeps"])
async def test_each_answer_carries_the_security_headers_once(stack: Stack, path: str) -> None:
    headers = (await stack.request("GET", path)).headers

    for name, value in SECURITY_HEADERS:
        assert [value.decode()] == headers.get_list(name.decode())
    assert "strict-transport-security" not in headers


async def test_a_route_keeps_a_header_that_it_sets_itself(stack: Stack) -> None:
    headers = (await stack.request("GET", "/own-policy")).headers

    assert headers.get_list("cache-control") == ["max-age=60"]
    assert headers["x-content-type-options"] == "nosniff"


async def test_transport_security_is_announced_over_tls_alone(stack: Stack) -> None:
    response = await stack.request("GET", "https://good.test/echo/x")

    assert response.headers["strict-transport-security"].startswith("max-age=")


async def test_the_access_line_names_the_template_and_the_path(stack: Stack) -> None:
    await stack.request("GET", "/echo/some%0aone?token=hunter2")
    (line,) = stack.lines.written

    assert ("info", "GET", "/echo/{name}", 200) == tuple(line[key] for key in ("level", "method", "route", "status"))
    assert line["path"] == "/echo/some\none"


async def test_a_route_of_another_class_is_named_by_its_template_too(stack: Stack) -> None:
    with capture_logs() as events:
        response = await stack.request("GET", "/foreign/x")

    assert 500 == response.status_code
    assert ["/foreign/{name}"] == [event["route"] for event in events]
    assert ["/foreign/{name}"] == [line["route"] for line in stack.lines.written]
    assert stack.sample("http_requests_total", method="GET", route="/foreign/{name}", status_code="500") == 1
    assert stack.sample("http_exceptions_total", route="/foreign/{name}", type="KeyError") == 1


async def test_the_access_line_is_in_milliseconds_and_the_metric_in_seconds(stack: Stack) -> None:
    await stack.request("GET", "/stream")
    seconds = stack.sample("http_request_duration_seconds_sum", method="GET", route="/stream", status_code="200")

    assert seconds is not None
    assert 0.2 < seconds < 10
    assert [seconds * 1000] == [line["duration_ms"] for line in stack.lines.written]


async def test_a_peer_without_an_address_has_none_in_the_line(stack: Stack) -> None:
    await stack.call({"headers": [(b"host", b"good.test")]})

    assert [""] == [line["client"] for line in stack.lines.written]


async def test_a_client_that_leaves_while_it_sends_is_499_and_no_error(stack: Stack) -> None:
    with capture_logs() as events:
        await stack.call({"method": "POST", "headers": [(b"host", b"good.test")]})

    assert [(499, "info")] == [(line["status"], line["level"]) for line in stack.lines.written]
    assert stack.sample("http_requests_total", method="POST", route="/echo/{name}", status_code="499") == 1
    assert [] == events


async def test_a_client_that_leaves_while_it_is_answered_is_499_and_no_error(stack: Stack) -> None:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise ClientGone

    async def connected() -> Message:
        await asyncio.sleep(30)
        return {"type": "http.disconnect"}

    with capture_logs() as events:
        await stack.call({"path": "/stream", "headers": [(b"host", b"good.test")]}, connected, send)

    assert [499] == [line["status"] for line in stack.lines.written]
    assert [] == events


ANSWER: list[Message] = [{"type": "http.response.start", "status": 200, "headers": []}, {"type": "http.response.body"}]


@pytest.mark.parametrize(
    ("sent", "outcome", "error", "recorded"),
    [
        ([], 0, ZeroDivisionError, 500),
        (ANSWER[:1], 0, ZeroDivisionError, 500),
        (ANSWER, 0, ZeroDivisionError, 200),
        (ANSWER[:1], 503, ResponseAborted, 503),
        ([], 0, ClientGone, 499),
    ],
)
async def test_what_reaches_the_server_is_recorded_as_its_client_sees_it(
    sent: list[Message], outcome: int, error: type[Exception], recorded: int
) -> None:
    async def crash(scope: Scope, _receive: Receive, send: Send) -> None:
        for message in sent:
            await send(message)
        scope["exchange"].outcome = outcome
        raise error

    lines = Lines()
    observed = InstrumentationMiddleware(crash, metrics=Metrics().requests, access_log=lines, problems=PROBLEMS)
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "client": None, "headers": []}
    with pytest.raises(error):
        await observed(scope, nothing, accept)

    assert [recorded] == [line["status"] for line in lines.written]


async def test_requests_in_progress_are_those_without_an_answer(stack: Stack) -> None:
    requests = [asyncio.create_task(stack.request("GET", "/sleeps")) for _ in range(2)]
    await asyncio.sleep(0.05)
    assert stack.sample("http_requests_in_progress") == 2

    await asyncio.gather(*requests)
    assert stack.sample("http_requests_in_progress") == 0


async def test_probes_and_scrapes_are_logged_at_debug(stack: Stack) -> None:
    await stack.request("GET", "/metrics")

    assert ["debug"] == [line["level"] for line in stack.lines.written]


async def test_a_thousand_random_paths_and_methods_add_no_series(stack: Stack) -> None:
    for number in range(1000):
        await stack.request(f"M{number}", f"/random/{number}")
        await stack.request("GET", f"/echo/{number}")

    assert stack.sample("http_requests_total", method="other", route="unmatched", status_code="404") == 1000
    assert stack.sample("http_requests_total", method="GET", route="/echo/{name}", status_code="200") == 1000
    series = [line for line in stack.metrics.exposition().splitlines() if line.startswith(b"http_requests_total{")]
    assert len(series) == 2


async def test_the_histogram_counts_what_the_counter_counts(stack: Stack) -> None:
    for _ in range(3):
        await stack.request("GET", "/echo/x")
    labels = {"method": "GET", "route": "/echo/{name}", "status_code": "200"}

    assert stack.sample("http_request_duration_seconds_count", **labels) == 3
    assert stack.sample("http_request_duration_seconds_bucket", **labels, le="+Inf") == 3
