"""Server-sent events, and work that ends with its client or the service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.requests import Request

from acme_service.chassis.context import Exchange
from acme_service.chassis.errors import ClientGone, NotFound, Overloaded, ShuttingDown, TooManyRequests
from acme_service.chassis.http import EventStream, prefers_events, while_connected
from acme_service.chassis.lifecycle import Lifecycle, Phase
from acme_service.chassis.shapes.problem import ProblemDetails

pytestmark = pytest.mark.anyio

Event = tuple[str, bytes]


class Client:
    """What a server and its client are to a response."""

    def __init__(self, *, accept: str = "", method: str = "POST") -> None:
        self.sent: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        self.exchange = Exchange("some-request", 0.0)
        headers = [(b"accept", value.encode()) for value in accept.split("|")] if accept else []
        self.scope = {"type": "http", "method": method, "path": "/", "headers": headers, "exchange": self.exchange}

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def request(self) -> Request:
        return Request(self.scope, self.receive)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def is_whole(self) -> bool:
        return self.sent[-1]["more_body"] is False


def stream(
    events: AsyncGenerator[Event], lifecycle: Lifecycle | None = None, heartbeat_seconds: float = 60
) -> EventStream:
    return EventStream(
        events,
        lifecycle=lifecycle or Lifecycle(),
        problems=ProblemDetails("shop"),
        heartbeat_seconds=heartbeat_seconds,
    )


async def served(client: Client, response: EventStream) -> None:
    await response(client.scope, client.receive, client.send)


async def failing(error: Exception, *events: Event) -> AsyncGenerator[Event]:
    for event in events:
        yield event
    raise error


class Endless:
    """Events until they are closed."""

    def __init__(self, *first: Event) -> None:
        self.first = first
        self.closed = False

    async def events(self) -> AsyncGenerator[Event]:
        try:
            for event in self.first:
                yield event
            await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_events_are_numbered_and_the_last_one_ends_the_response() -> None:
    async def events() -> AsyncGenerator[Event]:
        yield "one", b"1"
        yield "two", b"{}"

    client = Client()
    await served(client, stream(events()))

    headers = dict(client.sent[0]["headers"])
    assert b"text/event-stream; charset=utf-8" == headers[b"content-type"]
    assert b"no" == headers[b"x-accel-buffering"]
    assert b"id: 1\nevent: one\ndata: 1\n\nid: 2\nevent: two\ndata: {}\n\n" == client.body
    assert client.is_whole


async def test_a_failure_before_the_first_event_is_a_response_of_its_own() -> None:
    client = Client()
    with pytest.raises(NotFound):
        await served(client, stream(failing(NotFound("gone"))))

    assert [] == client.sent


async def test_a_failure_after_it_is_the_last_event_and_what_is_recorded() -> None:
    client = Client()
    await served(client, stream(failing(TooManyRequests("slow down", retry_after_seconds=7), ("one", b"1"))))

    name, _, data = client.body.partition(b"id: 2\nevent: ")[2].partition(b"\ndata: ")
    document = json.loads(data)
    assert (b"error", "urn:problem-type:shop:too-many-requests") == (name, document["type"])
    assert ("slow down", "some-request", 7) == tuple(
        document[member] for member in ("detail", "instance", "retry_after_seconds")
    )
    assert client.is_whole
    assert 429 == client.exchange.outcome


async def test_an_unexpected_failure_shows_nothing_and_leaves_the_response_broken() -> None:
    client = Client()
    with pytest.raises(ZeroDivisionError):
        await served(client, stream(failing(ZeroDivisionError("a secret"), ("one", b"1"))))

    assert b"event: error" in client.body
    assert b"secret" not in client.body
    assert not client.is_whole


async def test_the_end_of_the_service_closes_the_events_and_is_the_last_one() -> None:
    for first in ((), (("one", b"1"),)):
        lifecycle, client, source = Lifecycle(), Client(), Endless(*first)
        running = asyncio.create_task(served(client, stream(source.events(), lifecycle)))
        await asyncio.sleep(0.01)
        lifecycle.advance(Phase.STOPPING)
        if first:
            await running
            assert b"shutting-down" in client.body
        else:
            with pytest.raises(ShuttingDown):
                await running
        assert source.closed


async def test_a_client_that_leaves_closes_the_events() -> None:
    client, source = Client(), Endless(("one", b"1"))
    running = asyncio.create_task(served(client, stream(source.events())))
    await asyncio.sleep(0.01)
    client.left.set()

    with pytest.raises(ClientGone):
        await running
    assert source.closed
    assert b"error" not in client.body


async def test_silence_is_filled_with_comments_and_begins_the_response() -> None:
    client, source = Client(), Endless()
    running = asyncio.create_task(served(client, stream(source.events(), heartbeat_seconds=0.02)))
    while client.body.count(b": waiting\n\n") < 2:
        await asyncio.sleep(0.01)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert source.closed
    assert 200 == client.sent[0]["status"]


async def test_a_client_that_does_not_read_is_sent_no_comments_meanwhile() -> None:
    client, released = Client(), asyncio.Event()

    async def send(message: Any) -> None:
        client.sent.append(message)
        if message.get("body"):
            await released.wait()

    source = Endless(("one", b"1"))
    running = asyncio.create_task(stream(source.events(), heartbeat_seconds=0.01)(client.scope, client.receive, send))
    await asyncio.sleep(0.05)
    assert 2 == len(client.sent)
    running.cancel()
    await asyncio.wait([running])


async def test_a_stream_without_a_place_does_no_work() -> None:
    class Full:
        def becomes_stream(self, _exchange: Exchange) -> None:
            raise Overloaded("full")

    client, source = Client(), Endless(("one", b"1"))
    client.exchange.places = Full()  # type: ignore[assignment]
    with pytest.raises(Overloaded):
        await served(client, stream(source.events()))

    assert not source.closed, "it has begun"


async def test_a_head_request_gets_the_head_alone() -> None:
    client, source = Client(method="HEAD"), Endless(("one", b"1"))
    await served(client, stream(source.events()))

    assert b"" == client.body
    assert client.is_whole


async def test_work_ends_with_its_client_or_the_service_and_its_own_end_wins() -> None:
    async def value() -> int:
        return 5

    async def stubborn() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 6
        raise AssertionError

    async def broken() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError
        raise AssertionError

    assert 5 == await while_connected(value(), Client().request, Lifecycle())
    gone = Client()
    gone.left.set()
    assert 6 == await while_connected(stubborn(), gone.request, Lifecycle())
    with pytest.raises(ZeroDivisionError):
        await while_connected(broken(), gone.request, Lifecycle())
    stopping = Lifecycle()
    stopping.advance(Phase.STOPPING)
    with pytest.raises(ShuttingDown):
        await while_connected(asyncio.sleep(60), Client().request, stopping)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/event-stream", True),
        ("text/event-stream, application/json;q=0.5", True),
        ("application/json;q=0.5|text/event-stream", True),
        ("TEXT/EVENT-STREAM; q=1.0, application/json; q=0.9", True),
        ("text/*", True),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/event-stream", False),
        ("application/json, text/event-stream;q=0.9", False),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=nonsense", False),
        ("text/event-stream;q=0.1, */*;q=0.2", False),
        ("text/html", False),
        (",,;;=,q", False),
    ],
)
async def test_events_are_for_those_who_rank_them_above_json(accept: str, *, expected: bool) -> None:
    assert expected is prefers_events(Client(accept=accept).request)
