"""The yardstick: the route `/` on bare Starlette, served by stock uvicorn without an access log."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

BODY = b'{"service":"acme-service","version":"0.1.0","environment":"production"}'


async def identity(_request: Request) -> Response:
    """The same bytes that the service answers."""
    return Response(BODY, media_type="application/json")


def serve(application: ASGIApp) -> None:
    """Serve on the port that the command line names, as every stack here is served."""
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)


app = Starlette(routes=[Route("/", identity)])

if __name__ == "__main__":
    serve(app)
