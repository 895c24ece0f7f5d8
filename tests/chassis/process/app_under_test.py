"""A service whose handlers misbehave on purpose, on the real server; `service.py` starts it as a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from multiprocessing.connection import Connection
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from acme_service.chassis.context import request_id
from acme_service.chassis.errors import HostNotAllowed
from acme_service.chassis.lifecycle import Lifecycle
from acme_service.chassis.server.options import ServerOptions
from acme_service.chassis.server.process import serve
from acme_service.chassis.server.signals import ENDING_SIGNALS, exit_at_once_on_signals
from acme_service.chassis.shapes.problem import ProblemDetails

log = structlog.get_logger("tests.process")


def log_as_json() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            lambda _logger, _name, line: {"request_id": request_id.get(), **line},
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(),
    )
    logging.basicConfig(stream=sys.stdout, format='{"event": "standard library", "message": "%(message)s"}')


def seconds_of(request: Request) -> float:
    return float(request.query_params["seconds"])


def lifecycle_of(connection: HTTPConnection) -> Lifecycle:
    lifecycle: Lifecycle = connection.app.state.lifecycle
    return lifecycle


async def quick(request: Request) -> Response:
    return JSONResponse({"ok": True, "path": request.url.path})


left_behind: ContextVar[str] = ContextVar("left_behind", default="nothing")


async def context(_request: Request) -> Response:
    """Tell what an earlier request left in the context, and leave something for a later one."""
    found = left_behind.get()
    left_behind.set("something")
    return Response(found)


async def ready(request: Request) -> Response:
    return Response(status_code=200 if lifecycle_of(request).ready else 503)


async def slow(request: Request) -> Response:
    await asyncio.sleep(seconds_of(request))
    return JSONResponse({"ok": True})


async def stubborn(request: Request) -> Response:
    """Swallow the cancellation, as careless libraries do."""
    ends = time.monotonic() + seconds_of(request)
    while time.monotonic() < ends:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(ends - time.monotonic())
    return JSONResponse({"ok": True})


async def thread(request: Request) -> Response:
    await run_in_threadpool(time.sleep, seconds_of(request))
    return JSONResponse({"ok": True})


async def block(request: Request) -> Response:
    time.sleep(seconds_of(request))  # noqa: ASYNC251 - the fault that is tested
    return JSONResponse({"ok": True})


def hear_nothing(seconds: float) -> None:
    """Sleep as in a call into C that no signal interrupts."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    time.sleep(seconds)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)


async def be_deaf(request: Request) -> Response:
    hear_nothing(seconds_of(request))
    return JSONResponse({"ok": True})


async def end_child(_request: Request) -> Response:
    """Fork, and ask the child to end, as a process pool does."""
    child = os.fork()
    if child == 0:
        time.sleep(0.3)  # noqa: ASYNC251 - the child has nothing else to do
        os._exit(0)
    await asyncio.sleep(0.1)
    os.kill(child, signal.SIGTERM)
    await asyncio.to_thread(os.waitpid, child, 0)
    return JSONResponse({"ok": True})


async def leave_thread(request: Request) -> Response:
    threading.Thread(target=time.sleep, args=[seconds_of(request)]).start()
    return JSONResponse({"ok": True})


async def echo(request: Request) -> Response:
    return Response(await request.body())


async def headers(request: Request) -> Response:
    await request.body()
    return JSONResponse(dict(request.headers))


async def reject(_request: Request) -> Response:
    return Response(b'{"status":413}', 413, media_type="application/problem+json")


async def fail(request: Request) -> Response:
    lifecycle_of(request).fail("the mailer died")
    return JSONResponse({"ok": True})


async def big(_request: Request) -> Response:
    return Response(b"x" * 30_000_000)


async def events(request: Request) -> Response:
    async def until_stopping() -> AsyncIterator[bytes]:
        try:
            yield b"data: hello\n\n"
            await lifecycle_of(request).wait_until_stopping()
            yield b"retry: 1000\ndata: goodbye\n\n"
        finally:
            log.info("stream ended")

    return StreamingResponse(until_stopping(), media_type="text/event-stream")


async def endless(_request: Request) -> Response:
    async def forever() -> AsyncIterator[bytes]:
        while True:
            yield b"data: tick\n\n"
            await asyncio.sleep(0.02)

    return StreamingResponse(forever(), media_type="text/event-stream")


async def broken_stream(_request: Request) -> Response:
    async def failing() -> AsyncIterator[bytes]:
        yield b"half"
        raise ZeroDivisionError

    return StreamingResponse(failing())


async def aware_websocket(websocket: WebSocket) -> None:
    await websocket.accept()
    loop = asyncio.get_running_loop()
    stopping = loop.create_task(lifecycle_of(websocket).wait_until_stopping())
    with contextlib.suppress(WebSocketDisconnect):
        while not stopping.done():
            receiving = loop.create_task(websocket.receive_text())
            await asyncio.wait([stopping, receiving], return_when=asyncio.FIRST_COMPLETED)
            receiving.cancel()
        await websocket.close(1012)


async def unaware_websocket(websocket: WebSocket) -> None:
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_text()


