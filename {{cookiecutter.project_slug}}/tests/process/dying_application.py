"""The whole application as `serve` assembles it, on a metric that fails: the critical task that feeds it dies."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from prometheus_client import Histogram
from starlette.types import ASGIApp, Receive, Scope, Send

from {{ cookiecutter.package_name }}.app import create_app
from {{ cookiecutter.package_name }}.cli import _configure_logging, _process, _server_options
from {{ cookiecutter.package_name }}.config.settings import load_settings
from {{ cookiecutter.package_name }}.server.process import serve


def lose_the_disk() -> None:
    raise ValueError("the disk is gone")


class Failing(Histogram):
    """Fails in a thread, in a callback of the event loop, and in the task that observes."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002 - its signature
        threading.Thread(target=lose_the_disk).start()
        asyncio.get_running_loop().call_soon(lose_the_disk)
        lose_the_disk()


def main(wishes: dict[str, Any]) -> int:
    folder = Path(wishes["folder"])
    settings = load_settings({"PORT": "0", "DATABASE_URL": f"sqlite:///{folder / 'service.db'}"} | wishes, folder)
    writer = _configure_logging(settings)
    process = _process(settings, writer)
    process.metrics.event_loop_lag = Failing("lag", "Fails.", registry=None)

    def build() -> tuple[ASGIApp, ASGIApp]:
        app = create_app(settings, process)

        async def outermost(scope: Scope, receive: Receive, send: Send) -> None:
            """Stand for a middleware that crashes: nothing of the application is around it."""
            if scope["type"] == "http" and scope["path"] == "/crash":
                lose_the_disk()
            await app(scope, receive, send)

        return outermost, app.operations

    options = _server_options(settings, process.metrics)
    return serve(build, options, process.lifecycle, flush=writer.flush)
