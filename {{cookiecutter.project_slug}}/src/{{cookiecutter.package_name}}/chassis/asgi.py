"""The service as an ASGI application for servers other than our own, built when their lifespan starts.

So settings are read and the log is configured in the worker that serves, also if the server loaded the application
before it forked.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .service import Service


class LazyApplication:
    """Builds the application at `lifespan.startup`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._app = _built(self._service)
        if self._app is None:
            raise RuntimeError("the server did not start the application's lifespan")
        await self._app(scope, receive, send)


def asgi(service: Service) -> LazyApplication:
    """Wrap *service* as an ASGI application."""
    return LazyApplication(service)


def _built(service: Service) -> ASGIApp:
    from .application import create_app  # noqa: PLC0415 - in the worker, when it starts
    from .cli import read_settings  # noqa: PLC0415 - as above
    from .commands import configure_log, new_process  # noqa: PLC0415 - as above

    settings = read_settings(service, os.environ, Path.cwd())
    process = new_process(service, settings, configure_log(service, settings))
    return create_app(service, settings, process)
