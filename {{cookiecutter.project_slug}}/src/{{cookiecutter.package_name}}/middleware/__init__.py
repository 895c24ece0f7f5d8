"""The middleware of this service, outermost first; its own ones are modules of this package.

The start fails, and says where, if the instrumentation is not the outermost, the errors are not inside it, or a limit
is not inside those.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware import Middleware

from ..chassis import Core
from ..chassis.middleware import (
    allowed_hosts,
    body_size_limit,
    concurrency_limit,
    cors,
    errors,
    instrumentation,
    proxies,
    rate_limit,
    time_limit,
)


def middleware(core: Core) -> Sequence[Middleware | None]:
    """The layers around the router; None is one that the settings leave out."""
    return (
        instrumentation(core),  # request id, headers of every response, metrics, access line
        proxies(core),  # the client's address, from TRUSTED_PROXIES
        cors(core),  # CORS_ORIGINS
        errors(core),  # every exception becomes problem details
        allowed_hosts(core),  # ALLOWED_HOSTS
        rate_limit(core),  # RATE_LIMIT_PER_MINUTE
        concurrency_limit(core),  # MAX_CONCURRENT_REQUESTS, MAX_STREAMS
        body_size_limit(core),  # MAX_BODY_BYTES
        time_limit(core),  # REQUEST_TIMEOUT_SECONDS
        # Your own, such as Middleware(TenantMiddleware, header="X-Tenant").
    )
