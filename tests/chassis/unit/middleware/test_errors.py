"""Every failure takes one path."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from acme_service.chassis.errors import ResponseAborted

from .conftest import LEAVING, Stack

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("path", "status", "slug", "detail"),
    [
        ("/rejects", 409, "conflict", "It is taken."),
        ("/teapot", 418, "client-error", "Short and stout."),
        ("/shuts", 503, "unavailable", "Service unavailable"),
        ("/unavailable", 503, "database-unavailable", "Come back later."),
        ("/nothing", 404, "not-found", "No route has this path."),
        ("/fails", 500, "internal", "Internal Server Error"),
    ],
)
async def test_every_error_is_a_problem_document(stack: Stack, path: str, status: int, slug: str, detail: str) -> None:
    response = await stack.request("GET", path, headers={"X-Request-ID": "r-1"})
    document = response.json()

    assert status == response.status_code == document["status"]
    assert response.headers["content-type"] == "application/problem+json"
    assert document["type"].endswith(f":{slug}")
    assert detail == document["detail"]
    assert document["instance"] == response.headers["x-request-id"] == "r-1"
    assert len(response.content) == int(response.headers["content-length"])


@pytest.mark.parametrize("method", ["DELETE", "TRACE", "FOO"])
async def test_a_wrong_method_is_405_and_names_the_right_ones(stack: Stack, method: str) -> None:
    response = await stack.request(method, "/echo/x")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, POST"
    assert response.json()["type"].endswith(":method-not-allowed")


@pytest.mark.parametrize(("path", "status"), [("/library", 410), ("/library-stream", 502)])
async def test_a_body_that_somebody_wrote_passes_unchanged(stack: Stack, path: str, status: int) -> None:
    response = await stack.request("GET", path)

    assert (status, "text of a library") == (response.status_code, response.text)
    assert response.headers["x-request-id"]


async def test_headers_of_a_library_s_rejection_stay(stack: Stack) -> None:
    assert (await stack.request("GET", "/teapot")).headers["x-pot"] == "tea"
    assert (await stack.request("GET", "/library-stream")).headers["x-gateway"] == "east"


async def test_the_places_of_what_is_wrong_are_named(stack: Stack) -> None:
    response = await stack.request("GET", "/invalid")

    assert [{"pointer": "/email", "detail": "is no address"}] == response.json()["errors"]


async def test_what_is_unavailable_says_when_to_come_back_and_logs_why(stack: Stack) -> None:
    with capture_logs() as events:
        response = await stack.request("GET", "/unavailable")

    assert response.headers["retry-after"] == "7"
    assert "5432" not in response.text.replace(response.headers["x-request-id"], "")
    assert [("request rejected", "warning", "ConnectionRefusedError: port 5432")] == [
        (event["event"], event["log_level"], event["cause"]) for event in events
    ]


async def test_a_probe_of_what_is_not_ready_leaves_no_line(stack: Stack) -> None:
    with capture_logs() as events:
        response = await stack.request("GET", "/not-ready")

    assert (503, []) == (response.status_code, events)


async def _cut_off(stack: Stack, path: str) -> list[Message]:
    """What is sent of a request that the server cancels after 50 ms, as it does at the shutdown deadline."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def connected() -> Message:
        await asyncio.sleep(30)
        return {"type": "http.disconnect"}

    task = asyncio.create_task(stack.call({"path": path, "headers": [(b"host", b"good.test")]}, connected, send))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return sent


async def test_a_request_cut_off_by_the_shutdown_is_told_so(stack: Stack) -> None:
    start, body = await _cut_off(stack, "/sleeps")

    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert b":shutting-down" in body["body"]
    assert [503] == [line["status"] for line in stack.lines.written]


async def test_a_stream_cut_off_by_the_shutdown_stays_unfinished_and_is_recorded_as_503(stack: Stack) -> None:
    sent = await _cut_off(stack, "/stream")

    assert 200 == sent[0]["status"]
    assert all(message["more_body"] for message in sent[1:])
    assert [503] == [line["status"] for line in stack.lines.written]


async def test_what_is_cut_off_after_its_whole_answer_is_recorded_as_answered(stack: Stack) -> None:
    await _cut_off(stack, "/lingers")

    assert [200] == [line["status"] for line in stack.lines.written]


async def test_an_unexpected_exception_is_one_log_event_and_is_counted(stack: Stack) -> None:
    with capture_logs() as events:
        await stack.request("GET", "/fails/some-name")

    assert [("unhandled exception", False)] == [(event["event"], event["response_truncated"]) for event in events]
    assert isinstance(events[0]["exc_info"], KeyError)
    assert stack.sample("http_exceptions_total", route="/fails/{name}", type="KeyError") == 1


@pytest.mark.parametrize("path", ["/awaits-cancelled", *(f"/leaves/{name}" for name in LEAVING)])
async def test_whatever_a_handler_raises_is_500_for_client_log_and_metric(stack: Stack, path: str) -> None:
    with capture_logs() as events:
        response = await stack.request("GET", path)
    (line,) = stack.lines.written

    assert (500, 500) == (response.status_code, line["status"])
    assert response.json()["type"].endswith(":internal")
    assert 1 == stack.sample("http_requests_total", method="GET", route=line["route"], status_code="500")
    assert ["unhandled exception"] == [event["event"] for event in events]
    counted = type(events[0]["exc_info"]).__name__
    assert 1 == stack.sample("http_exceptions_total", route=line["route"], type=counted)


async def test_the_text_of_an_exception_reaches_the_client_in_debug_alone(stack: Stack) -> None:
    def exception_of(document: dict[str, Any]) -> Any:
        return document.get("exception")

    revealed = exception_of((await Stack(debug=True).request("GET", "/fails")).json())
    hidden = await stack.request("GET", "/fails")

    assert revealed["type"] == "KeyError"
    assert "hunter2" in revealed["message"]
    assert any("fails" in frame for frame in revealed["frames"])
    assert "hunter2" not in hidden.text
    assert exception_of(hidden.json()) is None


async def test_a_failure_after_the_answer_began_leaves_it_unfinished(stack: Stack) -> None:
    with capture_logs() as events, pytest.raises(ResponseAborted):
        await stack.request("GET", "/broken-stream")

    assert [True] == [event["response_truncated"] for event in events]
    assert [500] == [line["status"] for line in stack.lines.written]


async def test_a_failure_after_the_whole_answer_is_logged_and_harms_no_one(stack: Stack) -> None:
    with capture_logs() as events:
        response = await stack.request("GET", "/afterwards")

    assert (200, b"whole") == (response.status_code, response.content)
    assert [False] == [event["response_truncated"] for event in events]
