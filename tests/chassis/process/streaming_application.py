"""The whole application with two routes that take longer than a request may: one answers late, one streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp

from acme_service.chassis import Core, Feature, Parts
from acme_service.chassis.access import PUBLIC
from acme_service.chassis.application import create_app
from acme_service.chassis.http import ApiRoute, allow, describe
from acme_service.chassis.settings import Settings
from acme_service.chassis.wiring import Process

from .. import sample
from .whole_application import run

TIMEOUT_SECONDS = 1.0


@describe(summary="Respond late", description="Respond late.", responses={200: str}, tags=["slow"])
async def late(_request: Request) -> Response:
    await asyncio.sleep(60)
    return Response()


@describe(summary="Stream", description="Stream.", responses={200: str}, tags=["slow"])
async def stream(_request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"begun"
        await asyncio.sleep(1.5 * TIMEOUT_SECONDS)
        yield b"ended"

    return StreamingResponse(pieces())


def build(_core: Core) -> Parts:
    handlers = {"late": late, "stream": stream}
    return Parts(
        routes=[ApiRoute(f"/{name}", {"GET": allow(PUBLIC, handler)}, name=name) for name, handler in handlers.items()]
    )


def compose(settings: Settings, process: Process) -> tuple[ASGIApp, ASGIApp]:
    service = replace(sample.SERVICE, features=(*sample.SERVICE.features, Feature(name="slow", build=build)))
    app = create_app(service, settings, process)
    return app, app.operations


def main(wishes: dict[str, Any]) -> int:
    return run({"REQUEST_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS), **wishes}, compose)
