"""The usual stack: FastAPI with the packages that people add for request ids, metrics and a structured access log.

Each package is used as its own documentation shows. The route answers ready bytes, without a model to serialise, so
that what is measured is the stack around it.
"""

from __future__ import annotations

import time

import structlog
from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from bare_starlette import identity, serve
from fastapi import FastAPI
from json_log import log
from prometheus_fastapi_instrumentator import Instrumentator
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response


class AccessLog(BaseHTTPMiddleware):
    """One line a request, with its id."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Answer, and log the answer."""
        started = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=correlation_id.get())
        response = await call_next(request)
        seconds = time.perf_counter() - started
        log.info("request", method=request.method, path=request.url.path, status=response.status_code, seconds=seconds)
        return response


app = FastAPI()
app.add_api_route("/", identity)
app.add_middleware(AccessLog)
# What is added later comes before, so the access log knows the id.
app.add_middleware(CorrelationIdMiddleware)
Instrumentator().instrument(app).expose(app)

if __name__ == "__main__":
    serve(app)
