"""The whole application on a metric that fails: the critical task that feeds it dies."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from prometheus_client import Histogram
from starlette.types import ASGIApp, Receive, Scope, Send

from acme_service.chassis.application import create_app
from acme_service.chassis.settings import Settings
from acme_service.chassis.wiring import Process

from ..sample import SERVICE
from .whole_application import run


def lose_the_disk() -> None:
    raise ValueError("the disk is gone")


class Failing(Histogram):
    """Fails in a thread, in a callback of the event loop, and in the task that observes."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002 - its signature
        threading.Thread(target=lose_the_disk).start()
        asyncio.get_running_loop().call_soon(lose_the_disk)
        lose_the_disk()


def compose(settings: Settings, process: Process) -> tuple[ASGIApp, ASGIApp]:
    process.metrics.event_loop_lag = Failing("lag", "Fails.", registry=None)
    app = create_app(SERVICE, settings, process)

    async def outermost(scope: Scope, receive: Receive, send: Send) -> None:
        """Stand for a middleware that crashes: nothing of the application is around it."""
        if scope["type"] == "http" and scope["path"] == "/crash":
            lose_the_disk()
        await app(scope, receive, send)

    return outermost, app.operations


def main(wishes: dict[str, Any]) -> int:
    return run(wishes, compose)
