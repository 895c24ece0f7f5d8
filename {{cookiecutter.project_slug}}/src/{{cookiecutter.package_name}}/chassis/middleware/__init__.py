"""The layers around the router, each made from the core's settings; a service lists them in its own stack.

    instrumentation   request id, headers of every response, metrics, access line
    proxies           the client's address and scheme, from TRUSTED_PROXIES alone
    cors              only when CORS_ORIGINS is set; leaves a preflight to another's host to `allowed_hosts`
    errors            every exception becomes problem details
    allowed_hosts     only when ALLOWED_HOSTS is set
    rate_limit        429; only when RATE_LIMIT_PER_MINUTE is not 0
    concurrency_limit 503 for more than is served at once
    body_size_limit   413
    time_limit        503

What is not configured is None, and costs no request anything. `order.py` says which order is required.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware import Middleware

from ..shapes.limits import BodyLimits
from .concurrency import ConcurrencyLimitMiddleware
from .errors import ErrorMiddleware
from .hosts import AllowedHostsMiddleware
from .instrumentation import InstrumentationMiddleware
from .limits import BodySizeLimitMiddleware, TimeoutMiddleware
from .proxies import ProxiesMiddleware
from .rate_limit import RateLimitMiddleware

if TYPE_CHECKING:
    from ..service import Core

__all__ = [
    "allowed_hosts",
    "body_size_limit",
    "concurrency_limit",
    "cors",
    "errors",
    "instrumentation",
    "proxies",
    "rate_limit",
    "time_limit",
]


CORS_HEADERS = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-ID"),
    # What tracers in browsers send: W3C Trace Context and Baggage, Sentry.
    *("traceparent", "tracestate", "baggage", "sentry-trace"),
)


def instrumentation(core: Core) -> Middleware:
    """The outermost layer: request id, headers of every response, metrics and access line."""
    return Middleware(
        InstrumentationMiddleware,
        metrics=core.metrics.requests,
        access_log=core.access_log,
        problems=core.problems,
    )


def proxies(core: Core) -> Middleware:
    """The client's address and scheme, as one of TRUSTED_PROXIES forwards them; a warning if another does."""
    return Middleware(ProxiesMiddleware, trusted=core.settings.server.trusted_proxies)


def cors(
    core: Core,
    *,
    methods: tuple[str, ...] = (),
    headers: tuple[str, ...] = CORS_HEADERS,
    exposed: tuple[str, ...] = ("X-Request-ID", "Retry-After", "Location", "ETag", "Idempotency-Replayed"),
) -> Middleware | None:
    """What web pages of CORS_ORIGINS may send, and which headers of responses they may read.

    Without *methods* it is those of the route that a page asks for; CORS_ALLOW_HEADERS come on top of *headers*.
    """
    server = core.settings.server
    if not server.cors_origins:
        return None
    from .cross_origin import CORSMiddleware  # noqa: PLC0415 - unused without browsers

    return Middleware(
        CORSMiddleware,
        hosts=server.allowed_hosts,
        allow_origins=server.cors_origins,
        allow_methods=methods,
        allow_headers=(*headers, *server.cors_allow_headers),
        expose_headers=exposed,
    )


def errors(core: Core) -> Middleware:
    """Every exception becomes problem details, logged once if it is unexpected.

    In a websocket it rejects the handshake, or closes; one that a page of a foreign origin opens is rejected.
    """
    return Middleware(
        ErrorMiddleware,
        problems=core.problems,
        on_exception=core.report_exception,
        debug=core.settings.server.debug,
        origins=core.settings.server.cors_origins,
    )


def allowed_hosts(core: Core) -> Middleware | None:
    """Rejects a Host that is not one of ALLOWED_HOSTS."""
    hosts = core.settings.server.allowed_hosts
    return Middleware(AllowedHostsMiddleware, hosts=hosts) if hosts else None


def rate_limit(core: Core) -> Middleware | None:
    """Rejects a client that sends more than RATE_LIMIT_PER_MINUTE."""
    server = core.settings.server
    if not server.rate_limit_per_minute:
        return None
    from ..rate_limits import RateLimit  # noqa: PLC0415 - unused without a limit

    limit = RateLimit(server.rate_limit_per_minute)
    return Middleware(RateLimitMiddleware, hit=limit.hit)


def concurrency_limit(core: Core) -> Middleware:
    """Rejects what is beyond MAX_CONCURRENT_REQUESTS, or MAX_STREAMS of streams, websockets and long polls."""
    server = core.settings.server
    return Middleware(
        ConcurrencyLimitMiddleware, max_requests=server.max_concurrent_requests, max_streams=server.max_streams
    )


def body_size_limit(core: Core) -> Middleware:
    """Rejects a body of more than MAX_BODY_BYTES, unless its route has a limit of its own."""
    server = core.settings.server
    limits = BodyLimits(
        max_bytes=server.max_body_bytes,
        max_json_values=server.max_json_values,
        max_json_depth=server.max_json_depth,
    )
    return Middleware(BodySizeLimitMiddleware, limits=limits)


def time_limit(core: Core) -> Middleware:
    """Cancels a request that has no response after REQUEST_TIMEOUT_SECONDS."""
    return Middleware(TimeoutMiddleware, seconds=core.settings.server.request_timeout_seconds)
