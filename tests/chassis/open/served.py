"""Services that run as processes: `python -m chassis.open.served` is one under our server, `app` for other servers."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import structlog
from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from acme_service.chassis import Core, Parts, asgi, run

from .harness import route, service


async def events() -> AsyncIterator[dict[str, str]]:
    """One at once, and no other."""
    yield {"data": "first"}
    await asyncio.Event().wait()


async def ticks() -> AsyncIterator[bytes]:
    while True:
        yield b"tick\n"
        await asyncio.sleep(0.01)


async def process_id(_request: Request) -> Response:
    structlog.get_logger("served").info("served", pid=os.getpid())
    logging.getLogger("a.library").warning("of the standard library")
    return Response(str(os.getpid()))


def build(core: Core) -> Parts:
    lifecycle = core.lifecycle

    async def sse(_request: Request) -> Response:
        return EventSourceResponse(lifecycle.until_stopping(events()), ping=30)

    async def sse_alone(_request: Request) -> Response:
        return EventSourceResponse(events(), ping=30)

    async def own(_request: Request) -> Response:
        async def lines() -> AsyncIterator[bytes]:
            async for line in lifecycle.until_stopping(ticks()):
                yield line
            yield b"goodbye\n"

        return StreamingResponse(lines(), media_type="text/plain")

    async def silent(_request: Request) -> Response:
        async def lines() -> AsyncIterator[str]:
            async for event in lifecycle.until_stopping(events()):
                yield event["data"]
            yield "goodbye"

        return StreamingResponse(lines(), media_type="text/plain")

    async def tell_sse() -> None:
        await lifecycle.wait_until_stopping()
        AppStatus.should_exit = True

    return Parts(
        routes=[
            route("/pid", process_id),
            route("/sse", sse),
            route("/sse-alone", sse_alone),
            route("/own", own),
            route("/silent", silent),
        ],
        tasks={"end of event streams": tell_sse} if os.environ.get("TELL_SSE") else {},
    )


SERVICE = service(build=build)
app: Any = asgi(SERVICE)

if __name__ == "__main__":
    sys.exit(run(SERVICE, ["serve"]))
