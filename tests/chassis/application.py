"""The whole application, called in process over its lifespan; only the server is left out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from acme_service.chassis import Service
from acme_service.chassis.application import Application, create_app
from acme_service.chassis.cli import read_settings
from acme_service.chassis.lifecycle import Lifecycle, Phase
from acme_service.chassis.metrics import Metrics
from acme_service.chassis.wiring import Process

from .sample import SERVICE


class Lines:
    """Keeps each access line as a dictionary."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def line(self, **fields: Any) -> None:
        self.written.append(fields)


def new_process(**parts: Any) -> Process:
    """A process that writes no line; *parts* come on top."""
    given: dict[str, Any] = {"lifecycle": Lifecycle(), "metrics": Metrics(), "access_log": Lines()}
    return Process(**given | parts)


@asynccontextmanager
async def started(
    database_url: str, folder: Path, *, service: Service = SERVICE, **environment: str
) -> AsyncIterator[Application]:
    """*service* with *environment* as its only settings; no `.env` file is read but in *folder*."""
    settings = read_settings(service, {"APP_ENV": "test", "DATABASE_URL": database_url, **environment}, folder)
    process = new_process()
    app = create_app(service, settings, process)
    async with app.router.lifespan_context(app):
        process.lifecycle.advance(Phase.READY)
        yield app


@asynccontextmanager
async def running(
    database_url: str, folder: Path, *, service: Service = SERVICE, **environment: str
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of what `started` gives."""
    async with started(database_url, folder, service=service, **environment) as app:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=True)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client
