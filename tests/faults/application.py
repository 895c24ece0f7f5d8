"""The render's own service with a few routes more: websockets, and handlers that take long.

`python -m faults.application` has the commands of the render's own. FAULTS_VERSIONS names a folder of revisions of the
schema to use instead of the render's.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from acme_service import app
from acme_service.chassis import Core, Feature, Parts, run
from acme_service.chassis.access import PUBLIC
from acme_service.chassis.http import ApiRoute, allow, describe, websocket
from acme_service.chassis.server.signals import exit_at_once_on_signals


def route(path: str, handler: Any) -> ApiRoute:
    describe(summary="Get", description="It.", responses={200: str})(handler)
    return ApiRoute(path, {"GET": allow(PUBLIC, handler)}, name=path.strip("/"))


async def slow(request: Request) -> Response:
    await asyncio.sleep(float(request.query_params["seconds"]))
    return Response(b"slept")


async def blocking(request: Request) -> Response:
    time.sleep(float(request.query_params["seconds"]))
    return Response(b"blocked")


async def large(request: Request) -> Response:
    async def blocks() -> Any:
        for _ in range(int(request.query_params["megabytes"])):
            yield b"x" * 1_000_000

    return StreamingResponse(blocks(), media_type="application/octet-stream")


async def quiet(socket: WebSocket) -> None:
    await socket.accept()
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def pushing(socket: WebSocket) -> None:
    """Send until the client is full, and longer."""
    await socket.accept()
    try:
        while True:
            await socket.send_bytes(b"x" * 65536)
    except WebSocketDisconnect:
        return


def build(_core: Core) -> Parts:
    return Parts(
        routes=[
            route("/slow", slow),
            route("/blocking", blocking),
            route("/large", large),
            websocket("/quiet", quiet, policy=PUBLIC, name="quiet"),
            websocket("/pushing", pushing, policy=PUBLIC, name="pushing"),
        ],
    )


SERVICE = dataclasses.replace(
    app.SERVICE,
    features=(*app.SERVICE.features, Feature(name="faults", build=build)),
    versions=Path(os.environ.get("FAULTS_VERSIONS") or app.SERVICE.versions),
)

if __name__ == "__main__":
    exit_at_once_on_signals()
    sys.exit(run(SERVICE))