async def echo_websocket(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def pushing_websocket(websocket: WebSocket) -> None:
    """Send more than the client takes, without ever receiving."""
    await websocket.accept()
    log.info("pushing")
    try:
        while True:
            await websocket.send_bytes(b"x" * 65_536)
            await asyncio.sleep(0.001)
    except WebSocketDisconnect:
        log.info("push ended")


async def crashing_websocket(websocket: WebSocket) -> None:
    await websocket.accept()
    raise ZeroDivisionError


async def late_websocket(websocket: WebSocket) -> None:
    await websocket.accept()
    raise HostNotAllowed("Too late.")


async def rejecting_websocket(_websocket: WebSocket) -> None:
    raise HostNotAllowed("Not here.")


async def failing_websocket(_websocket: WebSocket) -> None:
    raise ZeroDivisionError("one\nline")


async def silent_websocket(_websocket: WebSocket) -> None:
    pass


async def answering_websocket(websocket: WebSocket) -> None:
    await websocket.send_denial_response(Response(b"own", 401))


async def pondering_websocket(_websocket: WebSocket) -> None:
    log.info("pondering")
    await asyncio.sleep(60)


async def hang(_app: Starlette) -> None:
    log.info("starting")
    await asyncio.sleep(60)


async def take_a_moment(_app: Starlette) -> None:
    log.info("starting")
    await asyncio.sleep(0.3)


async def block_loop(_app: Starlette) -> None:
    log.info("starting")
    time.sleep(60)  # noqa: ASYNC251 - the fault that is tested


async def be_deaf_at_the_start(_app: Starlette) -> None:
    log.info("starting")
    hear_nothing(60)


async def take_over_hangup(_app: Starlette) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, log.info, "reloading")


async def not_connect(_app: Starlette) -> None:
    raise ConnectionRefusedError("cannot connect to postgresql")


async def divide_by_zero(_app: Starlette) -> None:
    raise ZeroDivisionError


async def lose_task(app: Starlette) -> None:
    app.state.lifecycle.fail("the mailer died")


AT_THE_START = {
    "hangs at the start": hang,
    "takes a moment to start": take_a_moment,
    "blocks at the start": block_loop,
    "is deaf at the start": be_deaf_at_the_start,
    "takes SIGHUP over": take_over_hangup,
    "fails at the start": not_connect,
    "loses a task at the start, and blocks at the end": lose_task,
}
AT_THE_END = {
    "hangs at the end": hang,
    "fails at the end": divide_by_zero,
    "loses a task at the start, and blocks at the end": block_loop,
}

ROUTES = [
    Route("/", quick, methods=["GET", "POST"]),
    Route("/context", context),
    Route("/health/ready", ready),
    Route("/slow", slow),
    Route("/stubborn", stubborn),
    Route("/thread", thread),
    Route("/leave-thread", leave_thread),
    Route("/block", block),
    Route("/be-deaf", be_deaf),
    Route("/end-child", end_child),
    Route("/echo", echo, methods=["POST"]),
    Route("/headers", headers, methods=["GET", "POST"]),
    Route("/reject", reject, methods=["POST"]),
    Route("/fail", fail),
    Route("/big", big),
    Route("/events", events),
    Route("/endless", endless),
    Route("/broken-stream", broken_stream),
    WebSocketRoute("/websocket/aware", aware_websocket),
    WebSocketRoute("/websocket/unaware", unaware_websocket),
    WebSocketRoute("/websocket/echo", echo_websocket),
    WebSocketRoute("/websocket/pushing", pushing_websocket),
    WebSocketRoute("/websocket/crashing", crashing_websocket),
    WebSocketRoute("/websocket/late", late_websocket),
    WebSocketRoute("/websocket/rejecting", rejecting_websocket),
    WebSocketRoute("/websocket/failing", failing_websocket),
    WebSocketRoute("/websocket/silent", silent_websocket),
    WebSocketRoute("/websocket/answering", answering_websocket),
    WebSocketRoute("/websocket/pondering", pondering_websocket),
]


def build(lifecycle: Lifecycle, lifespan_kind: str) -> tuple[ASGIApp, ASGIApp]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            if lifespan_kind in AT_THE_START:
                await AT_THE_START[lifespan_kind](app)
            yield
            if lifespan_kind in AT_THE_END:
                await AT_THE_END[lifespan_kind](app)
        finally:
            log.info("resources closed")

    operations = Starlette(routes=[Route("/health/ready", ready)])
    app = Starlette(routes=ROUTES, lifespan=lifespan)
    app.state.lifecycle = operations.state.lifecycle = lifecycle

    async def outermost(scope: Scope, receive: Receive, send: Send) -> None:
        """Stand for a middleware that crashes: nothing of the application is around it."""
        if scope["type"] == "http" and scope["path"] == "/crash":
            raise ZeroDivisionError("one\nline")
        await app(scope, receive, send)

    return outermost, operations


def main(wishes: dict[str, Any]) -> int:
    log_as_json()
    options = ServerOptions(
        **{"host": "127.0.0.1", "port": 0, **wishes["server"]},
        problems=ProblemDetails("acme-service"),
        on_rejection=lambda method, status: log.info("counted", method=method, status=status),
    )
    lifecycle = Lifecycle()
    return serve(
        lambda: build(lifecycle, wishes["lifespan"]),
        options,
        lifecycle,
        flush=lambda _seconds: sys.stdout.flush(),
    )


def run_in_fork(
    program: Callable[[dict[str, Any]], int], wishes: dict[str, Any], output: Connection, errors: Connection
) -> None:
    """What a forked process does: *output* and *errors* take the place of its standard streams."""
    exit_at_once_on_signals()
    os.dup2(output.fileno(), 1)
    os.dup2(errors.fileno(), 2)
    output.close()
    errors.close()
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    sys.exit(program(wishes))
