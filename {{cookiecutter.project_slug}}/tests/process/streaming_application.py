"""The whole application with two routes that take longer than a request may: one answers late, one streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from {{ cookiecutter.package_name }}.chassis.application import Process, create_app
from {{ cookiecutter.package_name }}.chassis.settings.core import Settings

from tests.process.whole_application import run

TIMEOUT_SECONDS = 1.0


async def late(_request: Request) -> Response:
    await asyncio.sleep(60)
    return Response()


async def stream(_request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"begun"
        await asyncio.sleep(1.5 * TIMEOUT_SECONDS)
        yield b"ended"

    return StreamingResponse(pieces())


def compose(settings: Settings, process: Process) -> tuple[ASGIApp, ASGIApp]:
    app = create_app(settings, process, ())
    app.router.routes += [Route("/late", late), Route("/stream", stream)]
    return app, app.operations


def main(wishes: dict[str, Any]) -> int:
    return run({"REQUEST_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS), **wishes}, compose)
