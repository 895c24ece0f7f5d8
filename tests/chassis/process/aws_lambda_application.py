"""A function whose requests take time, fail, stream or are large; the environment shortens its limits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from acme_service.chassis import Core, Feature, Parts
from acme_service.chassis.access import PUBLIC
from acme_service.chassis.aws_lambda import LambdaHandler, embedded_metrics
from acme_service.chassis.aws_lambda import handler as handler_module
from acme_service.chassis.http import ApiRoute, allow, describe

from .. import sample

described = describe(summary="Try", description="What a function of AWS Lambda is tried with.", responses={200: None})


@described
async def echo(request: Request) -> Response:
    """Say what was received."""
    body = await request.body()
    return JSONResponse(
        {
            "headers": request.headers.items(),
            "query": request.query_params.multi_items(),
            "cookies": request.cookies,
            "client": request.client.host if request.client else None,
            "url": str(request.url),
            "size": len(body),
        }
    )


@described
async def mirror(request: Request) -> Response:
    """Return the body."""
    response = Response(await request.body(), media_type="application/octet-stream")
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return response


@described
async def wait(_request: Request) -> Response:
    """Wait for ever."""
    await asyncio.Event().wait()
    return Response()


@described
async def fail(_request: Request) -> Response:
    """Fail."""
    raise RuntimeError("broken")


@described
async def events(_request: Request) -> Response:
    """Stream events."""

    async def stream() -> AsyncIterator[str]:
        yield "data: 1\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


@described
async def text(_request: Request) -> Response:
    """Stream text."""

    async def stream() -> AsyncIterator[str]:
        for number in range(3):
            await asyncio.sleep(0)
            yield str(number)

    return StreamingResponse(stream(), media_type="text/plain")


@described
async def broken(_request: Request) -> Response:
    """Break off."""

    async def stream() -> AsyncIterator[str]:
        yield "0"
        raise RuntimeError("broken off")

    return StreamingResponse(stream(), media_type="text/plain")


@described
async def large(_request: Request) -> Response:
    """Return six megabytes and more."""
    return PlainTextResponse("x" * 6_300_000)


def build(core: Core) -> Parts:
    async def note() -> None:
        Path("task-ran").touch()  # noqa: ASYNC240 - once

    handlers = {
        "echo": echo, "mirror": mirror, "wait": wait, "fail": fail, "events": events, "text": text, "broken": broken,
        "large": large,
    }  # fmt: skip
    methods = {name: {"GET": allow(PUBLIC, handler)} for name, handler in handlers.items()}
    methods["mirror"]["POST"] = methods["echo"]["POST"] = allow(PUBLIC, mirror)
    methods["echo"]["POST"] = allow(PUBLIC, echo)
    methods["poll"] = {"GET": allow(PUBLIC, text, long_poll=True)}
    routes = [ApiRoute(f"/{name}", endpoints, name=name) for name, endpoints in methods.items()]
    return Parts(routes=routes, tasks={"note": core.tasks.every(0.01, note)})


handler_module.GAP_SECONDS = float(os.environ.get("GAP_SECONDS", handler_module.GAP_SECONDS))
embedded_metrics.COUNTERS_SECONDS = float(os.environ.get("COUNTERS_SECONDS", embedded_metrics.COUNTERS_SECONDS))
features = (*sample.SERVICE.features, Feature(name="lambda", build=build))
handler = LambdaHandler(replace(sample.SERVICE, features=features), base_path="/own")
