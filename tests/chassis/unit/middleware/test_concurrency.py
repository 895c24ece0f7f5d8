"""What is served at once, in process: who counts where, and that each place is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from acme_service.chassis.access import PUBLIC
from acme_service.chassis.application import Application
from acme_service.chassis.http import ApiRoute, allow, mount
from acme_service.chassis.metrics import Metrics
from acme_service.chassis.middleware.concurrency import ConcurrencyLimitMiddleware
from acme_service.chassis.middleware.errors import ErrorMiddleware
from acme_service.chassis.middleware.instrumentation import InstrumentationMiddleware

from ...application import Lines
from .conftest import PROBLEMS

pytestmark = pytest.mark.anyio


class Service:
    """Two requests and one stream at a time; each handler waits until it is released."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        metrics = Metrics()
        polled = Starlette(routes=[ApiRoute("/", {"GET": allow(PUBLIC, self.waits)}, name="polled")])
        self.app = Application(
            routes=[
                ApiRoute("/waits", {"GET": allow(PUBLIC, self.waits)}, name="waits"),
                ApiRoute("/polls", {"GET": allow(PUBLIC, self.waits, long_poll=True)}, name="polls"),
                ApiRoute("/fails", {"GET": allow(PUBLIC, self.fails)}, name="fails"),
                ApiRoute("/streams", {"GET": allow(PUBLIC, self.streams)}, name="streams"),
                ApiRoute("/plain", {"GET": allow(PUBLIC, self.plain)}, name="plain"),
                ApiRoute("/health/live", {"GET": allow(PUBLIC, self.plain)}, name="health.live"),
                mount("/polled", polled, policy=PUBLIC, name="mounted", long_poll=True),
            ],
            middleware=[
                Middleware(InstrumentationMiddleware, metrics=metrics.requests, access_log=Lines(), problems=PROBLEMS),
                Middleware(ErrorMiddleware, problems=PROBLEMS, on_exception=metrics.count_exception, debug=False),
                Middleware(ConcurrencyLimitMiddleware, max_requests=2, max_streams=1),
            ],
        )

    async def waits(self, _request: Request) -> Response:
        await self.release.wait()
        return Response()

    async def plain(self, _request: Request) -> Response:
        return Response(b"x")

    async def fails(self, _request: Request) -> Response:
        raise ValueError

    async def streams(self, _request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"
            await self.release.wait()

        return StreamingResponse(chunks())

    async def get(self, path: str) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://good.test") as client:
            return await client.get(path)

    async def status(self, path: str) -> int:
        return (await self.get(path)).status_code

    @asynccontextmanager
    async def open(self, *paths: str) -> AsyncIterator[None]:
        """Requests for *paths* that wait; in the end they are released."""
        waiting = [asyncio.create_task(self.get(path)) for path in paths]
        await asyncio.sleep(0.01)
        try:
            yield
        finally:
            self.release.set()
        assert {200} == {response.status_code for response in await asyncio.gather(*waiting)}


async def test_one_request_too_many_is_rejected_at_once() -> None:
    service = Service()
    async with service.open("/waits", "/waits"):
        rejected = await service.get("/plain")
        assert (503, "1") == (rejected.status_code, rejected.headers["retry-after"])
        assert "2 requests" in rejected.json()["detail"]
        assert 200 == await service.status("/health/live")

    assert 200 == await service.status("/plain")


@pytest.mark.parametrize("path", ["/streams", "/polls", "/polled/"])
async def test_what_lasts_takes_no_place_of_a_request(path: str) -> None:
    service = Service()
    async with service.open(path, "/waits"):
        assert 200 == await service.status("/plain")
        assert {503} == {await service.status(each) for each in ("/streams", "/polls", "/polled/")}

    assert {200} == {await service.status(each) for each in ("/streams", "/polls", "/polled/")}


async def test_each_place_is_given_back_once() -> None:
    service = Service()
    service.release.set()
    for path in ("/fails", "/nothing", "/streams", "/polls", "/plain") * 3:
        await service.status(path)
    service.release.clear()

    async with service.open("/waits", "/waits"):
        assert 503 == await service.status("/plain")


async def test_a_cancelled_request_gives_its_place_back() -> None:
    service = Service()
    waiting = [asyncio.create_task(service.get("/waits")) for _ in range(2)]
    await asyncio.sleep(0.01)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert 200 == await service.status("/plain")


async def test_a_websocket_is_a_stream() -> None:
    service = Service()
    sent: list[Message] = []
    call = websocket_call(service.app, sent)

    async with service.open("/streams"):
        await call()
    assert ("websocket.http.response.start", 503) == (sent[0]["type"], sent[0]["status"])


async def test_a_websocket_that_has_ended_leaves_its_place() -> None:
    service = Service()
    call = websocket_call(service.app, [])
    for _ in range(2):
        await call()

    service.release.set()
    assert 200 == await service.status("/polls")


def websocket_call(app: Application, sent: list[Message]) -> Callable[[], Awaitable[None]]:
    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "websocket",
        "path": "/",
        "headers": [],
        "client": None,
        "scheme": "ws",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }

    async def call() -> None:
        given: tuple[Receive, Send] = (receive, send)
        await app(dict(scope), *given)

    return call
