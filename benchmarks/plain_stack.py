"""The plain stack: structlog and prometheus-client in one middleware class of Starlette."""

from __future__ import annotations

import time
import uuid

import structlog
from bare_starlette import identity, serve
from json_log import log
from prometheus_client import Counter, Histogram
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

LABELS = ("method", "route", "status_code")
requests_total = Counter("http_requests_total", "Requests.", LABELS)
request_seconds = Histogram("http_request_duration_seconds", "Duration.", LABELS)


class Observed(BaseHTTPMiddleware):
    """Request id, access line and metrics, as most tutorials write them."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Answer, and record the answer."""
        started = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=str(uuid.uuid4()))
        response = await call_next(request)
        seconds = time.perf_counter() - started
        labels = (request.method, request.url.path, str(response.status_code))
        requests_total.labels(*labels).inc()
        request_seconds.labels(*labels).observe(seconds)
        log.info("request", method=request.method, path=request.url.path, status=response.status_code, seconds=seconds)
        return response


app = Starlette(routes=[Route("/", identity)], middleware=[Middleware(Observed)])

if __name__ == "__main__":
    serve(app)
