"""The service as an ASGI application for servers other than our own, built when their lifespan starts.

So settings are read and the log is opened in the worker that serves, also if the server loaded the application before
it forked. Signals, limits of the parser and exit codes are the server's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .context import RequestIds, given_request_id
from .errors import ConfigurationError
from .lifecycle import Phase
from .shapes.headers import completed
from .shapes.problem import CONTENT_TYPE, UNAVAILABLE, ProblemDetails

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .service import Service
    from .settings import Settings
    from .wiring import Process

FLUSH_SECONDS = 2.0
NO_LIFESPAN = (
    "the application is not started: the server has to run its lifespan (`uvicorn --lifespan on`; with TestClient, "
    "`with TestClient(app) as client`), and every request gets 503 until then"
)


class LazyApplication:
    """Builds the application at `lifespan.startup` and closes it at `lifespan.shutdown`, as often as they come."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app: ASGIApp | None = None
        self._ids = RequestIds()
        self._has_reported = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)
        else:
            await self._reject(scope, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        last = {"type": "lifespan.startup.failed"}
        try:
            async with _running(self._service) as self._app:
                last["type"] = "lifespan.shutdown.failed"
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:  # noqa: BLE001 - it is logged, and sent to the server
            last["message"] = str(error)
        else:
            last["type"] = "lifespan.shutdown.complete"
        finally:
            self._app = None
        await send(last)  # not above: a server may raise, and would show the error again

    async def _reject(self, scope: Scope, send: Send) -> None:
        """503, or 403 for a websocket, and one line on stderr: there is no log without settings."""
        if not self._has_reported:
            self._has_reported = True
            sys.stderr.write(f"{self._service.name}: {NO_LIFESPAN}\n")
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1001})
            return
        request_id = given_request_id(scope["headers"]) or self._ids.next()
        body = ProblemDetails(self._service.name).body(UNAVAILABLE, instance=request_id)
        headers = [(b"content-type", CONTENT_TYPE), (b"content-length", str(len(body)).encode())]
        headers = completed(UNAVAILABLE.status, headers, request_id.encode(), scope.get("scheme", "http"), None)
        await send({"type": "http.response.start", "status": UNAVAILABLE.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def asgi(service: Service) -> LazyApplication:
    """Wrap *service* as an ASGI application."""
    return LazyApplication(service)


@asynccontextmanager
async def _running(service: Service) -> AsyncIterator[ASGIApp]:
    """The application, open; a failure is reported once, in the log or, before there is one, on stderr."""
    from .commands import new_process  # noqa: PLC0415 - in the worker, when it starts
    from .startup import open_log  # noqa: PLC0415 - as above

    try:
        settings = _settings(service)
        writer = open_log(service, settings)
    except Exception as error:
        sys.stderr.write(f"{service.name}: start-up failed: {error}\n")
        raise
    process = new_process(service, settings, writer)
    try:
        async with _opened(service, settings, process) as app:
            yield app
    finally:
        writer.flush(FLUSH_SECONDS)


def _settings(service: Service) -> Settings:
    from .cli import read_settings  # noqa: PLC0415 - in the worker, when it starts

    settings = read_settings(service, os.environ, Path.cwd())
    if settings.server.operations_port is not None:
        raise ConfigurationError(
            "OPERATIONS_PORT: this server has no second listener: unset it, and health and metrics are served beside "
            f"the other routes; or run `{service.name} serve`"
        )
    return settings


@asynccontextmanager
async def _opened(service: Service, settings: Settings, process: Process) -> AsyncIterator[ASGIApp]:
    import structlog  # noqa: PLC0415 - in the worker, when it starts

    from .application import create_app  # noqa: PLC0415 - as above
    from .commands import server_options  # noqa: PLC0415 - as above
    from .server.startup_failure import report_startup_failure  # noqa: PLC0415 - as above

    log, lifecycle = structlog.get_logger("chassis.asgi"), process.lifecycle
    for warning in settings.warnings:
        log.warning("setting warning", problem=warning)

    def on_failure(reason: str) -> None:
        log.critical("a critical task died", reason=reason, hint="not ready from now on: restart the worker")
        lifecycle.advance(Phase.DRAINING)

    lifecycle.on_failure(on_failure)
    stack = AsyncExitStack()
    try:
        app = create_app(service, settings, process)
        await stack.enter_async_context(app.router.lifespan_context(app))
    except Exception as error:
        report_startup_failure(error, server_options(service, settings, process))
        raise
    lifecycle.advance(Phase.READY)
    try:
        yield app
    finally:
        lifecycle.advance(Phase.STOPPING)
        await _close(stack, log)


async def _close(stack: AsyncExitStack, log: Any) -> None:
    try:
        await stack.aclose()
    except Exception as error:
        log.error("teardown failed", exc_info=error)  # noqa: TRY400 - as the server's own line of it
        raise
    log.info("stopped")
