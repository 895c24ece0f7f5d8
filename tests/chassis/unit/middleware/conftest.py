"""An application of a few routes behind the core middleware, called in process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx2
import pytest
from pydantic import RootModel
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Send
from structlog.testing import capture_logs

from acme_service.chassis import errors
from acme_service.chassis.access import PUBLIC
from acme_service.chassis.application import Application
from acme_service.chassis.http import ApiRoute, BodyLimits, allow, read_body
from acme_service.chassis.metrics import Metrics
from acme_service.chassis.middleware.errors import ErrorMiddleware
from acme_service.chassis.middleware.hosts import AllowedHostsMiddleware
from acme_service.chassis.middleware.instrumentation import InstrumentationMiddleware
from acme_service.chassis.middleware.limits import BodySizeLimitMiddleware, TimeoutMiddleware
from acme_service.chassis.shapes.problem import ProblemDetails

from ...application import Lines

PROBLEMS = ProblemDetails("acme-service")
LIMITS = BodyLimits(max_bytes=100, max_json_values=10, max_json_depth=3)


async def echo(request: Request) -> Response:
    return Response(await request.body())


async def reads(request: Request) -> Response:
    return Response((await read_body(request, Anything)).model_dump_json())


async def fails(_request: Request) -> Response:
    raise KeyError("hunter2\nforged line")


async def leaves(request: Request) -> Response:
    raise LEAVING[request.path_params["name"]]


async def awaits_what_is_cancelled(_request: Request) -> Response:
    another = asyncio.get_running_loop().create_future()
    another.cancel()
    await another
    return Response()


async def rejects(_request: Request) -> Response:
    raise errors.Conflict("It is taken.")


async def teapot(_request: Request) -> Response:
    raise HTTPException(418, detail="Short and stout.", headers={"X-Pot": "tea"})


async def library_text(_request: Request) -> Response:
    return PlainTextResponse("text of a library", status_code=410)


async def library_stream(_request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"text of "
        yield b"a library"

    return StreamingResponse(chunks(), 502, headers={"X-Gateway": "east"}, media_type="text/plain")


async def invalid(_request: Request) -> Response:
    raise errors.Invalid("One value is wrong.", (errors.FieldError("/email", "is no address"),))


async def unavailable(_request: Request) -> Response:
    raise errors.DatabaseUnavailable("Come back later.", retry_after_seconds=7) from ConnectionRefusedError("port 5432")


async def not_ready(_request: Request) -> Response:
    raise errors.NotReady


async def shuts(_request: Request) -> Response:
    raise HTTPException(503)


async def sleeps(_request: Request) -> Response:
    await asyncio.sleep(30)
    return Response()


async def takes_its_time(_request: Request) -> Response:
    await asyncio.sleep(0.3)
    return Response()


async def cleans_up(request: Request) -> Response:
    try:
        await asyncio.sleep(30)
    finally:
        await asyncio.sleep(0.15)
        request.app.state.cleaned = getattr(request.app.state, "cleaned", 0) + 1
    return Response()


async def slow_stream(_request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x"
            await asyncio.sleep(0.1)

    return StreamingResponse(chunks())


async def broken_stream(_request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"half"
        raise ValueError("lost the other half")

    return StreamingResponse(chunks())


async def fails_afterwards(_request: Request) -> Response:
    async def later() -> None:
        raise ValueError("too late to tell")

    return Response(b"whole", background=BackgroundTask(later))


async def lingers(_request: Request) -> Response:
    return Response(b"whole", background=BackgroundTask(asyncio.sleep, 30))


async def own_policy(_request: Request) -> Response:
    return Response(headers={"Cache-Control": "max-age=60"})


OWN_LIMITS = {"takes-less": BodyLimits(max_bytes=10), "takes-more": BodyLimits(max_bytes=1000)}
MORE_JSON = BodyLimits(max_json_values=20, max_json_depth=6)


class Anything(RootModel[Any]):
    """Any JSON."""


LEAVING = {error.__name__: error for error in (SystemExit, KeyboardInterrupt, GeneratorExit, BaseException)}

HANDLERS: dict[str, Callable[[Request], Awaitable[Response]]] = {
    "/fails": fails,
    "/awaits-cancelled": awaits_what_is_cancelled,
    "/rejects": rejects,
    "/teapot": teapot,
    "/library": library_text,
    "/library-stream": library_stream,
    "/invalid": invalid,
    "/unavailable": unavailable,
    "/not-ready": not_ready,
    "/shuts": shuts,
    "/sleeps": sleeps,
    "/cleans-up": cleans_up,
    "/stream": slow_stream,
    "/broken-stream": broken_stream,
    "/afterwards": fails_afterwards,
    "/lingers": lingers,
    "/own-policy": own_policy,
}


async def nothing() -> Message:
    return {"type": "http.disconnect"}


async def accept(_message: Message) -> None:
    pass


class Stack:
    """The application, and what it recorded."""

    def __init__(self, *, debug: bool = False, hosts: tuple[str, ...] = ("Good.test", "*.below.test", "[::1]")) -> None:
        self.metrics = Metrics()
        self.lines = Lines()
        self.app: Starlette = Application(
            routes=[
                ApiRoute("/echo/{name}", {"GET": allow(PUBLIC, echo), "POST": allow(PUBLIC, echo)}, name="echo"),
                *(
                    ApiRoute(f"/{name}", {"POST": allow(PUBLIC, echo, limits=limits)}, name=name)
                    for name, limits in OWN_LIMITS.items()
                ),
                ApiRoute("/reads", {"POST": allow(PUBLIC, reads)}, name="reads"),
                ApiRoute("/reads-more", {"POST": allow(PUBLIC, reads, limits=MORE_JSON)}, name="reads-more"),
                ApiRoute("/fails/{name}", {"GET": allow(PUBLIC, fails)}, name="fails"),
                ApiRoute("/leaves/{name}", {"GET": allow(PUBLIC, leaves)}, name="leaves"),
                *(ApiRoute(path, {"GET": allow(PUBLIC, handler)}, name=path) for path, handler in HANDLERS.items()),
                Route("/foreign/{name}", fails),
                ApiRoute("/metrics", {"GET": allow(PUBLIC, echo)}, name="metrics"),
                ApiRoute("/health/ready", {"GET": allow(PUBLIC, takes_its_time)}, name="health.ready"),
            ],
            middleware=[
                Middleware(
                    InstrumentationMiddleware,
                    metrics=self.metrics.requests,
                    access_log=self.lines,
                    problems=PROBLEMS,
                ),
                Middleware(
                    ErrorMiddleware,
                    problems=PROBLEMS,
                    on_exception=self.metrics.count_exception,
                    debug=debug,
                ),
                Middleware(AllowedHostsMiddleware, hosts=hosts),
                Middleware(BodySizeLimitMiddleware, limits=LIMITS),
                Middleware(TimeoutMiddleware, seconds=0.2),
            ],
        )

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://good.test") as client:
            return await client.request(method, path, **options)

    async def call(self, scope: dict[str, Any], receive: Receive = nothing, send: Send = accept) -> None:
        """What a server does, for a request that no well-behaved client sends."""
        ordinary = {"type": "http", "method": "GET", "path": "/echo/x", "scheme": "http"}
        await self.app({**ordinary, "client": None, "headers": [], **scope}, receive, send)

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No lines on the terminal: structlog as it comes would draw each exception for seconds."""
    with capture_logs():
        yield


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def stack() -> Stack:
    return Stack()
